"""Space-time MAE (Feichtenhofer, Fan, Li, He, NeurIPS 2022, arXiv 2205.09113).

MAE over the cubes of a clip with minimal assumptions about video: masks are random over space and time, positions are
learned, one table for space plus one for time. Of each hidden cube one frame of the normalized input is predicted. The
decoder has a class token of its own.

In the paper, random masks are better than tubes; in VideoMAE's, tubes are better than random masks.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens of the grid, V visible, M predicted; D = width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.random import num_visible, random_mask
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.methods.output import Output
from vmae_zoo.models import encoders
from vmae_zoo.models.blocks import init_linear, init_separate_qkv, init_truncated
from vmae_zoo.models.decoders import Decoder
from vmae_zoo.models.sizes import decoder_size


class MAEST(MaskedMethod):
    """Masked autoencoder of clips with space-time-agnostic masks.

    Args:
        size: size of encoder and decoder: tiny, small (ours), base, large, huge.
        frames: frames of a clip (16 in the paper).
        image_size: rows and columns of a clip in pixels (224 in the paper).
        stride_frames: distance between the frames of a clip (4 in the paper); saved with the weights.
        mask_ratio: fraction of hidden tokens (0.9 in the paper: 156 of 1568 are visible).
        pred_t_dim: number of predicted frames, evenly spaced (8 of 16 in the published recipe: one per cube).
        normalise_target: predict normalized values, as in the published recipe; False: the input as it is.
        trunc_init: initialize linear layers, patch embedding and mask token by a truncated normal of standard deviation
            0.02, an option of the official program that its recipe does not use.
        decoder_width: width of the decoder (512 in the paper).
        decoder_depth: blocks of the decoder (4 in the paper).
        decoder_num_heads: attention heads of the decoder (16 in the paper).
        base_lr: learning rate per 256 clips, without repeats (1.6e-3 in the released recipe).
        min_lr: final learning rate, per 256 clips (0 in the released recipe).
        warmup_epochs: loader epochs of the warm-up (5 of 100 in the released recipe, with 4 repeats).
        **shared: encoder, initialization and training, see `vmae_zoo.methods.base.Method`.
    """

    targets = "input"

    def __init__(
        self,
        size: str = "base",
        frames: int = 16,
        image_size: int = 224,
        stride_frames: int = 4,
        mask_ratio: float = 0.9,
        pred_t_dim: int = 8,
        normalise_target: bool = True,
        trunc_init: bool = False,
        decoder_width: int | None = None,
        decoder_depth: int | None = None,
        decoder_num_heads: int | None = None,
        base_lr: float = 1.6e-3,
        min_lr: float = 0.0,
        warmup_epochs: float = 5,
        **shared: Any,
    ):
        super().__init__(size=size, base_lr=base_lr, min_lr=min_lr, warmup_epochs=warmup_epochs, **shared)
        decoder = decoder_size("mae_st", size, width=decoder_width, depth=decoder_depth, num_heads=decoder_num_heads)
        self.encoder = encoders.mae_st(**self.hparams)
        self.grid = self.encoder.grid
        num_visible(self.grid.tokens, mask_ratio)  # checks the ratio before any data is read
        self._target_grid = target_grid(self.grid, pred_t_dim)
        self.register_buffer("predicted_frames", spread_frames(frames, pred_t_dim), persistent=False)
        self.predicted_frames: Tensor
        self.encoder_to_decoder = nn.Linear(self.encoder.width, decoder.width)
        init_linear(self.encoder_to_decoder)
        self.mask_token = nn.Parameter(nn.init.normal_(torch.empty(1, 1, decoder.width), std=0.02))
        self.decoder_cls_token = nn.Parameter(torch.zeros(1, 1, decoder.width))
        self.decoder = Decoder(
            self.grid,
            **vars(decoder),
            values=3 * self.target_grid.cube[0] * self.grid.cube[1] ** 2,
            mlp_ratio=self.encoder.settings["mlp_ratio"],
            bias="qkv",
            **self.encoder.position_settings,
        )
        self.apply(init_truncated if trunc_init else init_separate_qkv)
        if trunc_init:
            for start in (self.mask_token, self.encoder.patch_embed.proj.weight):
                nn.init.trunc_normal_(start, std=0.02)

    @property
    def target_grid(self) -> TokenGrid:
        """The tokens over the predicted frames."""
        return self._target_grid

    @property
    def target_frames(self) -> Tensor:
        """Indices of the predicted frames."""
        return self.predicted_frames

    def sample_mask(self, batch: dict[str, Any]) -> TokenSplit:
        """A mask for each clip, random over space and time."""
        return random_mask(batch["key"], self.grid, self.hparams["mask_ratio"])

    def forward(self, video_BCTHW: Tensor, split: TokenSplit) -> Output:
        """Predict the target frames of ``split.predicted`` from the tokens of ``split.visible``.

        Clips are float, normalized by ``encoder.preprocessing``; ``split.weight`` weighs tokens in the loss.
        """
        visible_BVD = self.encoder_to_decoder(self.encoder(video_BCTHW, split.visible))
        cls_B1D = self.decoder_cls_token.expand(len(visible_BVD), -1, -1)
        prediction_BMK = self.decoder(visible_BVD, self.mask_token, split, cls_B1D)
        return self.reconstruction_output(prediction_BMK, video_BCTHW, split.predicted, split.weight)


def spread_frames(frames: int, chosen: int) -> Tensor:
    """``linspace(0, frames - 1, chosen)`` rounded down: 0, 2, 4, 6, 8, 10, 12, 15 for 8 of 16; int64 (chosen,)."""
    return torch.arange(chosen) * (frames - 1) // max(chosen - 1, 1)


def target_grid(grid: TokenGrid, pred_t_dim: int) -> TokenGrid:
    """The tokens over ``pred_t_dim`` frames; ``ValueError`` if every token cannot have the same number of them."""
    if pred_t_dim < grid.time or pred_t_dim % grid.time or pred_t_dim > grid.pixels[0]:
        raise ValueError(
            f"pred_t_dim = {pred_t_dim}: choose a multiple of {grid.time}, the number of time slices, up to "
            f"{grid.pixels[0]}, the number of frames"
        )
    return TokenGrid(grid.time, grid.height, grid.width, (pred_t_dim // grid.time, *grid.cube[1:]))
