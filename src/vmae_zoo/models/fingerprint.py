"""A short name for exactly these weights."""

import hashlib

import torch
from torch import nn


def fingerprint(module: nn.Module) -> str:
    """Hex digits that change with any name, type, shape or value of the module's state; the same on every device."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
