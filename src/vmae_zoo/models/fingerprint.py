"""A hash of a model: structure, settings and weights."""

import hashlib
from itertools import chain

import torch
from torch import nn


def fingerprint(module: nn.Module) -> str:
    """Hash of a model, 16 hex digits, the same on every device.

    It depends on the structure, on every parameter and buffer, and on plain attributes of the modules, such as the
    number of attention heads, which no weight contains.
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
    return not key.startswith("_") and key not in MODES and isinstance(value, (bool, int, float, str))


MODES = ("training", "gradient_checkpointing")  # which do not change the features
