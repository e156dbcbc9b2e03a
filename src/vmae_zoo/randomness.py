"""Randomness as pure functions of a key: no generator state anywhere.

Every sample has an int64 key, ``sample_key(seed, epoch, sample, repeat)``, and every random choice about it (clip
start, crop, mask, order) is a function of that key and of the choice's purpose. So a run does not depend on the number
of workers or processes or on where it was resumed, and any sample can be reproduced from its key.

The generator is counter-based: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA
2014), whose finalizer is applied to ``key + (n + 1) * golden``. `KeyedRNG` works on Python integers (in workers),
`random_bits` on tensors (CPU or GPU); both give the same numbers.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_GOLDEN_INVERSE = pow(_GOLDEN, -1, 1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def _signed(value: int) -> int:
    """The same 64 bits as a signed integer, like torch's int64."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _finalize(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


def hash_text(text: str) -> int:
    """A stable int64 hash of a text, such as a sample id or a purpose."""
    return _signed(
        int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")
    )


def sample_key(seed: int, epoch: int, sample: int, repeat: int = 0) -> int:
    """The int64 key of one sample in one epoch: ``hash(seed, epoch, sample id, repeat)``."""
    key = 0
    for part in (seed, epoch, sample, repeat):
        key = _finalize((key + _GOLDEN) ^ _finalize(part + _GOLDEN))
    return _signed(key)


def _stream(key: int, purpose: str) -> int:
    return _finalize(key ^ hash_text(purpose))


class KeyedRNG:
    """A sequence of random numbers for one key and one purpose.

    Args:
        key: int64 key of the sample.
        purpose: what the numbers are for, for example ``"crop"``; different purposes give independent numbers.
    """

    def __init__(self, key: int, purpose: str):
        self._state = _stream(key, purpose)
        self._count = 0

    def bits(self) -> int:
        """The next 63 random bits."""
        self._count += 1
        return _finalize(self._state + self._count * _GOLDEN) >> 1

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * (self.bits() >> 10) / (1 << 53)

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high), high excluded; ``ValueError`` for an empty range."""
        if high <= low:
            raise ValueError(f"no integer in [{low}, {high})")
        return low + self.bits() % (high - low)

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, each equally likely."""
        return options[self.integer(0, len(options))]

    def normal(self) -> float:
        """A standard normal number (Box and Muller, 1958)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def permutation(self, count: int) -> list[int]:
        """The numbers 0..count-1 in random order."""
        bits = [self.bits() for _ in range(count)]
        return sorted(range(count), key=bits.__getitem__)


def _finalize_tensor(value: Tensor) -> Tensor:
    def shift(x: Tensor, by: int) -> Tensor:
        return (x >> by) & ((1 << (64 - by)) - 1)  # torch shifts int64 arithmetically

    value = (value ^ shift(value, 30)) * _signed(_MIX_1)
    value = (value ^ shift(value, 27)) * _signed(_MIX_2)
    return value ^ shift(value, 31)


def random_bits(key_B: Tensor, count: int, purpose: str) -> Tensor:
    """``count`` times 63 random bits for each sample: int64 (B, count), equal to `KeyedRNG.bits`."""
    # state + step * golden with golden factored out: torch.compile takes the product for an index, which overflows
    start_B1 = (_finalize_tensor(key_B ^ hash_text(purpose)) * _signed(_GOLDEN_INVERSE))[:, None]
    steps = torch.arange(1, count + 1, device=key_B.device, dtype=torch.int64)
    value = _finalize_tensor((start_B1 + steps) * _signed(_GOLDEN))
    return (value >> 1) & ((1 << 63) - 1)


def random_uniform(key_B: Tensor, count: int, purpose: str) -> Tensor:
    """Float32 (B, count) in [0, 1): the top 24 bits of `random_bits`, so exact and equal on every device."""
    return (random_bits(key_B, count, purpose) >> 39).float() / (1 << 24)


def random_order(key_B: Tensor, count: int, purpose: str) -> Tensor:
    """An independent random permutation of 0..count-1 for each sample: int64 (B, count)."""
    return random_bits(key_B, count, purpose).argsort(dim=1, stable=True)
