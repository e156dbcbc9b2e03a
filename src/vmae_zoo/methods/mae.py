"""MAE on images or single frames (He, Chen, Xie, Li, Dollár, Girshick, CVPR 2022, arXiv 2111.06377).

A vision transformer with a class token encodes the quarter of the patches that a random mask leaves visible; a decoder
predicts the others. Different from VideoMAE: random masks, 2-D positions, a class token, targets of the normalized
input (all channels of a patch normalized together), and a wider decoder. An image is a clip of one frame.

The sequence of the decoder is class token, visible tokens, mask tokens; the official program restores the order of the
image, with the same result.

Shapes: B images, C channels, T = 1 frame, H rows, W columns; N patches, V visible, M predicted; D = width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.random import num_visible, random_mask
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.methods.output import Output
from vmae_zoo.models import encoders
from vmae_zoo.models.blocks import init_linear
from vmae_zoo.models.decoders import Decoder
from vmae_zoo.models.sizes import decoder_size


class MAE(MaskedMethod):
    """Masked autoencoder of images.

    Args:
        size: size of encoder and decoder: tiny, small (ours), base, large, huge (patches of 14 pixels).
        image_size: rows and columns of an image in pixels (224 in the paper).
        mask_ratio: fraction of hidden patches (0.75 in the paper).
        normalise_target: predict normalized patches, as in the published recipe; False: the input as it is.
        patch: rows and columns of a patch in pixels; None: 14 for huge, as published, else 16.
        decoder_width: width of the decoder (512 in the paper).
        decoder_depth: blocks of the decoder (8 in the paper).
        decoder_num_heads: attention heads of the decoder (16 in the paper).
        min_lr: final learning rate, per 256 images (0 in the paper).
        **shared: encoder, initialization and training, see `vmae_zoo.methods.base.Method`.
    """

    targets = "input"

    def __init__(
        self,
        size: str = "base",
        image_size: int = 224,
        mask_ratio: float = 0.75,
        normalise_target: bool = True,
        patch: int | None = None,
        decoder_width: int | None = None,
        decoder_depth: int | None = None,
        decoder_num_heads: int | None = None,
        min_lr: float = 0.0,
        **shared: Any,
    ):
        super().__init__(size=size, patch=patch, min_lr=min_lr, **shared)
        decoder = decoder_size("mae", size, width=decoder_width, depth=decoder_depth, num_heads=decoder_num_heads)
        self.encoder = encoders.mae(**self.hparams)
        self.grid = self.encoder.grid
        num_visible(self.grid.tokens, mask_ratio)  # checks the ratio before any data is read
        self.encoder_to_decoder = nn.Linear(self.encoder.width, decoder.width)
        init_linear(self.encoder_to_decoder)
        self.mask_token = nn.Parameter(nn.init.normal_(torch.empty(1, 1, decoder.width), std=0.02))
        self.decoder = Decoder(
            self.grid,
            **vars(decoder),
            values=3 * self.grid.cube[1] ** 2,
            mlp_ratio=self.encoder.settings["mlp_ratio"],
            bias="qkv",
            **self.encoder.position_settings,
        )

    def sample_mask(self, batch: dict[str, Any]) -> TokenSplit:
        """A random mask for each image."""
        return random_mask(batch["key"], self.grid, self.hparams["mask_ratio"])

    def forward(self, video_BCTHW: Tensor, split: TokenSplit) -> Output:
        """Predict the patches of ``split.predicted`` from those of ``split.visible``.

        Images are float, normalized by ``encoder.preprocessing``; ``split.weight`` weighs patches in the loss.
        """
        visible_BVD, cls_BD = self.encoder(video_BCTHW, split.visible, return_cls=True)
        tokens = self.encoder_to_decoder(torch.cat([cls_BD[:, None], visible_BVD], dim=1))
        prediction_BMK = self.decoder(tokens[:, 1:], self.mask_token, split, cls_B1D=tokens[:, :1])
        return self.reconstruction_output(prediction_BMK, video_BCTHW, split.predicted, split.weight)
