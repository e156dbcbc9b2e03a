"""Optical flow: estimators, and moving a map along a flow.

An estimator is a function of a clip and of the pairs of frames wanted, ``flow(clip, pairs)``: clip uint8 (T, H, W, 3),
pairs int64 (P, 2), each from one frame to another. It returns float32 (P, h, w, 2): what lies at pixel p = (x, y) in
the first frame of a pair lies at p + flow(p) in the second, in pixels of h x w, which may be smaller than the clip.
`RaftFlow` does the same for a batch on the device.
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from vmae_zoo.flow.dense import dis_flow

FlowFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]

__all__ = ["FlowFunction", "dis_flow", "flow_function"]


def flow_function(name: str) -> FlowFunction:
    """The estimator called "dis", or "package.module.function" for one's own; ``ValueError`` for others."""
    if name == "dis":
        return dis_flow
    module, _, function = name.rpartition(".")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"flow = {name!r} is not known ({error}): choose dis, raft, or package.module.function of your own"
        ) from None
