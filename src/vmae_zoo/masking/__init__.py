"""Masks and orders over the tokens of a clip, as pure functions of sample keys."""

from vmae_zoo.lazy_imports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "vmae_zoo.masking.clusters": ("ClusterOrder", "cluster_order"),
        "vmae_zoo.masking.grid": ("TokenGrid",),
        "vmae_zoo.masking.motion": ("MotionGuidedScorer",),
        "vmae_zoo.masking.multi_block": ("multi_block_masks",),
        "vmae_zoo.masking.random": ("random_mask",),
        "vmae_zoo.masking.running_cell": ("dual_split",),
        "vmae_zoo.masking.split": ("TokenSplit",),
        "vmae_zoo.masking.topk": ("topk_split",),
        "vmae_zoo.masking.tube": ("tube_mask",),
    },
)
