"""The report of a probe: ``result.json``, ``plot.svg`` and TensorBoard events in the folder of the run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import torch
from torch.utils.tensorboard import SummaryWriter

SIDE, LEFT, TOP = 360, 170, 60  # of the confusion matrix, in pixels


def write_report(
    folder: Path, result: dict[str, Any], confusion: Sequence[Sequence[int]], classes: Sequence[str]
) -> None:
    """Write the three files.

    Args:
        folder: folder of the run.
        result: content of the JSON file; the numbers in its "scores" become scalars.
        confusion: counts, true class (row) against predicted class (column).
        classes: names of the classes, or empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / "plot.svg").write_text(plot_svg(result, confusion, classes))
    with SummaryWriter(str(folder)) as board:
        for name, value in result["scores"].items():
            board.add_scalar(f"{result['verb']}/{name}", value)
        fractions = torch.tensor(confusion, dtype=torch.float32)
        fractions = fractions / fractions.sum(1, keepdim=True).clamp_min(1)
        zoom = max(256 // len(fractions), 1)
        board.add_image("confusion", fractions.repeat_interleave(zoom, 0).repeat_interleave(zoom, 1)[None])


def plot_svg(result: dict[str, Any], confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """An SVG with the top-1 accuracy and its interval, for the encoder and each baseline, and the confusion matrix."""
    bars = [("this encoder", result["scores"]), *result.get("baselines", {}).items()]
    height = TOP + 30 * len(bars) + 40 + SIDE + 40
    elements = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{height}" font-family="sans-serif" '
        'font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="20" y="28" font-size="15">{escape(result["title"])}</text>',
    ]
    for number, (name, scores) in enumerate(bars):
        y, color = TOP + 30 * number, "#b8c2cf" if number else "#3566a8"
        low, high, top1 = (LEFT + 3.5 * scores[key] for key in ("top1_low", "top1_high", "top1"))
        elements += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{top1 - LEFT:.1f}" height="20" fill="{color}"/>',
            f'<line x1="{low:.1f}" y1="{y + 10}" x2="{high:.1f}" y2="{y + 10}" stroke="black"/>',
            f'<text x="{high + 6:.1f}" y="{y + 14}">{scores["top1"]:.1f} %</text>',
        ]
    elements += _matrix(confusion, classes, TOP + 30 * len(bars) + 40)
    return "\n".join([*elements, "</svg>", ""])


def _matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str], top: float) -> list[str]:
    cell = SIDE / len(confusion)
    elements = [f'<text x="{LEFT}" y="{top - 8}">true class (rows) and predicted class (columns)</text>']
    for row, counts in enumerate(confusion):
        total = max(sum(counts), 1)
        y = top + row * cell
        if classes and cell >= 9:
            name = escape(classes[row][:24])
            elements.append(
                f'<text x="{LEFT - 8}" y="{y + cell / 2 + 4:.1f}" text-anchor="end" font-size="10">{name}</text>'
            )
        elements += [
            f'<rect x="{LEFT + column * cell:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
            f'fill="#3566a8" fill-opacity="{count / total:.3f}"><title>{count} of {total}</title></rect>'
            for column, count in enumerate(counts)
            if count
        ]
    elements.append(f'<rect x="{LEFT}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>')
    return elements
