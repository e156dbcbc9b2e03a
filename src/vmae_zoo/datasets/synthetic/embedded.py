"""The embedded data sets by name: created on first use and kept in the user's cache folder.

==================  ====================================================================================
demo                5,000 clips of a moving glyph on black; 1,000 of them are for testing
demo_small          its first 180 training and 60 test clips
demo_texture        as demo, over a textured background
demo_moving_camera  as demo_texture, with a camera that moves
demo_occlusion      as demo_moving_camera, with bars in front
scenes              360 clips of textured blobs whose class is how they move, in HMDB51's layout
==================  ====================================================================================

All are folders of H.264 files. Those of moving glyphs have ``clips.csv`` with the columns path, split, label (the
glyph), glyph, motion and speed. A data module reads them as ``root: synthetic:NAME``.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from vmae_zoo.atomic_write import atomic_folder
from vmae_zoo.cache_folder import cache_folder

PREFIX = "synthetic:"
VERSION = 3  # part of the folder's name and of every clip's key
EMBEDDED = ("demo", "demo_small", "demo_texture", "demo_moving_camera", "demo_occlusion", "scenes")


def is_embedded(root: str | Path | None) -> bool:
    """Whether a data root names an embedded set; None is `demo`."""
    return root is None or str(root).startswith(PREFIX)


def embedded_root(name: str | None = None) -> Path:
    """The folder of an embedded set, created if it does not exist.

    Two processes may create it at the same time: each works in a folder of its own, and the first to finish renames
    it, so that no process reads an incomplete set.

    Args:
        name: one of `EMBEDDED`, with or without the prefix "synthetic:"; None is "demo".
    """
    name = (name or "demo").removeprefix(PREFIX)
    if name not in EMBEDDED:
        raise ValueError(f"{PREFIX}{name} is not an embedded set: choose one of {', '.join(EMBEDDED)}")
    return create_once(cache_folder() / f"{name}-{VERSION}", partial(_write, name))


def create_once(root: Path, make: Callable[[Path], None]) -> Path:
    """A folder that ``make`` fills the first time, atomically; ``ValueError`` where the cache cannot be written."""
    if root.is_dir():
        return root
    try:
        with atomic_folder(root) as partial_root:
            make(partial_root)
    except OSError as error:
        if not root.is_dir():  # else another process finished first
            raise ValueError(
                f"the embedded clips cannot be written to {root.parent}: {error.strerror}; set VMAE_ZOO_CACHE to a"
                " folder that can"
            ) from None
    return root


def _write(name: str, folder: Path) -> None:
    if name == "scenes":
        from vmae_zoo.datasets.synthetic.scenes import write_scenes

        write_scenes(folder)
    else:
        from vmae_zoo.datasets.synthetic.glyph_sets import GLYPH_SETS, write_glyphs

        write_glyphs(GLYPH_SETS[name], folder)
