"""Whether every method computes the same on CPU and GPU, in bf16, compiled; and which steps wait for the device."""

import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from tests.methods.small import CASES, SMALL
from torch import Tensor

from benchmarks.gpu_day.session import Session
from vmae_zoo.data.loader import cores
from vmae_zoo.methods.registry import CLASS_NAMES, resolve_method


def check_correctness(session: Session) -> None:
    """Compare losses and gradients of every method; record which comparisons are within tolerance."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(1 if session.smoke else min(cores(), 16))
    for name in CASES:
        options: dict[str, Any] = {"drop_path": 0.0} if name == "Classifier" else {}
        with session.guard("cpu_against_device", method=name):
            cpu, cpu_norm = train(session, name, "cpu", 1 if session.smoke else 5, **options)
            gpu, gpu_norm = train(session, name, session.device, 1 if session.smoke else 5, **options)
            first, largest = relative(cpu[0], gpu[0]), max(map(relative, cpu, gpu))
            session.record(
                "cpu_against_device",
                method=name,
                ok=largest < 1e-3 and first < 1e-5,
                first=first,
                largest=largest,
                gradient=relative(cpu_norm, gpu_norm),
                losses=gpu,
            )
        with session.guard("masks", method=name):
            if name not in ("MoCoV3", "Classifier"):
                masks = [sample_mask(session, name, device) for device in ("cpu", session.device)]
                session.record("masks", method=name, ok=all(map(torch.equal, *masks)))
        with session.guard("bf16_against_fp32", method=name):
            steps = 1 if session.smoke else 30
            full, _ = train(session, name, session.device, steps, **options)
            half, _ = train(session, name, session.device, steps, bf16=True, **options)
            first, last = relative(full[0], half[0]), relative(full[-1], half[-1])
            session.record(
                "bf16_against_fp32",
                method=name,
                ok=first < 0.05 and (name == "MoCoV3" or last < 0.05),
                first=first,
                last=last,
                fp32=full[-1],
                bf16=half[-1],
            )
    with session.guard("motion_map"):
        compare_motion_maps(session)
    if session.device == "cuda":
        with session.guard("skipped_step"):
            check_skipped_step(session)
        for name in CASES:
            with session.guard("syncs", method=name):
                session.record("syncs", method=name, waits=waits_for_device(session, name))
        with session.guard("syncs", method="MGMAE with RAFT"):
            waits = waits_for_device(session, "MGMAE", flow="raft", flow_weights="random")
            session.record("syncs", method="MGMAE with RAFT", waits=waits)
        with session.guard("syncs", method="EMA"):
            session.record("syncs", method="EMA", waits=ema_waits_for_device(session))
    for name in ("VideoMAE",) if session.smoke else ("VideoMAE", "ARVideo"):
        if session.seconds_left() < 15:
            break
        with session.guard("compiled_against_eager", method=name):
            eager, eager_norm = train(session, name, session.device, 3)
            compiled, compiled_norm = train(session, name, session.device, 3, compile=True)
            largest, gradient = max(map(relative, eager, compiled)), relative(eager_norm, compiled_norm)
            session.record("compiled_against_eager", method=name, ok=largest < 1e-3, largest=largest, gradient=gradient)


def relative(expected: float, found: float) -> float:
    """Relative difference."""
    return abs(expected - found) / abs(expected)


def make(session: Session, name: str, device: str, **options: Any) -> tuple[Any, dict[str, Tensor]]:
    """A method in train mode and a batch, the same on every device."""
    assert set(CASES) == set(CLASS_NAMES), "every method is measured"
    small: dict[str, Any] = dict(SMALL)
    small.update(CASES[name])  # type: ignore[call-overload]
    settings: dict[str, Any] = {"size": "tiny"} | ({"num_classes": 5} if name == "Classifier" else {})
    torch.manual_seed(0)
    method: Any = resolve_method(name)(**(small if session.smoke else settings), **options).train()
    method.log = lambda *_, **__: None  # there is no trainer
    generator, clips = torch.Generator().manual_seed(1), 4
    size = (clips, 3, *method.grid.pixels)
    ramp = torch.linspace(0, 200, size[-1])  # smooth, so that color augmentation and flow have an effect
    first, second = ((ramp + 55 * torch.rand(size, generator=generator)).to(torch.uint8) for _ in range(2))
    batch = {
        "video": first,
        "other": second,
        "key": torch.arange(clips) * 7919 + 13,
        "label": torch.arange(clips) % 3,
        "scores": torch.rand(clips, method.grid.tokens, generator=generator),
    }
    method = method.to(device)
    method.configure_model()
    return method, {key: value.to(device) for key, value in batch.items()}


def adamw(method: Any) -> torch.optim.AdamW:
    """Fused AdamW over all trainable parameters."""
    return torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=1e-3, fused=True)


def train(
    session: Session, name: str, device: str, steps: int, bf16: bool = False, **options: Any
) -> tuple[list[float], float]:
    """Losses of some AdamW steps on one batch, and the gradient norm of the first step."""
    method, batch = make(session, name, device, **options)
    optimizer, losses, norms = adamw(method), [], []
    for step in range(steps):
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = method.training_step(batch, step)
        loss.backward()
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in method.parameters() if p.grad is not None]))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return [float(loss) for loss in losses], float(norms[0])


def sample_mask(session: Session, name: str, device: str) -> list[Tensor]:
    """The tensors of a mask, on the CPU."""
    method, batch = make(session, name, device)
    sampled = method.sample_mask(batch)
    splits = sampled if isinstance(sampled, list) else [sampled]
    return [value.cpu() for split in splits for value in vars(split).values() if value is not None]


def compare_motion_maps(session: Session) -> None:
    """MGMAE's scores and the tokens that they select, on CPU and device."""
    from vmae_zoo.masking import MotionGuidedScorer, TokenGrid, topk_split

    side = 64 if session.smoke else 224
    grid = TokenGrid.of_clip(16, side, side)
    scorer, key = MotionGuidedScorer(grid), torch.arange(2)
    smooth = F.interpolate(torch.randn(2 * 15, 2, 7, 7), (side, side), mode="bicubic")
    flow = 6 * smooth.permute(0, 2, 3, 1).reshape(2, 15, side, side, 2)
    cpu = scorer.scores(key, flow)
    gpu = scorer.scores(key.to(session.device), flow.to(session.device)).cpu()
    hidden = [topk_split(scores, grid, 0.9).hidden(grid.tokens) for scores in (cpu, gpu)]
    differ = (hidden[0] != hidden[1]).float().mean().item()
    session.record("motion_map", largest=(cpu - gpu).abs().max().item(), tokens_differ=differ)


