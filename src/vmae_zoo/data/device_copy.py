"""Copying a batch to a GPU while the step before is computed."""

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor
from torch.utils._pytree import tree_leaves


class DeviceCopy:
    """Copies batches to a GPU on a stream of its own.

    On the stream that computes, the copy of a batch would wait for the end of the step before, and the GPU would
    compute nothing during the copy. Batches in page-locked memory are copied without waiting.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)

    def __call__(self, batch: Any) -> Any:
        """The batch with its tensors on the device; work that is queued from now on waits for them."""
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.stream):
            moved = move_data_to_device(batch, self.device)
        current.wait_stream(self.stream)
        for value in tree_leaves(moved):
            if isinstance(value, Tensor):
                value.record_stream(current)  # its memory is free again once the computation has read it
        return moved
