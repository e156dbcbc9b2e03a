"""Every command in the pages and recipes has a subcommand, options and recipes that exist."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from vmae_zoo.cli.main import SUBCOMMANDS, build_parser, runs_trainer
from vmae_zoo.cli.recipe_arguments import with_recipes
from vmae_zoo.cli.setting_names import check_names
from vmae_zoo.resources import packaged_recipes

ROOT = Path(__file__).parents[2]
RUN_BY_ANOTHER_TEST = ROOT / "docs" / "guides" / "your_own_method.md"
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page != RUN_BY_ANOTHER_TEST)]
BLOCK = re.compile(r"^ *```(?:bash|sh|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|\s)(?:vmae-zoo|lightning|python -m vmae_zoo) (\w.*)")


def commands(lines):
    """The arguments of each command in lines of a shell, which may have pipes, redirections and comments."""
    for line in lines:
        for part in re.split(r"&&|\||;", line.partition(" #")[0]):
            if found := COMMAND.search(part):
                yield shlex.split(re.sub(r"\s[12]?>.*", "", found[1]))


def check(arguments):
    if runs_trainer(arguments[0]):
        check_names(with_recipes(arguments))
    elif arguments[0] != "SUBCOMMAND":
        build_parser(arguments[0], import_module(SUBCOMMANDS[arguments[0]][0])).parse_args(arguments[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    blocks = (re.sub(r"\\\n\s*", " ", block) for block in BLOCK.findall(page.read_text()))
    for arguments in commands(line for block in blocks for line in block.splitlines()):
        for name in arguments:
            if name.startswith("runs/") and name.endswith(".yaml"):  # that of an earlier run
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text("model: {class_path: VideoMAE}\n")
        check(arguments)


def test_commands_of_recipes():
    lines = [recipe.read_text().splitlines()[1].lstrip("# ") for recipe in packaged_recipes()]
    found = list(commands(lines))
    assert len(found) == len(lines)
    for arguments in found:
        check(arguments)
