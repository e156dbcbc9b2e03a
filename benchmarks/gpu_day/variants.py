"""VideoMAE-B with one change each; the changes exist only here.

* whole clips normalized: float32 clips, of which cubes are cut, instead of uint8 clips of which cubes are normalized.
* residual stream in bf16: positions, and so all residual sums, in bf16 (other numerics).
* same stream: the batch is copied to the device on the stream that computes, not on a second one.

Shapes: B clips, C channels, T frames, H rows, W columns.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.gpu_day.session import Session
from benchmarks.gpu_day.training_steps import measure
from vmae_zoo.bench.candidates import BenchStep, Setting, build
from vmae_zoo.data.device_copy import DeviceCopy
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.models.positions import SinCosPosEmbed

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


def bf16_positions(self: Any, ids: Tensor | None = None, forward: Any = SinCosPosEmbed.forward) -> Tensor:
    """`SinCosPosEmbed.forward` in bf16."""
    return forward(self, ids).to(torch.bfloat16)


def float_clips(self: Any, video_BCTHW: Tensor) -> Tensor:
    """`MaskedMethod.normalize` of the whole clip."""
    return self.encoder.normalizer(video_BCTHW)


def compiled_forward(candidate: BenchStep) -> list[Replacement]:
    """The whole forward pass compiled at once."""
    return [(candidate.model, "forward", torch.compile(candidate.model.forward, dynamic=False))]


FLOAT: Replacement = (MaskedMethod, "normalize", float_clips)
BF16: Replacement = (SinCosPosEmbed, "forward", bf16_positions)
VARIANTS = (
    Variant("eager"),
    Variant("eager, whole clips normalized", replaced=(FLOAT,)),
    Variant("compiled", compiled=True),
    Variant("compiled, whole clips normalized", True, (FLOAT,)),
    Variant("compiled, bf16 residuals", True, (BF16,)),
    Variant("whole clips normalized, whole forward compiled", replaced=(FLOAT,), prepare=compiled_forward),
)
SMOKE_VARIANTS = VARIANTS[:2]


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
    """The copy of a batch on a second stream, as in the data module, and on the same stream, as in Lightning."""
    candidate = build("VideoMAE", setting_of(session, compiled=False))
    copy = DeviceCopy(torch.device("cuda", torch.cuda.current_device()))

    def same_stream() -> None:
        candidate.copy_to_device()
        candidate.step()

    def side_stream() -> None:
        candidate.batch.update(copy(candidate.pinned))
        candidate.step()

    for label, work in (("no copy", candidate.step), ("same stream", same_stream), ("side stream", side_stream)):
        session.record("copy_stream", label=label, ms=session.median_ms(work, 12))
