"""VideoMAE-B with one possible change each; the changes exist only here.

* heads by ``unbind(2)``: queries, keys and values as strided views, without the copies of a rearrangement.
* uint8 path: pixels stay uint8 until they are cut into cubes; normalization is fused with embedding and loss.
* static shapes: blocks compiled with ``dynamic=False``.
* residual stream in bf16: positions, and so all residual sums, in bf16 (other numerics).
* side stream: the batch is copied to the device on a second stream.

Shapes: B clips, C channels, N tokens, D = width, h heads; p, q, r = sides of a cube.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial, partialmethod
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu_day.session import Session
from benchmarks.gpu_day.training_steps import measure
from vmae_zoo.bench.candidates import BenchStep, Setting, build
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.output import Output
from vmae_zoo.methods.videomae import VideoMAE
from vmae_zoo.models.blocks import Attention
from vmae_zoo.models.patchify import PatchEmbed, patchify
from vmae_zoo.models.positions import SinCosPosEmbed
from vmae_zoo.models.targets import normalized_cubes

Replacement = tuple[Any, str, Any]  # object, attribute, value


@dataclass(frozen=True)
class Variant:
    """A change.

    Args:
        label: what is changed.
        compiled: compile the blocks.
        replaced: attributes to replace before the model is built.
        prepare: attributes to replace once it is built.
    """

    label: str
    compiled: bool = False
    replaced: tuple[Replacement, ...] = ()
    prepare: Callable[[BenchStep], list[Replacement]] = lambda candidate: []


def attention_by_unbind(self: Any, x_BND: Tensor, mask_NN: Tensor | None = None, rotation: None = None) -> Tensor:
    """`Attention.forward` with strided views, without rotary positions."""
    assert rotation is None
    bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias]) if self.separate_bias else self.qkv.bias
    qkv_BN3hd = F.linear(x_BND, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
    q, k, v = (part.transpose(1, 2) for part in qkv_BN3hd.unbind(2))
    return self.proj(F.scaled_dot_product_attention(q, k, v, attn_mask=mask_NN).transpose(1, 2).flatten(2))


def bf16_positions(self: Any, ids: Tensor | None = None, forward: Any = SinCosPosEmbed.forward) -> Tensor:
    """`SinCosPosEmbed.forward` in bf16."""
    return forward(self, ids).to(torch.bfloat16)


def embed_uint8(cubes_BNCpqr: Tensor, mean_C: Tensor, std_C: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Tokens (B, N, D) of uint8 cubes."""
    shape = (1, 1, -1, 1, 1, 1)
    values = (cubes_BNCpqr / 255 - mean_C.view(shape)) / std_C.view(shape)
    return F.linear(values.flatten(2), weight.flatten(1), bias)


def loss_of_uint8(prediction_BMK: Tensor, cubes_BMCpqr: Tensor) -> Tensor:
    """Loss of predictions against uint8 cubes."""
    return (prediction_BMK.float() - normalized_cubes(cubes_BMCpqr / 255)).square().mean(-1).mean()


