import math

import pytest
import torch

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.training.nulls import null_predictions

GRID = TokenGrid(3, 2, 4)


def brute_force(target, visible, predicted, allowed=None):
    """place_mean and copy of one clip, token by token."""

    def position(token):
        return divmod(token, 8)[0], divmod(token % 8, 4)

    means, copies = [], []
    for m, token in enumerate(predicted):
        time, (row, column) = position(token)
        usable = [v for n, v in enumerate(visible) if allowed is None or allowed[m][n]]
        same = [v for v in usable if position(v)[1] == (row, column)]
        means.append(sum(target[v] for v in same or usable) / len(same or usable))

        def apart(v, time=time, row=row, column=column):
            other_time, (other_row, other_column) = position(v)
            return math.hypot(row - other_row, column - other_column), abs(time - other_time)

        nearest = min(apart(v) for v in usable)
        copies.append([target[v] for v in usable if apart(v) == nearest])
    return torch.stack(means), copies


@pytest.mark.parametrize("causal", [False, True])
def test_nulls_equal_a_loop_over_tokens(causal):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        target = torch.randn(2, 24, 5, generator=generator)
        order = torch.stack([torch.randperm(24, generator=generator) for _ in range(2)])
        visible, predicted = order[:, :6].sort().values, order[:, 6:20].sort().values
        allowed = (torch.rand(14, 6, generator=generator) < 0.5) if causal else None
        if causal:
            allowed[:, 2] = True
        found = null_predictions(target, visible, predicted, GRID, allowed_MV=allowed)
        for b in range(2):
            wanted = target[b, predicted[b]].mean(0)
            torch.testing.assert_close(found["clip_mean"][b, 0], wanted)
            rows = None if allowed is None else allowed.tolist()
            means, copies = brute_force(target[b], visible[b].tolist(), predicted[b].tolist(), rows)
            torch.testing.assert_close(found["place_mean"][b], means)
            for m, choices in enumerate(copies):
                assert any(torch.equal(found["copy"][b, m], choice) for choice in choices)


def test_the_weighted_clip_mean_has_the_least_weighted_loss():
    generator = torch.Generator().manual_seed(1)
    target, weight = torch.randn(1, 24, 5, generator=generator), torch.rand(1, 12, generator=generator)
    visible, predicted = torch.arange(12)[None], torch.arange(12, 24)[None]
    mean = null_predictions(target, visible, predicted, GRID, weight)["clip_mean"].requires_grad_()
    loss = (weight * (mean - target[:, 12:]).square().mean(-1)).sum() / weight.sum()
    (gradient,) = torch.autograd.grad(loss, mean)
    assert gradient.abs().max() < 1e-6


def test_a_tube_mask_leaves_no_place_mean():
    target = torch.randn(1, 24, 5)
    places = torch.tensor([0, 3, 5])
    visible = torch.cat([places + 8 * t for t in range(3)])[None]
    predicted = torch.tensor([[token for token in range(24) if token not in visible[0].tolist()]])
    found = null_predictions(target, visible, predicted, GRID)
    assert set(found) == {"clip_mean", "copy"}
    torch.testing.assert_close(found["copy"][0, predicted[0].tolist().index(9)], target[0, 8])  # its left neighbor


def test_a_clip_that_stands_still_is_copied_without_error():
    still = torch.randn(2, 8, 5).repeat(1, 3, 1)
    visible, predicted = torch.arange(8, 16).expand(2, -1), torch.tensor([0, 5, 17, 23]).expand(2, -1)
    found = null_predictions(still, visible, predicted, GRID)
    for name in ("copy", "place_mean"):
        torch.testing.assert_close(found[name], still[:, [0, 5, 17, 23]])
