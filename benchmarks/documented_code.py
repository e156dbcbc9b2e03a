"""Code blocks of the documentation, changed in named places so that they run at a small size."""

import re
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def documented_code(page: str, containing: str, changes: Mapping[str, str]) -> str:
    """The first code block of a page that contains a text, with parts of it replaced.

    Args:
        page: file below ``docs``.
        containing: part of the code block.
        changes: new text by old text; each old text must be there.

    Raises:
        ValueError: the page has no such block, or the block lacks a text that is to be replaced.
    """
    blocks = re.findall(r"^```\w*\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    code = next((block for block in blocks if containing in block), None)
    if code is None:
        raise ValueError(f"docs/{page} has no code block with {containing!r}")
    for old, new in changes.items():
        if old not in code:
            raise ValueError(f"docs/{page}: the code block with {containing!r} lacks {old!r}")
        code = code.replace(old, new)
    return code
