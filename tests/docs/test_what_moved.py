"""The new names on the page of what moved exist, and the old ones are gone."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "vmae_zoo"
PAGE = (ROOT / "docs" / "guides" / "what_moved.md").read_text()
ROW = re.compile(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", re.MULTILINE)


def rows(section: str) -> list[tuple[str, str]]:
    """Old and new names in the tables of a section."""
    return ROW.findall(PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0])


def is_module(name: str) -> bool:
    home, path = (ROOT, name) if name.startswith("benchmarks.") else (PACKAGE, name)
    place = home / path.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").is_file()


@pytest.mark.parametrize(("old", "new"), rows("Modules"))
def test_a_module_that_moved_is_where_the_page_says(old, new):
    assert is_module(new)
    assert not is_module(old) or old in {name for _, name in rows("Modules")}  # another module has the name today


@pytest.mark.parametrize(("old", "new"), rows("Classes"))
def test_a_class_that_was_renamed_is_where_the_page_says(old, new):
    module, _, name = new.rpartition(".")
    assert re.search(rf"^class {name}\b", (PACKAGE / f"{module.replace('.', '/')}.py").read_text(), re.MULTILINE)


def test_the_page_names_modules_and_classes():
    assert len(rows("Modules")) > 50
    assert len(rows("Classes")) > 30
