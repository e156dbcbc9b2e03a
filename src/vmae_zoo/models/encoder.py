"""The encoder: cubes of a clip to tokens, position embedding, blocks, layer norm.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens of the grid, V of them visible; D = width.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.blocks import Block, BlockStack, init_linear, layer_norm
from vmae_zoo.models.check_input import check_input
from vmae_zoo.models.divided_attention import DividedBlock, check_tubes
from vmae_zoo.models.patchify import PatchEmbed
from vmae_zoo.models.positions import Trained, add_cls_position, build_pos_embed
from vmae_zoo.models.preprocessing import Normalize, Preprocessing
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.setting_checks import check_choice


class Encoder(BlockStack, VideoEncoder):
    """A vision transformer over the cubes of a clip.

    Args:
        grid: tokens of a clip.
        width: D.
        depth: blocks.
        num_heads: attention heads.
        mlp_ratio: hidden width of each MLP over D.
        position: kind of positions, see `vmae_zoo.models.positions.build_pos_embed`.
        rope_frequencies: of position "rope", see `vmae_zoo.models.rotary`.
        bias: "qv" (VideoMAE) or "qkv", see `vmae_zoo.models.blocks.Attention`.
        final_norm: a layer norm after the last block (pre-training; classifiers have ``fc_norm`` instead).
        fc_norm: a layer norm after pooling.
        drop_path: stochastic depth of the last block; grows linearly from 0.
        preprocessing: sampling of frames and normalization of pixels.
        attention: "joint", every token to every token, or "divided", see `vmae_zoo.models.divided_attention`.
        cls_token: a class token before the patch tokens.
        trained: frames, and rows and columns in pixels, of the clips that the weights were trained on, if they differ
            from the grid: fixed positions are resized from them, see `vmae_zoo.models.positions`.

    Attributes:
        settings: the arguments that define the architecture; `vmae_zoo.models.encoders.rebuild` takes them.
        check_values: in evaluation mode, outside of ``torch.compile``, refuse values that no normalized clip has; the
            check waits for the device.
    """

    check_values = True

    def __init__(
        self,
        grid: TokenGrid,
        width: int,
        depth: int,
        num_heads: int,
        *,
        mlp_ratio: float = 4.0,
        position: str = "sincos_1d",
        rope_frequencies: str = "paired",
        bias: str = "qv",
        final_norm: bool = True,
        fc_norm: bool = False,
        drop_path: float = 0.0,
        preprocessing: Preprocessing | None = None,
        attention: str = "joint",
        cls_token: bool = False,
        trained: Trained = (None, None),
    ):
        arguments = dict(locals())
        super().__init__()
        others = ("self", "__class__", "grid", "drop_path", "preprocessing")
        self.settings: dict[str, Any] = {name: value for name, value in arguments.items() if name not in others}
        check_choice("attention", attention, ("joint", "divided"))
        if position == "rope" and (attention == "divided" or cls_token):
            raise ValueError(
                "position = rope is not supported with divided attention or a class token: use another position"
            )
        self.grid = grid
        self.attention = attention
        self.width = width
        self.preprocessing = preprocessing or Preprocessing()
        self.normalizer = Normalize(self.preprocessing)
        self.patch_embed = PatchEmbed(grid, width)
        self.positions = build_pos_embed(position, grid, width, trained, num_heads, rope_frequencies)
        self.cls_token = nn.Parameter(nn.init.normal_(torch.empty(1, 1, width), std=0.02)) if cls_token else None
        rates = [drop_path * n / max(depth - 1, 1) for n in range(depth)]
        self.blocks = nn.ModuleList(
            DividedBlock(width, num_heads, grid.time, mlp_ratio, bias, rate, prefix=int(cls_token))
            if attention == "divided"
            else Block(width, num_heads, mlp_ratio, bias, rate)
            for rate in rates
        )
        self.norm = layer_norm(width) if final_norm else nn.Identity()
        self.fc_norm = layer_norm(width) if fc_norm else nn.Identity()
        self.apply(init_linear)

    def forward(
        self,
        video_BCTHW: Tensor,
        visible: Tensor | None = None,
        mask: Tensor | None = None,
        return_cls: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Encode a clip.

        Args:
            video_BCTHW: float (B, C, T, H, W), normalized by ``preprocessing``.
            visible: int64 (B, V) ids of the tokens to embed, in any order; None: all N.
            mask: bool (V, V) attention mask, True if the query (row) attends to the key (column); None: all pairs. A
                class token is the first row and column.
            return_cls: return the class token too.

        Returns:
            Patch tokens (B, V, D); with ``return_cls`` also the class token (B, D).

        Raises:
            ValueError: the clips are of another shape, dtype or range, see `vmae_zoo.models.check_input`.
        """
        values = self.check_values and not self.training and not torch.compiler.is_compiling()
        weight = self.patch_embed.proj.weight
        check_input(video_BCTHW, self.grid, weight.shape[1], weight.dtype, values)
        if return_cls and self.cls_token is None:
            raise ValueError("this encoder has no class token: pool its patch tokens instead (pool: mean)")
        if self.attention == "divided" and visible is not None:
            check_tubes(visible, self.grid)
        tokens_BVD = self.positions.add_to(self.patch_embed(video_BCTHW, visible), visible)
        rotation = self.positions.rotation(visible)
        if self.cls_token is not None:
            cls_B1D = add_cls_position(self.cls_token, self.positions).expand(tokens_BVD.shape[0], -1, -1)
            tokens_BVD = torch.cat([cls_B1D.to(tokens_BVD.dtype), tokens_BVD], dim=1)
        tokens_BVD = self.norm(self.run_blocks(tokens_BVD, mask, rotation))
        if self.cls_token is None:
            return tokens_BVD
        return (tokens_BVD[:, 1:], tokens_BVD[:, 0]) if return_cls else tokens_BVD[:, 1:]

    @property
    def position_settings(self) -> dict[str, Any]:
        """Arguments of `build_pos_embed` that a decoder or predictor shares."""
        return {name: self.settings[name] for name in ("position", "rope_frequencies", "trained")}

    @property
    def clip_shape(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a clip."""
        return self.grid.pixels

    def encode_cls(self, video_BCTHW: Tensor) -> Tensor:
        """The class token (B, D) of each clip; ``ValueError`` if the encoder has none."""
        return self(video_BCTHW, return_cls=True)[1]

    def pool(self, tokens_BND: Tensor) -> Tensor:
        """One feature per clip (B, D): the mean of its tokens, then ``fc_norm`` if there is one."""
        return self.fc_norm(tokens_BND.mean(1))


def resized(encoder: Encoder, frames: int, height: int, width: int) -> Encoder:
    """A copy of an encoder for clips of other frames, rows and columns of pixels, see `vmae_zoo.models.positions`."""
    new = TokenGrid.of_clip(frames, height, width, encoder.grid.cube)
    other = copy.deepcopy(encoder)
    frames_before, side_before = encoder.settings["trained"]
    old = encoder.grid.pixels
    other.settings = {**encoder.settings, "trained": (frames_before or old[0], side_before or old[1])}
    other.grid = other.patch_embed.grid = new
    other.positions = encoder.positions.for_grid(new)
    for block in other.blocks:
        if isinstance(block, DividedBlock):
            block.slices = new.time
    other.preprocessing = replace(encoder.preprocessing, frames=frames, size=min(height, width))
    return other
