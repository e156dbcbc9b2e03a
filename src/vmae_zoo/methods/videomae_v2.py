"""VideoMAE V2 (Wang, Huang, Zhao, Tong, He, Wang, Wang, Qiao, CVPR 2023, arXiv 2303.16727).

VideoMAE with a second mask: the decoder predicts only the half of each slice that a running cell picks, so its sequence
is 160 + 784 tokens instead of 1,568. The loss counts the decoded tokens that were hidden from the encoder. Decoders are
4 blocks deep for every size, and there is ViT-g/14.

The official program also gives the decoder a mask token for the 80 tokens that it already has from the encoder, with no
say in the loss; ``drop_doubled`` leaves them out.
"""

from typing import Any

from vmae_zoo.masking.running_cell import check_drop_doubled, check_running_cell, dual_split
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.videomae import VideoMAE


class VideoMAEv2(VideoMAE):
    """VideoMAE with dual masking.

    Args:
        size: encoder and decoder as published: tiny (ours), small, base, large, huge, giant.
        decoder_mask_ratio: share of each slice that is not decoded (0.5 in the paper; 0.25 and 0.75 in its ablation); 0
            decodes all that is hidden, as VideoMAE does.
        drop_doubled: decode no token that the encoder sees; False as published.
        **videomae: see `vmae_zoo.methods.videomae.VideoMAE`.
    """

    decoder_name = "videomae_v2"

    def __init__(
        self, size: str = "base", decoder_mask_ratio: float = 0.5, drop_doubled: bool = False, **videomae: Any
    ):
        super().__init__(size, **videomae)
        self.save_hyperparameters()
        if decoder_mask_ratio:
            check_running_cell(self.grid, decoder_mask_ratio)
            if drop_doubled:
                check_drop_doubled(self.grid)

    def sample_mask(self, batch: dict[str, Any]) -> TokenSplit:
        """A tube for the encoder, a running cell for the decoder."""
        tube = super().sample_mask(batch)
        ratio = self.hparams["decoder_mask_ratio"]
        if not ratio:
            return tube
        return dual_split(batch["key"], tube, self.grid, ratio, self.hparams["drop_doubled"])
