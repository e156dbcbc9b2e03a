"""One self-contained HTML page about runs: nothing in it is loaded from elsewhere, so it can be sent by e-mail."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1c1e24 }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; display: block; overflow-x: auto } th, td { text-align: left; padding: .25rem .8rem }
th, td { border-bottom: 1px solid #ddd; vertical-align: top } thead th { border-bottom: 2px solid #555 }
img, svg { max-width: 100%; height: auto } figure { margin: 1rem 0 } figcaption { color: #555 }
.charts { display: flex; flex-wrap: wrap; gap: 1rem } pre { font-size: .85rem; overflow-x: auto }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page: heading and HTML."""

    title: str
    body: str


def page(title: str, note: str, sections: Sequence[Section]) -> str:
    """The whole page; sections without a body are left out."""
    parts = [f"<section><h2>{escape(each.title)}</h2>\n{each.body}\n</section>" for each in sections if each.body]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1><p>{escape(note)}</p>",
            *parts,
            "</body></html>",
            "",
        ]
    )


def table(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A table with a heading for each row; empty without rows."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = [
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, cells in rows.items()
    ]
    return "\n".join([f"<table><thead><tr><th></th>{head}</tr></thead><tbody>", *body, "</tbody></table>"])


def folded(title: str, text: str) -> str:
    """A text that a click on its title shows."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def figure(image: Image.Image, caption: str) -> str:
    """A picture inside of the page."""
    data = io.BytesIO()
    image.convert("RGB").save(data, "WEBP", quality=88)
    source = f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
    return f'<figure><img src="{source}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'
