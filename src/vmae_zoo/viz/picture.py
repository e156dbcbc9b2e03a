"""Contact sheets: a row of frames per label, panels below one another; and animated GIFs of a panel.

Frames are uint8 (T, H, W, 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

BACKGROUND, TEXT_COLOR, NOTE_COLOR = (255, 255, 255), (28, 30, 36), (110, 116, 128)
MARGIN, GAP, TITLE, TEXT = 14, 3, 17, 14


@dataclass(frozen=True)
class Panel:
    """A title and rows of frames, each with its label.

    Args:
        title: printed above; may be empty.
        rows: label -> frames (T, H, W, 3) uint8, all of the same size.
        note: printed below the title in a smaller font.
    """

    title: str
    rows: dict[str, np.ndarray]
    note: str = ""


def spread_indices(total: int, columns: int) -> np.ndarray:
    """At most ``columns`` indices spread evenly over ``total`` frames, including the first and the last."""
    return np.unique(np.linspace(0, total - 1, min(columns, total)).round().astype(int))


def contact_sheet(panels: Sequence[Panel], side: int = 112) -> Image.Image:
    """All panels in one picture.

    Args:
        panels: from top to bottom.
        side: height of a frame in the picture, in pixels.
    """
    title, text = ImageFont.load_default(TITLE), ImageFont.load_default(TEXT)
    labels = max(int(text.getlength(label)) for panel in panels for label in panel.rows) + MARGIN
    width = max(len(frames) * (_width(frames, side) + GAP) for panel in panels for frames in panel.rows.values())
    headings = max(int(font.getlength(line)) for panel in panels for font, line in _heading(panel, title, text))
    height = sum(_head(panel) + len(panel.rows) * (side + GAP) + MARGIN for panel in panels) + MARGIN
    image = Image.new("RGB", (MARGIN + max(labels + width, headings) + MARGIN - GAP, height - GAP), BACKGROUND)
    draw = ImageDraw.Draw(image)
    top = MARGIN
    for panel in panels:
        line = top
        for font, words in _heading(panel, title, text):
            draw.text((MARGIN, line), words, TEXT_COLOR if font is title else NOTE_COLOR, font)
            line += int(font.size) + 6
        top += _head(panel)
        for label, frames in panel.rows.items():
            draw.text((MARGIN, top + side / 2), label, TEXT_COLOR, text, anchor="lm")
            for column, frame in enumerate(frames):
                left = MARGIN + labels + column * (_width(frames, side) + GAP)
                image.paste(_scaled(frame, side), (left, top))
            top += side + GAP
        top += MARGIN
    return image


def write_gif(panel: Panel, file: Path, side: int = 160, frames_per_second: float = 8.0) -> None:
    """The rows of a panel side by side as an animated GIF, each below its label."""
    text = ImageFont.load_default(TEXT)
    width = max(max(_width(frames, side), int(text.getlength(label))) for label, frames in panel.rows.items())
    pictures = []
    for step in range(max(map(len, panel.rows.values()))):
        image = Image.new("RGB", (len(panel.rows) * (width + GAP) - GAP, side + TEXT + 8), BACKGROUND)
        draw = ImageDraw.Draw(image)
        for column, (label, frames) in enumerate(panel.rows.items()):
            left = column * (width + GAP)
            draw.text((left + width / 2, 2), label, TEXT_COLOR, text, anchor="ma")
            image.paste(_scaled(frames[min(step, len(frames) - 1)], side), (left, TEXT + 8))
        pictures.append(image)
    pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=round(1000 / frames_per_second), loop=0)


def _heading(
    panel: Panel,
    title: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    text: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> list[tuple]:
    return [(font, words) for font, words in ((title, panel.title), (text, panel.note)) if words] or [(text, "")]


def _head(panel: Panel) -> int:
    return sum(size + 6 for size, words in ((TITLE, panel.title), (TEXT, panel.note)) if words) + 4


def _width(frames: np.ndarray, side: int) -> int:
    return round(side * frames.shape[2] / frames.shape[1])


def _scaled(frame: np.ndarray, side: int) -> Image.Image:
    size = (round(side * frame.shape[1] / frame.shape[0]), side)
    return Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)
