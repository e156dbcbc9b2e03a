"""VideoMAE V2 (Wang, Huang, Zhao, Tong, He, Wang, Wang, Qiao, CVPR 2023, arXiv 2303.16727).

VideoMAE with a second mask: the decoder predicts only the half of each time slice that a running cell selects, so that
its sequence has 160 + 784 tokens instead of 1,568. The loss is over decoded tokens that are hidden from the encoder.
Decoders of the larger sizes have 4 blocks, and there is ViT-g/14.

As in the official program, the decoder also gets mask tokens, with weight 0 in the loss, for the 80 decoded tokens that
the encoder sees; ``drop_doubled`` leaves them out.
"""

from typing import Any

from vmae_zoo.masking.running_cell import check_drop_doubled, check_running_cell, dual_split
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.videomae import VideoMAE


class VideoMAEv2(VideoMAE):
    """VideoMAE with dual masking.

    Args:
        size: size of encoder and decoder: tiny (ours), small, base, large, huge, giant.
        decoder_mask_ratio: fraction of each slice that is not decoded (0.5 in the paper; 0.25 and 0.75 in its
            ablation); 0 decodes all hidden tokens, as VideoMAE.
        drop_doubled: decode no token that the encoder sees (False as published).
        **videomae: see `vmae_zoo.methods.videomae.VideoMAE`.
    """

    decoder_name = "videomae_v2"

    def __init__(
        self, size: str = "base", decoder_mask_ratio: float = 0.5, drop_doubled: bool = False, **videomae: Any
    ):
        super().__init__(size, **videomae)
        if decoder_mask_ratio:
            check_running_cell(self.grid, decoder_mask_ratio)
            if drop_doubled:
                check_drop_doubled(self.grid)

    def sample_mask(self, batch: dict[str, Any]) -> TokenSplit:
        """A tube mask for the encoder, a running cell for the decoder."""
        tube = super().sample_mask(batch)
        ratio = self.hparams["decoder_mask_ratio"]
        if not ratio:
            return tube
        return dual_split(batch["key"], tube, self.grid, ratio, self.hparams["drop_doubled"])
