"""MAE on images or single frames (He, Chen, Xie, Li, Dollár, Girshick, CVPR 2022, arXiv 2111.06377).

A vision transformer with a class token encodes the quarter of the patches that a random mask leaves visible; a decoder
predicts the others. Against VideoMAE: random masks, 2-D positions, a class token, targets from the network's own
normalised input (a patch's channels normalised together), and a wider decoder. An image is a clip of one frame.

The decoder sees class token, visible and mask tokens in this order; the official program puts them back in image order,
with the same result, as positions carry the order.

Shapes: B images, C channels, T = 1 frame, H rows, W columns; N patches, V visible, M predicted; D = width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.masking.uniform import kept_tokens, uniform_split
from vmae_zoo.methods.base import Method, Output, weighted_mse
from vmae_zoo.models.blocks import init_linear, init_patch_projection
from vmae_zoo.models.cubes import gather_cubes
from vmae_zoo.models.decoders import Decoder
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.preprocessing import Preprocessing
from vmae_zoo.models.sizes import decoder_size, encoder_size
from vmae_zoo.models.targets import cube_values, normalised_patches


class MAE(Method):
    """Masked autoencoder of images.

    Args:
        size: encoder and decoder: tiny, small (ours), base, large, huge (patches of 14 pixels) as published.
        image_size: rows and columns of an image in pixels (224 in the paper).
        mask_ratio: share of hidden patches (0.75 in the paper).
        normalise_target: predict normalised patches, as the published recipe does; False: the input as it is.
        width: of the encoder; this and the following override ``size``.
        depth: blocks of the encoder.
        num_heads: of the encoder.
        mlp_ratio: hidden width of the MLPs over the width.
        patch: side of a patch in pixels.
        decoder_width: of the decoder (512 in the paper).
        decoder_depth: blocks of the decoder (8 in the paper).
        decoder_num_heads: of the decoder (16 in the paper).
        min_lr: rate at the end, per 256 images (0 in the paper).
        **training: see `vmae_zoo.methods.base.Method`.
    """

    targets = "input"

    def __init__(
        self,
        size: str = "base",
        image_size: int = 224,
        mask_ratio: float = 0.75,
        normalise_target: bool = True,
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float | None = None,
        patch: int | None = None,
        decoder_width: int | None = None,
        decoder_depth: int | None = None,
        decoder_num_heads: int | None = None,
        min_lr: float = 0.0,
        **training: Any,
    ):
        super().__init__(min_lr=min_lr, **training)
        self.save_hyperparameters()
        encoder, decoder = encoder_size(size), decoder_size("mae", size)
        patch, mlp_ratio = patch or (14 if size == "huge" else encoder.patch), mlp_ratio or encoder.mlp_ratio
        self.grid = TokenGrid.of_clip(1, image_size, image_size, (1, patch, patch))
        kept_tokens(self.grid.tokens, mask_ratio)  # a bad ratio is told before any data is read
        width, decoder_width = width or encoder.width, decoder_width or decoder.width
        self.encoder = Encoder(
            self.grid,
            width,
            depth or encoder.depth,
            num_heads or encoder.num_heads,
            mlp_ratio=mlp_ratio,
            position="sincos_2d",
            bias="qkv",
            preprocessing=Preprocessing(frames=1, stride_frames=1, size=image_size),
            cls_token=True,
        )
        init_patch_projection(self.encoder.patch_embed.proj)
        self.encoder_to_decoder = nn.Linear(width, decoder_width)
        init_linear(self.encoder_to_decoder)
        self.mask_token = nn.Parameter(nn.init.normal_(torch.empty(1, 1, decoder_width), std=0.02))
        self.decoder = Decoder(
            self.grid,
            decoder_width,
            decoder_depth or decoder.depth,
            decoder_num_heads or decoder.num_heads,
            values=3 * patch * patch,
            mlp_ratio=mlp_ratio,
            position="sincos_2d",
            bias="qkv",
        )

    def draw(self, batch: dict[str, Any]) -> TokenSplit:
        """A random mask per image."""
        return uniform_split(batch["key"], self.grid, self.hparams["mask_ratio"])

    def forward(self, video_BCTHW: Tensor, split: TokenSplit) -> Output:
        """Predict the patches of ``split.predicted`` from those of ``split.visible``.

        Args:
            video_BCTHW: float images (B, 3, 1, H, W), normalised as ``encoder.preprocessing`` says.
            split: any split of the grid; with ``split.weight`` the loss is the weighted mean over predicted patches.
        """
        visible_BVD, cls_BD = self.encoder(video_BCTHW, split.visible, return_cls=True)
        tokens = self.encoder_to_decoder(torch.cat([cls_BD[:, None], visible_BVD], dim=1))
        prediction_BMK = self.decoder(tokens[:, 1:], self.mask_token, split, cls_B1D=tokens[:, :1])
        with torch.no_grad():
            patches = gather_cubes(video_BCTHW, self.grid, split.predicted)
            target_BMK = normalised_patches(patches) if self.hparams["normalise_target"] else cube_values(patches)
        loss = weighted_mse(prediction_BMK, target_BMK, split.weight)
        return Output(loss, prediction_BMK, target_BMK, split.weight)
