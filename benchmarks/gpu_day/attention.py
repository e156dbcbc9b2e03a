"""Forward and backward of attention, for every shape that occurs, by every backend and by FlexAttention."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu_day.session import Session
from vmae_zoo.masking.clusters import block_causal_mask

QKV = tuple[Tensor, Tensor, Tensor]


class Shape(NamedTuple):
    """Batch, heads, queries, keys, width of a head; (steps, queries, keys per step) of a block-causal mask."""

    label: str
    batch: int
    heads: int
    queries: int
    keys: int
    width: int = 64
    blocks: tuple[int, int, int] | None = None


SHAPES = (
    Shape("VideoMAE-B decoder", 64, 6, 1568, 1568),
    Shape("VideoMAE-B encoder", 64, 12, 160, 160),
    Shape("V2-B decoder", 64, 6, 944, 944),
    Shape("MAE-ST decoder", 64, 16, 1569, 1569, 32),
    Shape("classifier", 32, 12, 1568, 1568),
    Shape("ARVideo encoder", 64, 12, 300, 300, blocks=(15, 20, 20)),
    Shape("ARVideo decoder", 64, 8, 1470, 300, blocks=(15, 98, 20)),
    Shape("VideoMAE-L decoder", 64, 8, 1568, 1568),
    Shape("V2-g encoder", 32, 16, 208, 208, 88),
)
SMOKE_SHAPES = (
    Shape("VideoMAE-B encoder", 1, 2, 16, 16),
    Shape("ARVideo decoder", 1, 2, 30, 12, blocks=(3, 10, 4)),
)
BACKENDS = {
    "default": None,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def bench_attention(session: Session) -> None:
    """Time every shape by every backend, and the error of the default one."""
    dtype = torch.float32 if session.smoke else torch.bfloat16
    for shape in SMOKE_SHAPES if session.smoke else SHAPES:
        q, k, v, grad = (
            torch.randn(shape.batch, tokens, shape.heads, shape.width, device=session.device, dtype=dtype)
            for tokens in (shape.queries, shape.keys, shape.keys, shape.queries)
        )
        q, k, v, grad = (each.transpose(1, 2) for each in (q, k, v, grad))  # strides as in our blocks
        inputs = q.requires_grad_(), k.requires_grad_(), v.requires_grad_()
        mask = block_causal_mask(*shape.blocks).to(session.device) if shape.blocks else None

        def attend(mask: Tensor | None = mask, inputs: QKV = inputs) -> Tensor:
            return F.scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], attn_mask=mask)

        for name, backend in {"default": None}.items() if session.smoke else BACKENDS.items():
            selected = nullcontext() if backend is None else sdpa_kernel(backend)
            with session.guard("attention", label=shape.label, backend=name), selected:
                time_attention(session, shape, name, attend, inputs, grad)
        with session.guard("attention_error", label=shape.label), torch.no_grad():
            error = relative_error(attend()[:2], q[:2], k[:2], v[:2], mask)
            session.record("attention_error", label=shape.label, relative_error=error)
        if mask is not None and not session.smoke and session.seconds_left() > 15:
            with session.guard("attention", label=shape.label, backend="flex"):
                time_attention(session, shape, "flex", flex_attention_of(session, shape, inputs), inputs, grad)
            with session.guard("attention", label=shape.label, backend="no mask (a lower bound)"):
                unmasked = lambda: attend(None)  # noqa: E731
                time_attention(session, shape, "no mask (a lower bound)", unmasked, inputs, grad)
        del q, k, v, grad, inputs
        session.free()


def flex_attention_of(session: Session, shape: Shape, inputs: QKV) -> Callable[[], Any]:
    """FlexAttention with a block-causal mask, compiled."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    assert shape.blocks is not None
    _, rows, columns = shape.blocks
    mask = create_block_mask(
        lambda batch, head, query, key: key // columns <= query // rows,
        None,
        None,
        shape.queries,
        shape.keys,
        device=session.device,
    )
    compiled: Any = torch.compile(flex_attention, dynamic=False)
    return lambda: compiled(*inputs, block_mask=mask)


def relative_error(found: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> float:
    """Error of an attention output, relative to float64."""
    logits = (q.double() @ k.double().transpose(-2, -1)) / q.shape[-1] ** 0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    exact = logits.softmax(-1) @ v.double()
    return ((found.double() - exact).norm() / exact.norm()).item()


def time_attention(
    session: Session, shape: Shape, backend: str, attend: Callable[[], Tensor], inputs: QKV, grad: Tensor
) -> None:
    """Record milliseconds and TFLOP/s of forward, and of forward and backward."""
    forward = session.median_ms(lambda: attend().detach())
    both = session.median_ms(lambda: torch.autograd.grad(attend(), inputs, grad))
    flops = 4 * shape.batch * shape.heads * shape.queries * shape.keys * shape.width
    session.record(
        "attention",
        label=shape.label,
        backend=backend,
        forward_ms=forward,
        both_ms=both,
        forward_tflops=flops / forward / 1e9,
        both_tflops=3 * flops / both / 1e9,
    )
