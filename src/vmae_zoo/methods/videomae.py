"""VideoMAE (Tong, Song, Wang, Wang, NeurIPS 2022, arXiv 2203.12602).

A plain vision transformer encodes the tenth of a clip's cubes that a tube mask leaves visible; a small decoder predicts
the hidden cubes' pixels, each cube and colour channel normalised. Only visible cubes are embedded, only hidden ones
decoded to pixels and made into targets: the official program embeds all and throws most away, with the same result.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens of the grid, V visible, M predicted; D = width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.multi_block import VJEPA_SETS, multi_block_masks
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.masking.tube import num_hidden, tube_mask
from vmae_zoo.methods.base import MaskedMethod, Output, weighted_mse
from vmae_zoo.models import encoders
from vmae_zoo.models.decoders import Decoder
from vmae_zoo.models.sizes import decoder_size


class VideoMAE(MaskedMethod):
    """Masked autoencoder over tubes of a clip.

    Args:
        size: of encoder and decoder as published: tiny (ours), small, base, large, huge.
        frames: frames of a clip (16 in the paper).
        image_size: rows and columns of a clip in pixels (224 in the paper).
        stride_frames: from one frame of the clip to the next (4 on Kinetics, 2 on Something-Something V2); kept with
            the weights.
        mask_ratio: share of hidden places (0.9 in the paper; 0.75 on UCF101 and HMDB51).
        normalise_target: predict normalised pixels, as every script does; False: plain pixels in [0, 1].
        decoder_width: of the decoder.
        decoder_depth: blocks of the decoder.
        decoder_num_heads: of the decoder.
        masks: "tube" (the paper's), or "multi_block", V-JEPA's short-range and long-range masks in turn (the first
            stage of SALT, Li et al., 2025, arXiv 2509.24317), whose sizes ``mask_ratio`` does not change.
        attention: of the encoder: "joint" (the paper's) or "divided", see `vmae_zoo.models.divided_attention`.
        position: kind of positions, of encoder and decoder, see `vmae_zoo.models.positions.positions`; "sincos_1d" in
            the paper.
        rope_frequencies: of position "rope", see `vmae_zoo.models.rotary`.
        final_norm: a layer norm after the encoder's last block; False only for weights that transformers pre-trained
            with its default ``use_mean_pooling``.
        **shared: sizes of the encoder, starting weights and training, see `vmae_zoo.methods.base.Method`.
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
        self.save_hyperparameters()
        decoder = decoder_size(
            self.decoder_name, size, width=decoder_width, depth=decoder_depth, num_heads=decoder_num_heads
        )
        self.encoder = encoders.videomae(**self.hparams)
        self.grid = self.encoder.grid
        num_hidden(self.grid.per_slice, mask_ratio)  # a bad ratio is told before any data is read
        if masks not in ("tube", "multi_block"):
            raise ValueError(f"masks = {masks!r} is not known: choose tube or multi_block")
        self.encoder_to_decoder = nn.Linear(self.encoder.width, decoder.width, bias=False)  # PyTorch's own start
        self.mask_token = nn.Parameter(
            nn.init.trunc_normal_(torch.zeros(1, 1, decoder.width), std=0.02, a=-0.02, b=0.02)
        )
        self.decoder = Decoder(
            self.grid,
            **vars(decoder),
            values=3 * 2 * self.grid.cube[1] ** 2,
            mlp_ratio=self.encoder.settings["mlp_ratio"],
            trained=self.encoder.settings["trained"],
            position=position,
            rope_frequencies=rope_frequencies,
        )

    def sample_mask(self, batch: dict[str, Any]) -> TokenSplit:
        """A tube mask per clip; or a multi-block mask, of one set at even and of the other at odd steps."""
        if self.hparams["masks"] == "multi_block":
            step = self.global_step if self.training else 0
            return multi_block_masks(batch["key"], self.grid, step, (VJEPA_SETS[step % len(VJEPA_SETS)],))[0]
        return tube_mask(batch["key"], self.grid, self.hparams["mask_ratio"])

    def forward(self, video_BCTHW: Tensor, split: TokenSplit) -> Output:
        """Predict the pixels of ``split.predicted`` from the tokens of ``split.visible``.

        Args:
            video_BCTHW: float, normalised as ``encoder.preprocessing`` says.
            split: any split of the grid; with ``split.weight`` the loss is the weighted mean over predicted tokens.
        """
        visible_BVD = self.encoder_to_decoder(self.encoder(video_BCTHW, split.visible))
        prediction_BMK = self.decoder(visible_BVD, self.mask_token, split)
        target_BMK = self.make_targets(video_BCTHW, split.predicted)
        loss = weighted_mse(prediction_BMK, target_BMK, split.weight)
        return Output(loss, prediction_BMK, target_BMK, split.weight)
