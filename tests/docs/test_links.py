"""Every link of the docs leads somewhere, and every command in them is one that the program takes."""

import argparse
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from vmae_zoo.cli import main as command_line
from vmae_zoo.cli.recipe_arguments import with_recipes
from vmae_zoo.cli.setting_names import check_names

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
RECIPE = re.compile(r"(?<![\w/.-])recipes/[\w./-]+\.yaml")
PROGRAMS = ("vmae-zoo", "lightning")
RECIPES = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recipes").rglob("*.yaml")}
OWN_RECIPE = re.compile(r"^(?:runs/(?P<run>\w+)/)?(?!recipes/)[\w./-]*(?:\.yaml|RECIPE)$")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = (LINK.sub(r"\1", heading) for heading in HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_heading_that_exist(page):
    wrong = []
    for _, link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


def test_every_page_is_in_the_table_of_contents():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for _, link in LINK.findall(prose(index))}
    assert {page for page in PAGES if ROOT / "docs" in page.parents} - linked - {index} == set()


def commands(page: Path) -> Iterator[tuple[str, list[str], bool]]:
    """Commands of this program in a page: the line, the arguments, and whether the line is whole.

    A mention such as `vmae-zoo index` in a sentence leaves out what the subcommand requires.
    """
    text = page.read_text()
    blocks = [body for language, body in BLOCK.findall(text) if language in ("", "bash")]
    lines = [(line, True) for body in blocks for line in body.replace("\\\n", " ").splitlines()]
    for line, whole in [*lines, *((code, False) for code in INLINE.findall(prose(page)))]:
        for part in line.split("&&"):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            start = next((place for place, word in enumerate(words) if starts(words, place)), None)
            if start is None or (not whole and start != 0):
                continue
            arguments = words[start + 1 :]
            if arguments and not {"...", "<"} & {*arguments, *part} and not arguments[0].isupper():
                yield line.strip(), arguments, whole or len(arguments) > 2
    return


def starts(words: list[str], place: int) -> bool:
    """Whether the program's name is at this place."""
    prefix = words[:place]
    if words[place] in PROGRAMS:
        return all("=" in word or word in ("srun", "nohup") for word in prefix)
    return words[place] == "vmae_zoo" and prefix[-1:] == ["-m"]


def check(arguments: list[str], whole: bool) -> None:
    """``ValueError`` or ``SystemExit`` unless the program takes these arguments."""
    name, *rest = arguments
    if name in ("--help", "--version"):
        return
    if name in command_line.TRAINER_SUBCOMMANDS:
        if rest:
            check_trainer_options(name, rest)
    elif name not in command_line.SUBCOMMANDS:
        raise ValueError(f"no subcommand {name}")
    elif whole and "--help" not in rest:
        parser_of(name, rest[0] if name == "bench" and rest else "").parse_args(rest[1:] if name == "bench" else rest)


@cache
def parser_of(name: str, measured: str) -> argparse.ArgumentParser:
    """The parser of a subcommand, or of what `bench` measures."""
    if name != "bench":
        return command_line.build_parser(name, import_module(f"vmae_zoo.cli.{name.replace('-', '_')}"))
    parser = argparse.ArgumentParser(prog=f"vmae-zoo bench {measured}")
    import_module(f"vmae_zoo.bench.{measured}").configure(parser)
    return parser


def check_trainer_options(name: str, arguments: list[str]) -> None:
    """``ValueError`` if Lightning's command line has no such setting; stands in for files that only the reader has."""
    words = [OWN_RECIPE.sub(stand_in, word) if word not in RECIPES else word for word in arguments]
    check_names(with_recipes([name, *(stand_in_class(word) for word in words)]))


def stand_in_class(word: str) -> str:
    """A class of the package for one of the reader's own."""
    return word.replace("my_package.MyMAE", "VideoMAE").replace("my_data.MyData", "ClipDataModule")


def stand_in(name: re.Match[str]) -> str:
    """A packaged recipe for a recipe of the reader's own: that of the run, else VideoMAE's."""
    of_run = f"recipes/{name['run']}.yaml"
    return of_run if of_run in RECIPES else "recipes/videomae.yaml"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_one_that_the_program_takes(page, capsys):
    wrong = {}
    for line, arguments, whole in commands(page):
        try:
            check(arguments, whole)
        except (ValueError, SystemExit) as error:
            wrong[line] = f"{error} {capsys.readouterr().err.strip()[-200:]}"
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_recipe_and_benchmark_that_is_named_exists(page):
    text = page.read_text()
    recipes = {name for name in RECIPE.findall(text) if not (ROOT / name).is_file()}
    benchmarks = {
        name
        for name in re.findall(r"python -m benchmarks\.([a-z_]+)", text)
        if not (ROOT / "benchmarks" / f"{name}.py").is_file() and not (ROOT / "benchmarks" / name).is_dir()
    }
    assert not recipes | benchmarks
