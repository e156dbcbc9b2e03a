"""Scenes with known motion: people walking over real videos.

Silhouettes of the Weizmann actions (Gorelick, Blank, Shechtman, Irani, Basri, "Actions as Space-Time Shapes", PAMI
2007) are filled with a patch of a real picture that moves with their center, and pasted over frames of a real video. So
the true motion of each point on a person is that of the center.

T frames, H rows, W columns; (x, y) in pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

SIZE = 224
TRAVELLING = ("jump", "run", "side", "skip", "walk")  # the other actions stay in place


@dataclass(frozen=True)
class Scene:
    """A composited video.

    Args:
        name: name of the sequence.
        action: one of the ten actions.
        video: uint8 (T, H, W, 3).
        person: bool (T, H, W).
        center: float (T, 2), (x, y) of the person.
    """

    name: str
    action: str
    video: np.ndarray
    person: np.ndarray
    center: np.ndarray

    @property
    def travels(self) -> bool:
        """Whether the person moves through the picture."""
        return self.action in TRAVELLING

    def flow(self, pairs: np.ndarray) -> np.ndarray:
        """The true flow on the person and zero elsewhere: float32 (P, H, W, 2)."""
        moves = (self.center[pairs[:, 1]] - self.center[pairs[:, 0]]).astype(np.float32)
        return self.person[pairs[:, 0], :, :, None] * moves[:, None, None]

    def every(self, stride: int) -> "Scene":
        """Every ``stride``-th frame."""
        part = slice(None, None, stride)
        return Scene(self.name, self.action, self.video[part], self.person[part], self.center[part])


def scenes(archive: Path, backgrounds: list[np.ndarray], frames: int, seed: int = 0) -> Iterator[Scene]:
    """A scene from the middle of each sequence that is long enough.

    Args:
        archive: npz with ``names``, ``label``, ``classes``, ``lengths`` and bit-packed ``frames`` (144 x 180).
        backgrounds: real clips, uint8 (frames, SIZE, SIZE, 3), used in turn; the next one is the person's texture.
        frames: frames of each scene.
        seed: seed of the texture frame.
    """
    data = np.load(archive)
    starts = np.concatenate([[0], np.cumsum(data["lengths"])])
    rng = np.random.default_rng(seed)
    for n, (name, label) in enumerate(zip(data["names"], data["label"], strict=True)):
        first = starts[n] + (data["lengths"][n] - frames) // 2
        if data["lengths"][n] < frames:
            continue
        person = np.stack(
            [_enlarged(mask) for mask in np.unpackbits(data["frames"][first : first + frames], axis=2)[:, :, :180]]
        )
        if not person.any(axis=(1, 2)).all():
            continue  # the person enters later or leaves earlier
        center = np.stack([np.mean(np.nonzero(mask), axis=1)[::-1] for mask in person])
        texture = backgrounds[(n + 1) % len(backgrounds)][rng.integers(frames)]
        video = backgrounds[n % len(backgrounds)].copy()
        for picture, mask, (x, y) in zip(video, person, center - center[0], strict=True):
            moved = cv2.warpAffine(
                texture, np.array([[1, 0, x], [0, 1, y]], np.float32), (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT
            )
            picture[mask] = moved[mask]
        yield Scene(str(name), str(data["classes"][label]), video, person, center)


def _enlarged(mask: np.ndarray) -> np.ndarray:
    """A silhouette scaled to the width of the picture and centered: bool (SIZE, SIZE)."""
    rows = round(SIZE * mask.shape[0] / mask.shape[1])
    large = cv2.resize(mask.astype(np.float32), (SIZE, rows), interpolation=cv2.INTER_LINEAR) > 0.5
    return np.pad(large, (((SIZE - rows) // 2, SIZE - rows - (SIZE - rows) // 2), (0, 0)))


def encode(video: np.ndarray, path: Path, options: dict[str, str]) -> Path:
    """Write the video as H.264 with these options of libx264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
