"""A short name for exactly this model."""

import hashlib
from itertools import chain

import torch
from torch import nn


def fingerprint(module: nn.Module) -> str:
    """Hex digits that change with the model's structure and with any weight or table; the same on every device.

    Plain settings of the modules count too: the number of attention heads is in no weight.
    """
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        plain = {key: value for key, value in vars(part).items() if _plain(key, value)}
        digest.update(f"{name} {type(part).__qualname__} {sorted(plain.items())} ".encode())
    for name, value in chain(module.named_parameters(), module.named_buffers()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _plain(key: str, value: object) -> bool:
    return not key.startswith("_") and key not in RUNNING and isinstance(value, (bool, int, float, str))


RUNNING = ("training", "gradient_checkpointing")
