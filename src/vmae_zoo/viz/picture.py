"""Contact sheets, a row of frames per label with panels below one another; and the same as a GIF or MP4 that moves.

Frames are uint8 (T, H, W, 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vmae_zoo.datasets.synthetic.encode import encode

BACKGROUND, TEXT_COLOR, NOTE_COLOR = (255, 255, 255), (28, 30, 36), (110, 116, 128)
MARGIN, GAP, TITLE, TEXT = 14, 3, 19, 16
SUFFIXES = (".png", ".gif", ".mp4")
FRAMES_PER_SECOND = 8


@dataclass(frozen=True)
class Panel:
    """A title, a note in a smaller font, and rows of frames, each with its label.

    Frames are (T, H, W, 3) uint8, all of the same aspect ratio; title and note may be empty.
    """

    title: str
    rows: dict[str, np.ndarray]
    note: str = ""


def spread_indices(total: int, columns: int) -> np.ndarray:
    """At most ``columns`` indices spread evenly over ``total`` frames, including the first and the last."""
    return np.unique(np.linspace(0, total - 1, min(columns, total)).round().astype(int))


def contact_sheet(panels: Sequence[Panel], side: int = 112) -> Image.Image:
    """All panels in one picture."""
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


def moving_pictures(panels: Sequence[Panel], side: int = 160) -> list[Image.Image]:
    """One picture per frame: the rows of each panel side by side below their labels, panels below one another."""
    text = ImageFont.load_default(TEXT)
    rows = [row for panel in panels for row in panel.rows.items()]
    width = max(max(_width(frames, side), int(text.getlength(label)) + 8) for label, frames in rows)
    columns, head = max(len(panel.rows) for panel in panels), TEXT + 8
    steps = max(len(frames) for _, frames in rows)
    size = (columns * (width + GAP) - GAP) // 2 * 2, len(panels) * (head + side) // 2 * 2  # H.264 takes even sizes
    pictures = []
    for step in range(steps):
        image = Image.new("RGB", size, BACKGROUND)
        draw = ImageDraw.Draw(image)
        for place, panel in enumerate(panels):
            for column, (label, frames) in enumerate(panel.rows.items()):
                left, top = column * (width + GAP), place * (head + side)
                frame = frames[step * len(frames) // steps]
                draw.text((left + width / 2, top + 2), label, TEXT_COLOR, text, anchor="ma")
                image.paste(_scaled(frame, side), (left + (width - _width(frames, side)) // 2, top + head))
        pictures.append(image)
    return pictures


def save_panels(panels: Sequence[Panel], file: Path, side: int = 144, columns: int = 8) -> None:
    """Write panels in the format that the suffix names.

    Args:
        panels: from top to bottom.
        file: a .png, a contact sheet with at most ``columns`` frames of each row; or a .gif or .mp4 with all of them.
        side: height of a frame in the picture, in pixels.
        columns: frames of a contact sheet.
    """
    check_suffix(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".png":
        contact_sheet([fewer(panel, columns) for panel in panels], side).save(file)
        return
    pictures = moving_pictures(panels, side)
    if file.suffix == ".gif":
        duration = round(1000 / FRAMES_PER_SECOND)
        pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=duration, loop=0)
    else:
        encode(file, np.stack([np.asarray(picture) for picture in pictures]), FRAMES_PER_SECOND)


def check_suffix(file: Path) -> None:
    """``ValueError`` unless pictures can be written to this file."""
    if file.suffix not in SUFFIXES:
        raise ValueError(f"--out {file}: pictures are written as {', '.join(SUFFIXES)}")


def fewer(panel: Panel, columns: int) -> Panel:
    """The panel with at most so many frames of each row."""
    rows = {label: frames[spread_indices(len(frames), columns)] for label, frames in panel.rows.items()}
    return replace(panel, rows=rows)


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
