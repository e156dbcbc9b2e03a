"""ARVideo (Ren, Zhu, Wei, Li, Yuille, Xie, 2024, arXiv 2405.15160): autoregression over clusters of tokens.

The grid is divided into clusters of 2 x 7 x 7 tokens in a random order. The encoder sees a fifth of the tokens of each
cluster, in this order, with block-causal attention; the decoder predicts all cubes of each cluster from the preceding
clusters. One pass trains every step of the order: as tokens are sorted, all clips have the same attention mask.

No program was released, and the paper leaves choices open. Chosen here: an order per clip (as in the first author's
D-iGPT), fixed positions and normalized targets of VideoMAE, 64 channels per decoder head, queries for all 15 predicted
clusters (15 x 98 = 1470; table 5 of the paper has 1372 = 14 x 98 beside 300 = 15 x 20 encoder tokens).

Shapes: B clips, C channels, T frames, H rows, W columns; K clusters of n tokens, k of them kept; V = (K - 1) k tokens
in the encoder, M = (K - 1) n predicted; D = width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.clusters import ClusterOrder, block_causal_mask, cluster_order, cluster_tokens, num_kept
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.methods.output import Output
from vmae_zoo.models import encoders
from vmae_zoo.models.cross_decoder import CrossDecoder
from vmae_zoo.models.sizes import decoder_size
from vmae_zoo.training.nulls import null_predictions


class ARVideo(MaskedMethod):
    """Autoregression over clusters of a clip's tokens.

    Args:
        size: size of encoder and decoder: tiny (ours), small, base (in the paper), large, huge.
        frames: frames of a clip (16 in the paper).
        image_size: rows and columns of a clip in pixels (224 in the paper).
        stride_frames: distance between the frames of a clip (4 on Kinetics, 2 on Something-Something V2); saved with
            the weights.
        cluster: tokens of a cluster along time, height, width ((2, 7, 7) in the paper).
        order: order of the clusters: "random" (in the paper), "spatial_first" or "temporal_first".
        drop: fraction of the tokens of a cluster that the encoder does not see (0.8 in the paper: 20 of 98 kept).
        normalise_target: predict normalized pixels, as VideoMAE; False: pixels in [0, 1].
        decoder_width: width of the decoder (512 in the paper).
        decoder_depth: blocks of the decoder (4 in the paper).
        decoder_num_heads: attention heads of the decoder.
        position: position embedding of encoder and decoder, see `vmae_zoo.models.positions.build_pos_embed`.
        rope_frequencies: of position "rope", see `vmae_zoo.models.rotary`.
        **shared: encoder, initialization and training, see `vmae_zoo.methods.base.Method`.
    """

    no_decay = frozenset({"query_token"})
    targets = "pixels"

    def __init__(
        self,
        size: str = "base",
        frames: int = 16,
        image_size: int = 224,
        stride_frames: int = 4,
        cluster: tuple[int, int, int] = (2, 7, 7),
        order: str = "random",
        drop: float = 0.8,
        normalise_target: bool = True,
        decoder_width: int | None = None,
        decoder_depth: int | None = None,
        decoder_num_heads: int | None = None,
        position: str = "sincos_1d",
        rope_frequencies: str = "paired",
        **shared: Any,
    ):
        super().__init__(size=size, **shared)
        decoder = decoder_size("arvideo", size, width=decoder_width, depth=decoder_depth, num_heads=decoder_num_heads)
        self.encoder = encoders.videomae(**self.hparams)
        self.grid = self.encoder.grid
        cluster_order(torch.zeros(1, dtype=torch.int64), self.grid, cluster, order, drop)  # checks the settings
        tokens_Kn = cluster_tokens(self.grid, cluster)
        steps, cluster_size = tokens_Kn.shape[0] - 1, tokens_Kn.shape[1]
        if not steps:
            raise ValueError(f"cluster = {tuple(cluster)} is the whole clip: choose a smaller one")
        kept = num_kept(cluster_size, drop)
        for name, buffer in (
            ("cluster_tokens", tokens_Kn),
            ("encoder_mask", block_causal_mask(steps, kept, kept)),
            ("decoder_mask", block_causal_mask(steps, cluster_size, kept)),
        ):
            self.register_buffer(name, buffer, persistent=False)
        self.cluster_tokens: Tensor
        self.encoder_mask: Tensor
        self.decoder_mask: Tensor
        self.encoder_to_decoder = nn.Linear(self.encoder.width, decoder.width, bias=False)
        self.decoder = CrossDecoder(
            self.grid,
            **vars(decoder),
            values=3 * 2 * self.grid.cube[1] ** 2,
            mlp_ratio=self.encoder.settings["mlp_ratio"],
            **self.encoder.position_settings,
        )

    def sample_mask(self, batch: dict[str, Any]) -> ClusterOrder:
        """An order of clusters, and the kept tokens of each, for each clip."""
        settings = self.hparams
        return cluster_order(batch["key"], self.grid, settings["cluster"], settings["order"], settings["drop"])

    def forward(self, video_BCTHW: Tensor, order: ClusterOrder) -> Output:
        """Predict every cluster but the first from the preceding ones.

        Clips are float, normalized by ``encoder.preprocessing``.

        Returns:
            Prediction and target (B, M, values), by cluster from the second on, by ascending token id in a cluster.
        """
        encoder_mask, decoder_mask = self._masks(order)
        visible_BV = order.kept[:, :-1].flatten(1)  # no cluster follows the last one
        tokens_BVD = self.encoder_to_decoder(self.encoder(video_BCTHW, visible_BV, encoder_mask))
        predicted_BM = self.cluster_tokens[order.order[:, 1:]].flatten(1)
        prediction_BMK = self.decoder(tokens_BVD, predicted_BM, decoder_mask, visible_BV)
        return self.reconstruction_output(prediction_BMK, video_BCTHW, predicted_BM)

    def null_predictions(self, video_BCTHW: Tensor, split: ClusterOrder) -> dict[str, Tensor]:
        """As of the base class, where a cluster is predicted from the kept tokens of the preceding ones only."""
        predicted_BM = self.cluster_tokens[split.order[:, 1:]].flatten(1)
        visible_BV, allowed_MV = split.kept[:, :-1].flatten(1), self._masks(split)[1]
        return null_predictions(self.make_targets(video_BCTHW), visible_BV, predicted_BM, self.grid, None, allowed_MV)

    def _masks(self, order: ClusterOrder) -> tuple[Tensor, Tensor]:
        """Attention masks of the encoder (V, V) and the decoder (M, V), the same for every clip."""
        clusters, size = self.cluster_tokens.shape
        if order.order.shape[1] != clusters or order.kept.shape[1] != clusters:
            raise ValueError(
                f"the order has {order.order.shape[1]} clusters, with kept tokens of {order.kept.shape[1]}, and this "
                f"model has {clusters}: sample it by `sample_mask` of this model"
            )
        steps, kept = clusters - 1, order.kept.shape[2]
        if steps * kept == len(self.encoder_mask):
            return self.encoder_mask, self.decoder_mask
        masks = block_causal_mask(steps, kept, kept), block_causal_mask(steps, size, kept)
        return masks[0].to(order.kept.device), masks[1].to(order.kept.device)
