"""Keys: the same numbers from Python integers and from tensors, for any order of asking."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmae_zoo.randomness import KeyedRNG, hash_text, random_bits, random_order, random_uniform, sample_key
from vmae_zoo.training.compilation import compiled

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(INT64, st.sampled_from(["mask", "crop", ""]))
def test_python_and_tensor_draws_are_the_same_numbers(key, purpose):
    draws = KeyedRNG(key, purpose)
    assert [draws.bits() for _ in range(5)] == random_bits(torch.tensor([key]), 5, purpose)[0].tolist()


def test_splitmix64_equals_its_published_sequence():
    # seed 1234567: the first outputs of the reference generator (Vigna, splitmix64.c)
    from vmae_zoo.randomness import _GOLDEN, _finalize

    outputs = [_finalize(1234567 + n * _GOLDEN) for n in (1, 2, 3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(INT64, st.integers(0, 10_000), INT64, st.integers(0, 7))
def test_keys_are_int64_and_depend_on_every_part(seed, epoch, sample, repeat):
    key = sample_key(seed, epoch, sample, repeat)
    assert -(2**63) <= key < 2**63
    assert key not in {sample_key(seed, epoch + 1, sample, repeat), sample_key(seed, epoch, sample, repeat + 1)}


def test_ids_of_paths_are_stable_over_versions():
    assert hash_text("wave/clip 1.avi") == hash_text("wave/clip 1.avi") != hash_text("wave/clip 2.avi")
    assert hash_text("a") == 3405396810240292928


def test_a_row_does_not_depend_on_its_batch():
    keys = torch.tensor([sample_key(0, 0, n) for n in range(8)])
    whole = random_uniform(keys, 100, "x")
    assert torch.equal(whole[3:4], random_uniform(keys[3:4], 100, "x"))


def test_uniform_numbers_are_uniform_and_purposes_independent():
    keys = torch.tensor([sample_key(0, 0, n) for n in range(500)])
    a, b = random_uniform(keys, 200, "a").numpy(), random_uniform(keys, 200, "b").numpy()
    assert a.min() >= 0
    assert a.max() < 1
    counts = np.histogram(a, bins=20, range=(0, 1))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 50  # chi-square with 19 degrees of freedom: p < 0.0002
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(a[:-1].ravel(), a[1:].ravel())[0, 1]) < 0.02


def test_orders_are_permutations_each_place_alike():
    keys = torch.tensor([sample_key(1, 2, n) for n in range(3000)])
    orders = random_order(keys, 6, "order")
    assert torch.equal(orders.sort(dim=1).values, torch.arange(6).expand(3000, 6))
    first = torch.bincount(orders[:, 0], minlength=6)
    assert (first - 500).abs().max() < 100


def test_draws_cover_their_range():
    draws = KeyedRNG(5, "x")
    assert {draws.integer(-2, 2) for _ in range(200)} == {-2, -1, 0, 1}
    assert sorted(draws.permutation(9)) == list(range(9))
    values = [draws.normal() for _ in range(4000)]
    assert abs(np.mean(values)) < 0.06
    assert abs(np.std(values) - 1) < 0.05


def reversed_bits(keys):
    """An index that falls: times a 64-bit factor, the compiler cannot hold it."""
    return random_bits(keys, 16, "mask").flip(1)


@pytest.mark.slow
def test_compiled_bits_are_the_same():
    keys = torch.tensor([0, 1, -5, 2**62])
    assert torch.equal(compiled(reversed_bits)(keys), reversed_bits(keys))
