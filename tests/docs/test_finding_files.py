"""Who searches the source for a standard term finds the file that the design page names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "vmae_zoo"
PAGE = (ROOT / "docs" / "reference" / "design.md").read_text()
SECTION = PAGE.partition("## Where is ...?\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (.+?) \| `(.+?)` \| `(.+?)` \|$", SECTION, re.MULTILINE)


@pytest.mark.parametrize(("question", "term", "file"), ROWS)
def test_a_search_for_the_term_finds_the_file_first(question, term, file):
    found = []
    for path in PACKAGE.rglob("*.py"):
        name, occurrences = path.relative_to(PACKAGE).as_posix(), path.read_text().lower().count(term)
        named = term.replace(" ", "_") in name
        if path.name != "__init__.py" and (named or occurrences):
            found.append((not named, -occurrences, name))
    assert min(found)[2] == file


def test_the_page_has_questions():
    assert len(ROWS) > 15
