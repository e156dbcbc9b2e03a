"""ARVideo (Ren, Zhu, Wei, Li, Yuille, Xie, 2024, arXiv 2405.15160): autoregression over clusters of tokens.

The grid is cut into clusters of 2 x 7 x 7 tokens, visited in a random order. The encoder sees a fifth of each cluster's
tokens, sorted by visit, and may look back but not ahead; the decoder predicts all cubes of each cluster from the
clusters visited before it. One pass trains every step of the order: tokens are sorted, so one mask serves all clips.

No program was released and the paper leaves choices open; taken here: an order per clip (as the first author's D-iGPT),
VideoMAE's fixed positions and normalised targets, 64 channels a decoder head, queries for all 15 predicted clusters
(15 x 98 = 1470; the paper's table 5 prints 1372 = 14 x 98 beside 300 = 15 x 20 encoder tokens).

Shapes: B clips, C channels, T frames, H rows, W columns; K clusters of n tokens, k of them kept; V = (K - 1) k tokens
in the encoder, M = (K - 1) n predicted; D = width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.clusters import ClusterOrder, block_causal_mask, cluster_order, cluster_tokens, num_kept
from vmae_zoo.methods.base import MaskedMethod, Output, weighted_mse
from vmae_zoo.models import encoders
from vmae_zoo.models.cross_decoder import CrossDecoder
from vmae_zoo.models.sizes import decoder_size
from vmae_zoo.training.nulls import null_predictions


class ARVideo(MaskedMethod):
    """Autoregression over clusters of a clip's tokens.

    Args:
        size: encoder and decoder: tiny (ours), small, base, large, huge; the paper has base.
        frames: frames of a clip (16 in the paper).
        image_size: rows and columns of a clip in pixels (224 in the paper).
        stride_frames: from one frame of the clip to the next (4 on Kinetics, 2 on Something-Something V2); kept with
            the weights.
        cluster: tokens of a cluster along time, height, width ((2, 7, 7) in the paper).
        order: of visit, "random" (the paper's), "spatial_first" or "temporal_first".
        drop: share of each cluster's tokens that the encoder does not see (0.8 in the paper: 20 of 98 kept).
        normalise_target: predict normalised pixels, as VideoMAE; False: plain pixels in [0, 1].
        decoder_width: of the decoder (512 in the paper).
        decoder_depth: blocks of the decoder (4 in the paper).
        decoder_num_heads: of the decoder.
        position: kind of positions, of encoder and decoder, see `vmae_zoo.models.positions.positions`.
        rope_frequencies: of position "rope", see `vmae_zoo.models.rotary`.
        **shared: sizes of the encoder, starting weights and training, see `vmae_zoo.methods.base.Method`.
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
        self.save_hyperparameters()
        decoder = decoder_size("arvideo", size, width=decoder_width, depth=decoder_depth, num_heads=decoder_num_heads)
        self.encoder = encoders.videomae(**self.hparams)
        self.grid = self.encoder.grid
        cluster_order(torch.zeros(1, dtype=torch.int64), self.grid, cluster, order, drop)  # bad settings are told now
        tokens_Kn = cluster_tokens(self.grid, cluster)
        steps, size_of_cluster = tokens_Kn.shape[0] - 1, tokens_Kn.shape[1]
        if not steps:
            raise ValueError(f"cluster = {tuple(cluster)} makes one cluster of the clip: choose smaller ones")
        kept = num_kept(size_of_cluster, drop)
        for name, buffer in (
            ("cluster_tokens", tokens_Kn),
            ("encoder_mask", block_causal_mask(steps, kept, kept)),
            ("decoder_mask", block_causal_mask(steps, size_of_cluster, kept)),
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
            trained=self.encoder.settings["trained"],
            position=position,
            rope_frequencies=rope_frequencies,
        )

    def sample_mask(self, batch: dict[str, Any]) -> ClusterOrder:
        """An order of clusters and the tokens kept of each, per clip."""
        settings = self.hparams
        return cluster_order(batch["key"], self.grid, settings["cluster"], settings["order"], settings["drop"])

    def forward(self, video_BCTHW: Tensor, order: ClusterOrder) -> Output:
        """Predict every cluster but the first visited from those visited before it.

        Args:
            video_BCTHW: float, normalised as ``encoder.preprocessing`` says.
            order: the clusters in the order of visit, and the tokens the encoder sees of each.

        Returns:
            Prediction and target (B, M, values): by visited cluster from the second on, token ids ascending inside.
        """
        encoder_mask, decoder_mask = self._masks(order)
        seen_BV = order.kept[:, :-1].flatten(1)  # nothing follows the last cluster
        tokens_BVD = self.encoder_to_decoder(self.encoder(video_BCTHW, seen_BV, encoder_mask))
        predicted_BM = self.cluster_tokens[order.order[:, 1:]].flatten(1)
        prediction_BMK = self.decoder(tokens_BVD, predicted_BM, decoder_mask, seen_BV)
        target_BMK = self.make_targets(video_BCTHW, predicted_BM)
        return Output(weighted_mse(prediction_BMK, target_BMK), prediction_BMK, target_BMK)

    def null_predictions(self, video_BCTHW: Tensor, split: ClusterOrder) -> dict[str, Tensor]:
        """As the base's; every cluster may use what is kept of the clusters visited before it."""
        predicted_BM = self.cluster_tokens[split.order[:, 1:]].flatten(1)
        seen_BV, allowed_MV = split.kept[:, :-1].flatten(1), self._masks(split)[1]
        return null_predictions(self.make_targets(video_BCTHW), seen_BV, predicted_BM, self.grid, None, allowed_MV)

    def _masks(self, order: ClusterOrder) -> tuple[Tensor, Tensor]:
        """Who may look at whom: (V, V) in the encoder, (M, V) in the decoder; the same for every clip."""
        clusters, size = self.cluster_tokens.shape
        if order.order.shape[1] != clusters or order.kept.shape[1] != clusters:
            raise ValueError(
                f"the order visits {order.order.shape[1]} clusters and keeps tokens of {order.kept.shape[1]}, "
                f"this model has {clusters}: draw it with this model's own settings"
            )
        steps, kept = clusters - 1, order.kept.shape[2]
        if steps * kept == len(self.encoder_mask):
            return self.encoder_mask, self.decoder_mask
        masks = block_causal_mask(steps, kept, kept), block_causal_mask(steps, size, kept)
        return masks[0].to(order.kept.device), masks[1].to(order.kept.device)