def uint8_path(compiled: bool, fuse_gather: bool = False) -> Callable[[BenchStep], list[Replacement]]:
    """Embedding and loss from uint8 cubes.

    Args:
        compiled: compile both.
        fuse_gather: compile the gathering of cubes with them.
    """
    compile_ = partial(torch.compile, dynamic=False) if compiled else lambda function: function

    def gather_then(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        inner = function if fuse_gather else compile_(function)
        outer = lambda first, video, grid, ids, *rest: inner(*first, patchify(video, grid, ids), *rest)  # noqa: E731
        return compile_(outer) if fuse_gather else outer

    embed, loss = gather_then(embed_uint8), gather_then(loss_of_uint8)

    def prepare(candidate: BenchStep) -> list[Replacement]:
        normalizer = candidate.model.encoder.normalizer

        def embed_forward(self: Any, video: Tensor, ids: Tensor | None = None) -> Tensor:
            return embed((), video, self.grid, ids, normalizer.mean, normalizer.std, self.proj.weight, self.proj.bias)

        def forward(self: Any, video: Tensor, split: TokenSplit) -> Output:
            visible = self.encoder_to_decoder(self.encoder(video, split.visible))
            prediction = self.decoder(visible, self.mask_token, split)
            return Output(loss((prediction,), video, self.grid, split.predicted))

        return [
            (candidate.model, "normalize", lambda video: video),
            (PatchEmbed, "forward", embed_forward),
            (VideoMAE, "forward", forward),
        ]

    return prepare


def compiled_forward(candidate: BenchStep) -> list[Replacement]:
    """The whole forward pass compiled at once."""
    return [(candidate.model, "forward", torch.compile(candidate.model.forward, dynamic=False))]


UNBIND: Replacement = (Attention, "forward", attention_by_unbind)
STATIC: tuple[Replacement, ...] = (
    (nn.Module, "compile", partialmethod(nn.Module.compile, dynamic=False)),
    (torch._dynamo.config, "recompile_limit", 64),
)
BF16: Replacement = (SinCosPosEmbed, "forward", bf16_positions)
VARIANTS = (
    Variant("eager"),
    Variant("eager, unbind(2)", replaced=(UNBIND,)),
    Variant("eager, uint8 path compiled", prepare=uint8_path(True)),
    Variant("compiled", compiled=True),
    Variant("compiled, static", compiled=True, replaced=STATIC),
    Variant("compiled, static, uint8 path", compiled=True, replaced=STATIC, prepare=uint8_path(True)),
    Variant("compiled, static, uint8 path, unbind(2)", True, (*STATIC, UNBIND), uint8_path(True)),
    Variant("compiled, static, uint8 path with gather", True, STATIC, uint8_path(True, True)),
    Variant("compiled, static, uint8 path with gather, bf16 residuals", True, (*STATIC, BF16), uint8_path(True, True)),
    Variant("whole forward compiled", replaced=STATIC, prepare=compiled_forward),
)
SMOKE_VARIANTS = (
    VARIANTS[0],
    VARIANTS[1],
    Variant("eager, uint8 path", prepare=uint8_path(False)),
    Variant("eager, uint8 path with gather", prepare=uint8_path(False, True)),
    VARIANTS[7],
)


def bench_variants(session: Session) -> None:
    """Time each change, and record its loss relative to the unchanged model."""
    first = None
    for variant in SMOKE_VARIANTS if session.smoke else VARIANTS:
        if session.seconds_left() < 15:
            session.record("left_out", label=variant.label)
            continue
        with session.guard("variant", label=variant.label), ExitStack() as stack:
            torch._dynamo.reset()
            for replacement in variant.replaced:
                stack.enter_context(mock.patch.object(*replacement))
            candidate = build("VideoMAE", setting_of(session, variant.compiled))
            for replacement in variant.prepare(candidate):
                stack.enter_context(mock.patch.object(*replacement))
            with torch.autocast(session.device, torch.bfloat16, enabled=not session.smoke):
                loss = candidate.loss().item()
            first = loss if first is None else first
            error = abs(loss - first) / first
            measure(session, candidate, "VideoMAE", variant=variant.label, loss=loss, loss_error=error)
    torch._dynamo.reset()
    if session.device == "cuda":
        with session.guard("variant", label="side stream"):
            bench_side_stream(session)


def setting_of(session: Session, compiled: bool) -> Setting:
    """Size, batch and precision of all variants."""
    return Setting(session.size, 1 if session.smoke else 64, session.device, session.precision, compiled)


def bench_side_stream(session: Session) -> None:
    """The copy of a batch on a second stream, and on the same stream, as in Lightning."""
    candidate = build("VideoMAE", setting_of(session, compiled=False))
    side, current = torch.cuda.Stream(), torch.cuda.current_stream()

    def same_stream() -> None:
        candidate.move()
        candidate.step()

    def side_stream() -> None:
        with torch.cuda.stream(side):
            moved = {name: values.to("cuda", non_blocking=True) for name, values in candidate.pinned.items()}
        current.wait_stream(side)
        for values in moved.values():
            values.record_stream(current)
        candidate.batch.update(moved)
        candidate.step()

    for label, work in (("no copy", candidate.step), ("same stream", same_stream), ("side stream", side_stream)):
        session.record("copy_stream", label=label, ms=session.median_ms(work, 12))
