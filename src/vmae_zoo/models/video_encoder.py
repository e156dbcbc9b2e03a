"""The interface of an encoder: what probes, feature extraction and export call. Derive your own encoder from it.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens, D = width.
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from vmae_zoo.models.load_report import LoadReport
from vmae_zoo.models.preprocessing import Normalize, Preprocessing

if TYPE_CHECKING:
    from vmae_zoo.data.input_clip import Source


class VideoWindow(NamedTuple):
    """A window of a video: its first frame, counted from 0, and the normalized clip (1, 3, T, H, W)."""

    start: int
    video: Tensor


class VideoEncoder(nn.Module):
    """Base class of encoders.

    ``forward`` maps normalized clips, float (B, C, T, H, W), to patch tokens (B, N, D).

    Attributes:
        preprocessing: which frames to read, and how to normalize them.
        loaded: where its weights came from; None if `vmae_zoo.load_pretrained` did not load them.
    """

    preprocessing: Preprocessing
    loaded: LoadReport | None = None

    @property
    def clip_shape(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a clip."""
        return self.preprocessing.frames, self.preprocessing.size, self.preprocessing.size

    def preprocess(self, frames: Union["Source", Sequence["Source"]]) -> Tensor:
        """The input of the encoder, made as every evaluation makes it.

        Args:
            frames: the path of a video, whose middle clip is read; or the T frames of a clip, uint8 (T, H, W, 3), which
                are resized on the shorter side and cropped to the center. A list of these, or an array (B, T, H, W, 3),
                is a batch.

        Returns:
            Normalized clips (B, 3, T, H, W), on the device and in the dtype of the encoder.

        Raises:
            ValueError: a video cannot be read, or frames are of another dtype or shape.
        """
        from vmae_zoo.data.input_clip import input_clip, sources_of  # the decoder, which loading needs not

        clip, (_, rows, columns) = self.preprocessing.clip, self.clip_shape
        if rows != columns:
            raise ValueError(
                f"the encoder takes clips of {rows} x {columns} pixels, and preprocess makes square ones: crop the "
                "frames and normalize them by vmae_zoo.models.preprocessing.Normalize"
            )
        return self._normalized(np.stack([input_clip(source, clip) for source in sources_of(frames)[0]]))

    def windows(self, path: str | PathLike[str], hop: int | None = None) -> Iterator[VideoWindow]:
        """Windows that cover a video of any length, each a clip as `preprocess` makes it.

        Args:
            path: the video.
            hop: frames of the video from the start of one window to the next; None: windows do not overlap.

        Raises:
            ValueError: the video cannot be read.
        """
        from vmae_zoo.data.windows import Windows
        from vmae_zoo.datasets.layouts import ClipRecord

        file = Path(path)
        windows = Windows(ClipRecord(file.name, str(file), split="test"), self.preprocessing.clip, hop)
        frames = (rearrange(windows[index], "c t h w -> 1 t h w c").numpy() for index in range(len(windows)))
        return (VideoWindow(start, self._normalized(clip)) for start, clip in zip(windows.starts, frames, strict=True))

    def _normalized(self, clips_BTHWC: np.ndarray) -> Tensor:
        like = next((each for each in self.parameters() if each.is_floating_point()), torch.empty(0))
        video_BCTHW = rearrange(torch.from_numpy(clips_BTHWC).to(like.device), "b t h w c -> b c t h w")
        return Normalize(self.preprocessing).to(like.device)(video_BCTHW).to(like.dtype)

    def pool(self, tokens_BND: Tensor) -> Tensor:
        """One feature per clip (B, D): by default the mean of its tokens."""
        return tokens_BND.mean(1)

    def encode_cls(self, video_BCTHW: Tensor) -> Tensor:
        """The class token (B, D) of each clip; ``ValueError`` if the encoder has none."""
        raise ValueError(f"{type(self).__name__} has no class token: pool the patch tokens instead (pool: mean)")
