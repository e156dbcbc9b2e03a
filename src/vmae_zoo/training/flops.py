"""FLOPs of a training step and of GPUs, for model FLOPs utilization (MFU).

PyTorch's counter counts the matrix products of the forward and backward pass, two FLOPs per multiply-add, of the method
on the meta device, so for any method and size. Activations that gradient checkpointing computes twice count once.
"""

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vmae_zoo.training.fsdp2 import unwrapped_type

CLIPS = 2  # batch norm needs more than one

PEAK_TFLOPS = {  # dense bf16 (fp16 before Ampere) as stated by the vendor; the first match counts
    "B200": 2250,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "H200": 989,
    "GH200": 989,
    "H800": 989,
    "H20": 148,
    "A100": 312,
    "A800": 312,
    "A40": 150,
    "A30": 165,
    "A10": 125,
    "A10G": 70,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "RTX A6000": 155,
    "RTX A5000": 111,
    "RTX 6000 Ada": 364,
    "RTX 5090": 209,
    "RTX 4090": 165,
    "RTX 3090": 71,
    "V100": 125,
    "T4": 65,
}


def peak_flops(device_name: str) -> float | None:
    """Peak FLOP/s of a GPU in bf16 with dense matrices, by its name; None if it is not in `PEAK_TFLOPS`."""
    for name, tflops in PEAK_TFLOPS.items():
        if re.search(rf"\b{name}\b", device_name):
            return tflops * 1e12
    return None


def flops_per_clip(method: Any, batch: dict[str, Any]) -> float | None:
    """FLOPs of the forward and backward pass of one clip, with the masks of a real batch.

    Returns:
        The number, or None for a method that cannot run on the meta device.
    """
    few = {name: values[:CLIPS] for name, values in batch.items() if isinstance(values, Tensor)}
    try:
        with torch.no_grad():
            arguments = method.prepare_inputs(few)
        twin = to_meta(method)
        with FlopCounterMode(display=False) as counter:
            out = twin(*(_to_meta(argument) for argument in arguments))
            (out.sum() if isinstance(out, Tensor) else out.loss).backward()
    except Exception:  # of any kind, in a method of any class: a measurement does not end a run
        return None
    return counter.get_total_flops() / len(few["video"])


def _to_meta(argument: Any) -> Any:
    return [part.to("meta") for part in argument] if isinstance(argument, list) else argument.to("meta")


def to_meta(method: Any) -> nn.Module:
    """The method, built again on the meta device in training mode."""
    with torch.device("meta"):
        twin = unwrapped_type(method)(**method.export_config()["hparams"])
    return twin.to("meta").train()