def check_skipped_step(session: Session) -> None:
    """Fused AdamW leaves weights and step count unchanged if ``found_inf`` is set."""
    layer = torch.nn.Linear(64, 64).cuda()
    optimizer: Any = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    layer(torch.ones(4, 64, device="cuda")).sum().backward()
    optimizer.step()
    before = [p.detach().clone() for p in layer.parameters()]
    for p in layer.parameters():
        p.grad.fill_(float("nan"))  # type: ignore[union-attr]
    optimizer.found_inf = torch.ones((), device="cuda")
    optimizer.step()
    unchanged = all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))
    count = optimizer.state[next(layer.parameters())]["step"].item()
    session.record("skipped_step", ok=unchanged and count == 1, weights_unchanged=unchanged, steps_counted=count)


def waits_for_device(session: Session, name: str, **options: Any) -> str | None:
    """Where a training step with `SkipNonFiniteSteps` waits for the device; None if it does not."""
    from vmae_zoo.callbacks.skip_nonfinite import SkipNonFiniteSteps

    method, batch = make(session, name, "cuda", **options)
    optimizer = adamw(method)
    trainer: Any = SimpleNamespace(precision_plugin=None, world_size=1, global_step=0)

    def step() -> None:
        callback = SkipNonFiniteSteps()
        with torch.autocast("cuda", torch.bfloat16):
            loss = method.training_step(batch, 0)
        callback.on_before_backward(trainer, method, loss)
        loss.backward()
        callback.on_before_optimizer_step(trainer, method, optimizer)
        optimizer.step()
        optimizer.zero_grad()

    step()
    return first_wait(session, step)


def ema_waits_for_device(session: Session) -> str | None:
    """Where an update of ``AveragedModel`` waits for the device; None if it does not."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    method, _ = make(session, "VideoMAE", "cuda")
    average = AveragedModel(method, torch.device("cuda"), multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=False)
    average.update_parameters(method)
    return first_wait(session, lambda: average.update_parameters(method))


def first_wait(session: Session, work: Callable[[], Any]) -> str | None:
    """The first place in which the host waits for the device, by PyTorch's synchronization debug mode."""
    session.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    except RuntimeError as error:
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        spots = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
        return f"{str(error)[:120]} at {' '.join(spots)}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None
