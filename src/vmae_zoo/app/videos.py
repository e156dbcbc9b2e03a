"""The videos of the page: embedded ones, drawn at start, and uploads within limits."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vmae_zoo.datasets.synthetic.encode import encode
from vmae_zoo.datasets.synthetic.glyphs import GLYPHS
from vmae_zoo.datasets.synthetic.moving_glyphs import make_clip
from vmae_zoo.datasets.synthetic.scene import frames_of
from vmae_zoo.video.decode import open_video, probe

EMBEDDED = {  # name -> clip; the bundled weights were trained on glyphs
    "a glyph that moves": partial(make_clip, GLYPHS[0], "right", "medium", 1),
    "moving to the right": partial(frames_of, "move_right", 13),
    "turning": partial(frames_of, "turn_clockwise", 1),
}


@dataclass(frozen=True)
class Limits:
    """What an upload may be: size of the file, length of the video, pixels of a frame."""

    megabytes: int = 100
    minutes: float = 10
    pixels: int = 4096 * 2304


def write_embedded(folder: Path) -> dict[str, Path]:
    """Draw the embedded videos into a folder: name -> file."""
    files = {name: folder / f"{name.replace(' ', '_')}.mp4" for name in EMBEDDED}
    for name, file in files.items():
        encode(file, EMBEDDED[name]())
    return files


def check_upload(file: Path, limits: Limits) -> None:
    """``ValueError`` for a file that is not a video or too large; what the header states is checked before decoding."""
    if file.stat().st_size > 2**20 * limits.megabytes:
        raise ValueError(f"{file.name} is larger than {limits.megabytes} MB: cut or compress it")
    with open_video(str(file)) as (container, stream):
        seconds = (container.duration or 0) / 1e6
        pixels = stream.codec_context.width * stream.codec_context.height
    if pixels > limits.pixels:
        most = limits.pixels / 1e6
        raise ValueError(f"{file.name} has frames of {pixels / 1e6:.0f} megapixels, at most {most:.0f} are read")
    if seconds <= 60 * limits.minutes:
        info = probe(file)
        seconds = info.frames / info.fps if info.fps > 0 else seconds
    if seconds > 60 * limits.minutes:
        raise ValueError(f"{file.name} lasts {seconds / 60:.0f} minutes, at most {limits.minutes:g} are read: cut it")


def sentence(error: Exception, file: Path) -> str:
    """The message of an error, without the folder of the upload."""
    return str(error).replace(f"{file.parent}/", "")
