"""Candidates of `vmae-zoo bench train`: a training step of each method.

Every candidate normalizes the same uint8 clips, samples its own masks, and does forward, backward and a fused AdamW
step. The steps of the transformers library are in `vmae_zoo.bench.transformers_steps`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

MIN_CLIPS = {"MoCoV3": 2}  # its heads have batch norms


@dataclass(frozen=True)
class Setting:
    """What all candidates share.

    The device is "cpu" or "cuda", the precision "float32" or "bfloat16" (autocast); a batch is clips per step.
    """

    size: str
    batch: int
    device: str
    precision: str
    compile: bool

    def for_candidate(self, name: str) -> "Setting":
        """The same with at least as many clips as a candidate needs."""
        return replace(self, batch=max(self.batch, MIN_CLIPS.get(name, 1)))


class BenchStep:
    """A training step of a model on a batch of random clips, in the format of the data module."""

    def __init__(self, model: Any, loss: Callable[[], Any], batch: dict[str, Any], setting: Setting):
        self.model, self.loss, self.batch, self.setting = model, loss, batch, setting
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
        on_gpu = setting.device == "cuda"
        self.pinned = {name: values.cpu().pin_memory() for name, values in batch.items()} if on_gpu else {}

    def copy_to_device(self) -> None:
        """Copy the batch to the GPU again; nothing on a CPU."""
        for name, values in self.pinned.items():
            self.batch[name].copy_(values, non_blocking=True)

    def step(self) -> None:
        """Forward, backward, update."""
        half = self.setting.precision == "bfloat16"
        with torch.autocast(self.setting.device, torch.bfloat16, enabled=half):
            loss = self.loss()
        loss.backward()
        self.update()

    def update(self) -> None:
        """Optimizer step."""
        self.optimizer.step()
        self.optimizer.zero_grad()


def build(name: str, setting: Setting) -> BenchStep:
    """A candidate; ``ValueError`` if it needs transformers, which is not installed."""
    torch.manual_seed(0)
    if not name.startswith("transformers-"):
        return _method(name, setting)
    from vmae_zoo.bench import transformers_steps

    return transformers_steps.build(name, setting)


def clips(grid: Any, setting: Setting, views: int = 1, scored: bool = False) -> dict[str, Any]:
    """Random clips in the format of the data module, optionally with a second view and with the scores of MGMAE."""
    generator = torch.Generator().manual_seed(0)
    shape = (setting.batch, 3, *grid.pixels)
    batch = {"key": torch.arange(setting.batch), "label": torch.zeros(setting.batch, dtype=torch.int64)}
    for name in ("video", "other")[:views]:
        batch[name] = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if scored:
        batch["scores"] = torch.rand(setting.batch, grid.tokens, generator=generator)
    return {name: value.to(setting.device) for name, value in batch.items()}


def _method(name: str, setting: Setting) -> BenchStep:
    from vmae_zoo.methods.registry import resolve_method

    settings: dict[str, Any] = {"num_classes": 400} if name == "Classifier" else {}
    method: Any = resolve_method(name)(size=setting.size, compile=setting.compile, **settings)
    method = method.to(setting.device).train()
    method.configure_model()
    batch = clips(method.grid, setting, method.clip_request.views, scored="scores" in method.clip_request.per_clip)

    def loss() -> Any:
        if name == "Classifier":
            return torch.nn.functional.cross_entropy(method(method.normalize(batch["video"])), batch["label"])
        return method(*method.prepare_inputs(batch)).loss

    return BenchStep(method, loss, batch, setting)
