"""The report of a probe: ``result.json``, ``plot.svg`` and TensorBoard events in the folder of the run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import torch
from torch.utils.tensorboard import SummaryWriter

from vmae_zoo.atomic_write import atomic_write

SIDE, LEFT, TOP = 400, 170, 60  # of the confusion matrix, in pixels
SHARES_HEIGHT = 240


def write_report(
    folder: Path, result: dict[str, Any], confusion: Sequence[Sequence[int]], classes: Sequence[str]
) -> None:
    """Write the three files.

    The rows of ``confusion``, counts, are true classes; ``classes`` may be empty.
    """
    with atomic_write(folder / "result.json") as partial:
        partial.write_text(json.dumps(result, indent=2) + "\n")
    (folder / "plot.svg").write_text(plot_svg(result, confusion, classes))
    with SummaryWriter(str(folder)) as board:
        for name, value in result["scores"].items():
            board.add_scalar(f"{result['subcommand']}/{name}", value)
        fractions = torch.tensor(confusion, dtype=torch.float32)
        fractions = fractions / fractions.sum(1, keepdim=True).clamp_min(1)
        zoom = max(256 // len(fractions), 1)
        board.add_image("confusion", fractions.repeat_interleave(zoom, 0).repeat_interleave(zoom, 1)[None])


def plot_svg(result: dict[str, Any], confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """An SVG of the accuracies with their intervals, and of the confusion matrix; also legible without color.

    With several training fractions, top-1 accuracy over the fraction; else a bar for the encoder and each baseline.
    """
    bars = [("this encoder", result["scores"]), *result.get("baselines", {}).items()]
    fractions = sorted({run["fraction"] for run in result.get("runs", ())})
    elements = _shares(result["runs"], fractions) if len(fractions) > 1 else []
    top = TOP + (SHARES_HEIGHT if elements else 0)
    for number, (name, scores) in enumerate(bars):
        elements += _bar(name, scores, top + 30 * number, number == 0)
    top += 30 * len(bars) + 40
    elements += _matrix(confusion, classes, top) if confusion else []
    height = top + (SIDE + 90 if confusion else 0)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" font-family="sans-serif" '
            'font-size="13">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="20" y="28" font-size="15">{escape(result["title"])}</text>',
            *elements,
            "</svg>",
            "",
        ]
    )


def _bar(name: str, scores: dict[str, float], y: float, ours: bool) -> list[str]:
    """A bar with its interval: filled for the encoder, outlined for a baseline."""
    low, high, top1 = (LEFT + 3.5 * scores[key] for key in ("top1_low", "top1_high", "top1"))
    style = 'fill="#0072b2"' if ours else 'fill="white" stroke="black"'
    interval = f"{scores['top1']:.1f} % ({scores['top1_low']:.1f} to {scores['top1_high']:.1f})"
    return [
        f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{top1 - LEFT:.1f}" height="20" {style}/>',
        f'<line x1="{low:.1f}" y1="{y + 10}" x2="{high:.1f}" y2="{y + 10}" stroke="white" stroke-width="5"/>',
        f'<line x1="{low:.1f}" y1="{y + 10}" x2="{high:.1f}" y2="{y + 10}" stroke="black" stroke-width="2"/>',
        f'<text x="{max(high, LEFT) + 8:.1f}" y="{y + 15}">{interval}</text>',
    ]


def _shares(runs: Sequence[dict[str, Any]], fractions: Sequence[float]) -> list[str]:
    """Top-1 accuracy of the encoder over the share of the training set: the mean of the draws, and each draw."""
    width, height, bottom = 3.5 * 100, SHARES_HEIGHT - 60, TOP + SHARES_HEIGHT - 55
    step = width / max(len(fractions) - 1, 1)
    elements = [f'<text x="{LEFT}" y="{TOP - 6}">top-1 accuracy over the share of the training set</text>']
    for percent in range(0, 101, 25):
        y = bottom - height * percent / 100
        elements += [
            f'<line x1="{LEFT}" x2="{LEFT + width}" y1="{y}" y2="{y}" stroke="#ddd"/>',
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{percent} %</text>',
        ]
    means = []
    for place, fraction in enumerate(fractions):
        x, found = LEFT + place * step, [run["top1"] for run in runs if run["fraction"] == fraction]
        means.append(f"{x:.1f},{bottom - height * sum(found) / len(found) / 100:.1f}")
        elements.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{100 * fraction:g} %</text>')
        elements += [f'<circle cx="{x:.1f}" cy="{bottom - height * one / 100:.1f}" r="3"/>' for one in found]
    line = f'<polyline points="{" ".join(means)}" fill="none" stroke="#0072b2" stroke-width="2"/>'
    return [*elements, line]


def _matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str], top: float) -> list[str]:
    """Shades of gray by the share of the true class, with the counts and names where they fit."""
    cell = SIDE / len(confusion)
    names = classes if classes and cell >= 11 else ()
    small, large = (f'font-size="{min(most, max(11, cell / 3)):.0f}"' for most in (14, 22))  # of names and counts
    elements = [f'<text x="{LEFT}" y="{top - 8}">true class (rows) and predicted class (columns), videos</text>']
    for row, counts in enumerate(confusion):
        total, y = max(sum(counts), 1), top + row * cell
        if names:
            name = escape(names[row][:24])
            elements += [
                f'<text x="{LEFT - 8}" y="{y + cell / 2 + 4:.1f}" text-anchor="end" {small}>{name}</text>',
                f'<text transform="translate({LEFT + row * cell + cell / 2 + 4:.1f} {top + SIDE + 8}) rotate(-60)" '
                f'text-anchor="end" {small}>{name}</text>',
            ]
        for column, count in enumerate(counts):
            x, share = LEFT + column * cell, count / total
            if count:
                elements.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" fill="black" '
                    f'fill-opacity="{0.85 * share:.3f}"><title>{count} of {total}</title></rect>'
                )
            if count and cell >= 18:
                elements.append(
                    f'<text x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle" {large} '
                    f'fill="{"white" if share > 0.5 else "black"}">{count}</text>'
                )
    elements.append(f'<rect x="{LEFT}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="black"/>')
    return elements
