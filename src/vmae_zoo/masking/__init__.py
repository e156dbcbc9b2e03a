"""Masks and orders over the tokens of a clip, as pure functions of sample keys."""

from vmae_zoo.masking.clusters import ClusterOrder, cluster_order
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.motion import MotionGuidedScorer
from vmae_zoo.masking.multi_block import multi_block_masks
from vmae_zoo.masking.random import random_mask
from vmae_zoo.masking.running_cell import dual_split, running_cell
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.masking.topk import topk_split
from vmae_zoo.masking.tube import tube_mask

__all__ = [
    "ClusterOrder",
    "MotionGuidedScorer",
    "TokenGrid",
    "TokenSplit",
    "cluster_order",
    "dual_split",
    "multi_block_masks",
    "random_mask",
    "running_cell",
    "topk_split",
    "tube_mask",
]
