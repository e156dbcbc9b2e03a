"""Weights of an image encoder for an encoder of clips.

As in I3D (Carreira, Zisserman, CVPR 2017, arXiv 1705.07750): the patch embedding is repeated over a cube's frames and
divided by their number, so that a still clip gives the tokens of its image. Time slices start alike: temporal positions
are zero (Feichtenhofer et al., NeurIPS 2022, arXiv 2205.09113, appendix A).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.positions import sincos_2d


def inflate(weights: Mapping[str, Tensor], grid: TokenGrid, position: str = "sincos_2d") -> dict[str, Tensor]:
    """The weights of an MAE encoder, for an encoder of clips with the same sizes.

    Args:
        weights: ``state_dict`` of the image encoder.
        grid: how the clips are cut.
        position: of the encoder of clips; "separable" gets the image table for places, zeros for time and the class
            token; other kinds have no weights.

    Raises:
        ValueError: the patches of image and clip differ in size.
    """
    inflated = dict(weights)
    name = "patch_embed.proj.weight"
    image_D3qr = weights[name].squeeze(2) if weights[name].ndim == 5 else weights[name]
    frames, *patch = grid.cube
    if list(image_D3qr.shape[2:]) != patch:
        raise ValueError(
            f"the image encoder has patches of {tuple(image_D3qr.shape[2:])} pixels, the clips {tuple(patch)}: "
            "set patch to the image encoder's"
        )
    inflated[name] = image_D3qr[:, :, None].repeat(1, 1, frames, 1, 1) / frames
    if position == "separable":
        width = len(image_D3qr)
        inflated["positions.pos_embed_spatial"] = sincos_2d(grid.height, grid.width, width)[None]
        inflated["positions.pos_embed_temporal"] = torch.zeros(1, grid.time, width)
        inflated["positions.pos_embed_class"] = torch.zeros(1, 1, width)
    return inflated
