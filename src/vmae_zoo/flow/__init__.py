"""Optical flow: estimators, and moving a map along a flow.

An estimator is a function ``flow(clip, pairs)`` of a clip, uint8 (T, H, W, 3), and pairs of frame ids, int64 (P, 2). It
returns float32 (P, h, w, 2): the point at pixel p = (x, y) of the first frame of a pair is at p + flow(p) in the
second, in pixels of the h x w grid, which may be smaller than the clip. `RaftFlow` does this for a batch on the device.
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from vmae_zoo.flow.dense import dis_flow

FlowFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]

__all__ = ["FlowFunction", "dis_flow", "flow_function"]


def flow_function(name: str) -> FlowFunction:
    """The estimator "dis", or the function at an import path; ``ValueError`` if there is none."""
    if name == "dis":
        return dis_flow
    module, _, function = name.rpartition(".")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"flow = {name!r} ({error}): choose dis, raft, or package.module.function of your own"
        ) from None
