"""The site has every page, and the API page names what exists."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
MADE = {"gallery.md", "contributing.md"}  # by `.ci/docs`


def pages(nav):
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else pages(value)


def test_every_page_is_in_the_navigation():
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    written = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert set(pages(nav)) == written | MADE


def test_the_api_page_names_objects_that_exist():
    names = re.findall(r"^::: (\S+)\.(\w+)$", (ROOT / "docs" / "reference" / "api.md").read_text(), re.MULTILINE)
    assert len(names) > 20
    for module, name in names:
        assert getattr(import_module(module), name).__doc__
