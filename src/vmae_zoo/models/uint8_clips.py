"""Normalized clips that stay uint8 until a model reads cubes of them.

A masked method reads a tenth of each clip as input and the rest as target. Normalizing the whole clip first, and
undoing it for targets of pixels, moves 375 MB of float32 per clip of 16 x 224 x 224 pixels through memory.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from vmae_zoo.models.preprocessing import Normalize


class UInt8Clips(Tensor):
    """A float tensor (B, C, T, H, W) of normalized clips whose values are computed when they are read.

    The embedding of an encoder and the targets of a method cut cubes of ``pixels`` and normalize those; frames are
    selected without normalization; every other operation gets the normalized values.
    """

    pixels: Tensor  # uint8, 0..255
    normalizer: Normalize

    @staticmethod
    def __new__(cls, pixels: Tensor, normalizer: Normalize) -> "UInt8Clips":  # noqa: D102
        dtype = torch.get_default_dtype()  # bfloat16 with bf16-true
        clips = Tensor._make_wrapper_subclass(cls, pixels.shape, dtype=dtype, device=pixels.device)
        clips.pixels, clips.normalizer = pixels, normalizer
        return clips

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Normalize, except to select frames."""
        if func is torch.ops.aten.index_select.default and args[1] == 2:
            return cls(args[0].pixels.index_select(*args[1:]), args[0].normalizer)
        args, kwargs = tree_map_only(cls, lambda clips: clips.normalizer(clips.pixels), (args, kwargs or {}))
        return func(*args, **kwargs)
