"""MGMAE (Huang, Zhao, Zhang, Gong, Wang, ICCV 2023, arXiv 2308.10794).

VideoMAE with masks that follow the motion: an object stays hidden while it moves, where a tube mask would reveal it in
another slice (see `vmae_zoo.masking.motion`). Encoder, target and loss are those of VideoMAE; decoders of the larger
sizes have 4 blocks.

The official program runs RAFT-small on the device, as ``flow: raft`` does here in one pass; the default is DIS flow in
the data workers, which needs no weights. Different from the release, frames before the base frame are warped in the
direction of the motion.
"""

from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from vmae_zoo.data.clip_spec import ClipRequest
from vmae_zoo.flow import flow_function
from vmae_zoo.flow.raft import RaftFlow
from vmae_zoo.masking.motion import MotionGuidedScorer
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.masking.topk import topk_split, visible_per_group
from vmae_zoo.methods.videomae import VideoMAE


class MGMAE(VideoMAE):
    """VideoMAE with motion-guided masking.

    Args:
        size: size of encoder and decoder: tiny (ours), small, base; large, huge and giant have the decoders of V2.
        flow: "dis", computed by the data workers; "raft", on the device (in the paper); or "package.module.function"
            for a function of your own in the workers, see `vmae_zoo.flow`.
        flow_weights: weights of RAFT: path of a file of torchvision's ``raft_small``, or C_T_V1 (the original weights)
            or C_T_V2, which torchvision downloads.
        flow_iterations: iterations of RAFT (6 in the paper's program).
        initial_map: map on the base frame: "mix_gauss" (in the paper), "token_rand" or "pixel_rand".
        base_frame: "middle" (in the paper), "first" or "random".
        warp: "backward" (in the paper) or "forward".
        hole_filling: "consist" (in the paper), "previous" or "none".
        rounding: "floor" leaves 19 of 196 tokens of a slice visible, as published; "videomae" 20.
        topk: "slice" selects the same number of tokens in each slice (in the paper), "clip" the highest scores of the
            whole clip.
        **videomae: see `vmae_zoo.methods.videomae.VideoMAE`.
    """

    decoder_name = "mgmae"

    def __init__(
        self,
        size: str = "base",
        flow: str = "dis",
        flow_weights: str | None = None,
        flow_iterations: int = 6,
        initial_map: str = "mix_gauss",
        base_frame: str = "middle",
        warp: str = "backward",
        hole_filling: str = "consist",
        rounding: str = "floor",
        topk: str = "slice",
        **videomae: Any,
    ):
        if flow == "codec":  # an estimator of version 0.1
            rank_zero_warn("flow = codec is not available any more: flow = dis is used")
            flow = "dis"
        super().__init__(size, **videomae)
        mask_ratio = self.hparams["mask_ratio"]
        if self.hparams["masks"] != "tube":
            raise ValueError(f"masks = {self.hparams['masks']} has no effect on MGMAE, whose masks follow the motion")
        visible_per_group(self.grid, mask_ratio, rounding, topk)  # checks the options before any data is read
        self.guide = MotionGuidedScorer(self.grid, mask_ratio, initial_map, base_frame, warp, hole_filling, flow)
        self._raft: RaftFlow | None = None
        if flow != "raft":
            self.clip_request = ClipRequest(per_clip={"scores": self.guide})
        elif flow_weights is None:
            raise ValueError(
                "flow = raft needs flow_weights: the path of a file, or C_T_V1, which torchvision downloads; "
                "flow = dis needs none"
            )

    def setup(self, stage: str) -> None:
        """Load the flow estimator before any clip is read."""
        if self.hparams["flow"] == "raft":
            self.raft()
        else:
            flow_function(self.hparams["flow"])

    def raft(self) -> RaftFlow:
        """The flow network, loaded at the first call: a checkpoint is loaded without it."""
        if self._raft is None:
            self._raft = RaftFlow(self.hparams["flow_weights"], self.hparams["flow_iterations"])
        return self._raft

    def sample_mask(self, batch: dict[str, Any]) -> TokenSplit:
        """The tokens with the largest sums of the warped map are visible."""
        settings = self.hparams
        return topk_split(self.scores(batch), self.grid, settings["mask_ratio"], settings["rounding"], settings["topk"])

    @torch.no_grad()
    def scores(self, batch: dict[str, Any]) -> Tensor:
        """Scores (B, N) of a batch: those of the workers, or computed here if it has none."""
        if "scores" in batch:
            return batch["scores"]
        key_B, video_BCTHW = batch["key"], batch["video"]
        if self.hparams["flow"] == "raft":
            return self.guide.scores(key_B, self.raft()(video_BCTHW, self.guide.pairs(key_B)))
        clips = video_BCTHW.permute(0, 2, 3, 4, 1).cpu().numpy()
        scores = [self.guide(np.ascontiguousarray(clip), key) for clip, key in zip(clips, key_B.tolist(), strict=True)]
        return torch.from_numpy(np.stack(scores)).to(video_BCTHW.device)
