"""The interface of an encoder: what probes, feature extraction and export call. Derive your own encoder from it.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens, D = width.
"""

from torch import Tensor, nn

from vmae_zoo.models.load_report import LoadReport
from vmae_zoo.models.preprocessing import Preprocessing


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

    def pool(self, tokens_BND: Tensor) -> Tensor:
        """One feature per clip (B, D): by default the mean of its tokens."""
        return tokens_BND.mean(1)

    def encode_cls(self, video_BCTHW: Tensor) -> Tensor:
        """The class token (B, D) of each clip.

        Raises:
            ValueError: the encoder has no class token.
        """
        raise ValueError(f"{type(self).__name__} has no class token: pool the patch tokens instead (pool: mean)")
