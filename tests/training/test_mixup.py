"""Random erasing, mixup, CutMix and soft targets follow the official program, by formula, timm and statistics."""

import numpy as np
import pytest
import timm.data.mixup as timm_mixup
import torch

from vmae_zoo.training.mixup import (
    cutmix_box,
    mixup_cutmix,
    random_beta,
    random_erasing,
    random_normal,
    soft_targets,
)

KEYS = torch.arange(1, 4001)


def test_soft_targets_equal_those_of_timm():
    label = torch.tensor([3, 0, 2, 4])
    target = soft_targets(label, 5, 0.1)
    mixed = 0.7 * target + 0.3 * target.flip(0)
    torch.testing.assert_close(mixed, timm_mixup.mixup_target(label, 5, lam=0.7, smoothing=0.1))


@pytest.mark.parametrize(
    ("lam", "row", "column"), [(0.3, 0.0, 0.99), (0.75, 0.52, 0.31), (0.01, 0.22, 0.61), (1.0, 0.4, 0.4)]
)
def test_the_box_is_the_official_one(lam, row, column):
    rows, columns = int(20 * (1 - lam) ** 0.5), int(30 * (1 - lam) ** 0.5)
    y, x = int(row * 20), int(column * 30)
    expected = torch.zeros(20, 30, dtype=torch.bool)
    expected[max(y - rows // 2, 0) : y + rows // 2, max(x - columns // 2, 0) : x + columns // 2] = True
    box = cutmix_box(torch.tensor(lam), torch.tensor(row), torch.tensor(column), 20, 30)
    assert torch.equal(box, expected)


def test_clips_are_mixed_in_mirrored_pairs_and_targets_by_the_same_weight():
    video = torch.arange(4.0)[:, None, None, None, None].expand(4, 3, 2, 16, 16)
    target = soft_targets(torch.arange(4), 4)
    kinds = {"mixup": 0, "cutmix": 0}
    for key in range(80):
        mixed, soft = mixup_cutmix(video, target, torch.tensor([key, 1, 2, 3]))
        own = (mixed[0] / 3 - 1).neg()  # weight of clip 0, which is mixed with clip 3
        assert torch.equal(own, own[:1, :1].expand_as(own))  # the same in all channels and frames
        kinds["cutmix" if own.unique().numel() == 2 or own.mean() in (0, 1) else "mixup"] += 1
        torch.testing.assert_close(soft[0, 0], own.mean())
        torch.testing.assert_close(soft[0, 3], 1 - own.mean())
        torch.testing.assert_close(soft[1, 1], own.mean())
        again = mixup_cutmix(video, target, torch.tensor([key, 7, 8, 9]))
        assert torch.equal(again[0], mixed)
    assert kinds["cutmix"] == pytest.approx(40, abs=14)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_either_can_be_disabled(mixup, cutmix):
    video = torch.zeros(2, 1, 1, 8, 8)
    video[1] = 1
    for key in range(20):
        mixed, target = mixup_cutmix(video, torch.eye(2), torch.tensor([key, 0]), mixup, cutmix)
        if not cutmix:
            assert mixed[0].unique().numel() == 1
        if not mixup:
            assert set(mixed.unique().tolist()) <= {0.0, 1.0}
        if not (mixup or cutmix):
            assert torch.equal(mixed, video)
            assert torch.equal(target, torch.eye(2))


@pytest.mark.parametrize("a", [0.8, 1.0, 0.2])
def test_samples_follow_the_beta_distribution(a):
    values = random_beta(KEYS, a, "test").numpy()
    expected = np.random.default_rng(0).beta(a, a, 200_000)
    for quantile in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.quantile(values, quantile) == pytest.approx(np.quantile(expected, quantile), abs=0.03)


def test_noise_is_standard_normal():
    noise = random_normal(KEYS[:10], 10_001, "test")
    assert noise.shape == (10, 10_001)
    assert noise.mean().abs() < 0.02
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert (noise.abs() > 1.96).float().mean() == pytest.approx(0.05, abs=0.005)
    assert noise[0, : 10_001 // 2].corrcoef() == pytest.approx(1)
    assert torch.stack([noise[0], noise[1]]).corrcoef()[0, 1].abs() < 0.04


def test_erasing_changes_one_box_of_a_quarter_of_the_clips():
    video = torch.full((800, 2, 3, 24, 32), 9.0)
    out = random_erasing(video, KEYS[:800])
    changed = out != 9.0
    hit = changed.flatten(1).any(1)
    assert hit.float().mean() == pytest.approx(0.25, abs=0.05)
    boxes = changed[hit][:, 0, 0]
    assert torch.equal(changed[hit], boxes[:, None, None].expand_as(changed[hit]))  # every channel and frame
    rows, columns = boxes.any(2).sum(1), boxes.any(1).sum(1)
    assert torch.equal(rows * columns, boxes.sum((1, 2)))  # it is a box
    area, aspect = (rows * columns) / (24 * 32), rows / columns
    assert area.min() > 0.01
    assert area.max() < 0.36
    assert aspect.min() < 0.5
    assert 2 < aspect.max() < 4.5
    one = out[hit][0][:, :, boxes[0]]
    assert one.unique().numel() == one.numel()  # independent noise for each value
    assert torch.equal(random_erasing(video[:5], KEYS[:5]), out[:5])
    assert random_erasing(video, KEYS[:800], probability=0) is video
