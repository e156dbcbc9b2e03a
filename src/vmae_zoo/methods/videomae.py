"""VideoMAE (Tong, Song, Wang, Wang, NeurIPS 2022, arXiv 2203.12602).

A vision transformer encodes the tenth of the cubes of a clip that a tube mask leaves visible; a small decoder predicts
the pixels of the hidden cubes, normalized per cube and color channel. Only visible cubes are embedded, and targets are
computed of hidden ones only; the official program embeds all cubes and discards most, with the same result.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens of the grid, V visible, M predicted; D = width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.block_layout import VJEPA_SETS
from vmae_zoo.masking.multi_block import multi_block_masks
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.masking.tube import num_hidden, tube_mask
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.methods.output import Output
from vmae_zoo.models import encoders
from vmae_zoo.models.decoders import Decoder
from vmae_zoo.models.sizes import decoder_size
from vmae_zoo.setting_checks import check_choice


class VideoMAE(MaskedMethod):
    """Masked autoencoder over tubes of a clip.

    Args:
        size: size of encoder and decoder: tiny (ours), small, base, large, huge.
        frames: frames of a clip (16 in the paper).
        image_size: rows and columns of a clip in pixels (224 in the paper).
        stride_frames: distance between the frames of a clip (4 on Kinetics, 2 on Something-Something V2); saved with
            the weights.
        mask_ratio: fraction of hidden tokens (0.9 in the paper; 0.75 on UCF101 and HMDB51).
        normalise_target: predict normalized pixels, as every script; False: pixels in [0, 1].
        decoder_width: width of the decoder.
        decoder_depth: blocks of the decoder.
        decoder_num_heads: attention heads of the decoder.
        masks: "tube" (in the paper), or "multi_block", short-range and long-range masks of V-JEPA at alternate steps
            (the first stage of SALT, Li et al., 2025, arXiv 2509.24317), to which ``mask_ratio`` does not apply.
        attention: attention of the encoder, "joint" (in the paper) or "divided", see
            `vmae_zoo.models.divided_attention`.
        position: position embedding of encoder and decoder ("sincos_1d" in the paper), see
            `vmae_zoo.models.positions.build_pos_embed`.
        rope_frequencies: of position "rope", see `vmae_zoo.models.rotary`.
        final_norm: layer norm after the last block of the encoder; False only for weights that transformers pre-trained
            with its default ``use_mean_pooling``.
        **shared: encoder, initialization and training, see `vmae_zoo.methods.base.Method`.
    """

    decoder_name = "videomae"
    no_decay = frozenset({"mask_token"})
    targets = "pixels"

    def __init__(
        self,
        size: str = "base",
        frames: int = 16,
        image_size: int = 224,
        stride_frames: int = 4,
        mask_ratio: float = 0.9,
        normalise_target: bool = True,
        decoder_width: int | None = None,
        decoder_depth: int | None = None,
        decoder_num_heads: int | None = None,
        masks: str = "tube",
        attention: str = "joint",
        final_norm: bool = True,
        position: str = "sincos_1d",
        rope_frequencies: str = "paired",
        **shared: Any,
    ):
        super().__init__(size=size, **shared)
        decoder = decoder_size(
            self.decoder_name, size, width=decoder_width, depth=decoder_depth, num_heads=decoder_num_heads
        )
        self.encoder = encoders.videomae(**self.hparams)
        self.grid = self.encoder.grid
        num_hidden(self.grid.per_slice, mask_ratio)  # checks the ratio before any data is read
        check_choice("masks", masks, ("tube", "multi_block"))
        self.encoder_to_decoder = nn.Linear(self.encoder.width, decoder.width, bias=False)
        mask_token = nn.init.trunc_normal_(torch.zeros(1, 1, decoder.width), std=0.02, a=-0.02, b=0.02)
        self.mask_token = nn.Parameter(mask_token)
        self.decoder = Decoder(
            self.grid,
            **vars(decoder),
            values=3 * 2 * self.grid.cube[1] ** 2,
            mlp_ratio=self.encoder.settings["mlp_ratio"],
            **self.encoder.position_settings,
        )

    def sample_mask(self, batch: dict[str, Any]) -> TokenSplit:
        """A tube mask for each clip; or a multi-block mask, short-range at even steps and long-range at odd ones."""
        if self.hparams["masks"] == "multi_block":
            step = self.global_step if self.training else 0
            return multi_block_masks(batch["key"], self.grid, step, (VJEPA_SETS[step % len(VJEPA_SETS)],))[0]
        return tube_mask(batch["key"], self.grid, self.hparams["mask_ratio"])

    def forward(self, video_BCTHW: Tensor, split: TokenSplit) -> Output:
        """Predict the pixels of ``split.predicted`` from the tokens of ``split.visible``.

        Clips are float, normalized by ``encoder.preprocessing``; ``split.weight`` weighs tokens in the loss.
        """
        visible_BVD = self.encoder_to_decoder(self.encoder(video_BCTHW, split.visible))
        prediction_BMK = self.decoder(visible_BVD, self.mask_token, split)
        return self.reconstruction_output(prediction_BMK, video_BCTHW, split.predicted, split.weight)
