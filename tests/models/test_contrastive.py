"""InfoNCE and projection MLPs equal their formulas, in one process and in two."""

import pytest
import torch
from tests.two_processes import started
from torch import nn

from vmae_zoo.models.contrastive import info_nce, projection_mlp


def manual_loss(queries, keys, temperature):
    """2 T times the mean over queries of log sum_j exp(cos(q, k_j) / T) - cos(q, own k) / T."""
    total = 0.0
    for i, query in enumerate(queries):
        products = [float(query @ key / (query.norm() * key.norm())) / temperature for key in keys]
        total += torch.tensor(products).logsumexp(0).item() - products[i]
    return 2 * temperature * total / len(queries)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_loss_equals_a_double_loop(temperature):
    torch.manual_seed(0)
    queries, keys = torch.randn(5, 7), torch.randn(5, 7)
    assert info_nce(queries, keys, temperature).item() == pytest.approx(
        manual_loss(queries, keys, temperature), abs=1e-5
    )


def test_keys_get_no_gradient():
    queries, keys = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    info_nce(queries, keys, 0.2).backward()
    assert queries.grad.abs().max() > 0
    assert keys.grad is None


def test_a_projection_mlp_is_linear_layers_and_batch_norms_without_bias():
    torch.manual_seed(0)
    layers = projection_mlp((6, 8, 8, 3))
    x = torch.randn(10, 6)
    expected = x
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    assert all(layer.bias is None for layer in linears)
    for index, layer in enumerate(linears):
        expected = expected @ layer.weight.T
        expected = (expected - expected.mean(0)) / (expected.var(0, unbiased=False) + 1e-5).sqrt()
        expected = expected.relu() if index < 2 else expected
    torch.testing.assert_close(layers(x), expected, atol=1e-5, rtol=1e-5)
    assert layers[-1].weight is None
    assert sum(p.numel() for p in layers.parameters()) == 6 * 8 + 8 * 8 + 8 * 3 + 4 * 8


SCRIPT = """
import torch
from torch import distributed
from vmae_zoo.models.contrastive import info_nce

distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
queries, keys = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
torch.save(info_nce(queries[rank], keys[rank], 0.2), f"{rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_use_the_keys_of_both(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(SCRIPT)
    started(script, folder=tmp_path)
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    both = [torch.load(tmp_path / f"{rank}.pt").item() for rank in (0, 1)]
    assert sum(both) / 2 == pytest.approx(manual_loss(queries.flatten(0, 1), keys.flatten(0, 1), 0.2), abs=1e-5)
    assert both[0] != pytest.approx(info_nce(queries[0], keys[0], 0.2).item(), abs=1e-3)
