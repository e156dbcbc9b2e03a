"""What `vmae-zoo bench faults` spoils runs with: numbers that are none, damaged files, a disk that fills up."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from vmae_zoo.randomness import KeyedRNG, hash_text

DAMAGED = (b"", b"no video at all\n", None)  # None: the first half of the file


class NotPossibleError(Exception):
    """A fault that cannot be made here."""


class NaNInjector(Callback):
    """Makes the loss of some steps NaN, or only the gradient of every other one of them.

    Args:
        steps: 0-based optimiser steps.
        told_at: the one in which the process also gets a SIGTERM; None: none.
    """

    def __init__(self, steps: list[int], told_at: int | None = None):
        self.steps = steps
        self.told_at = told_at
        self._now = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note whether this step is one of them."""
        if not pl_module._forward_hooks:
            pl_module.register_forward_hook(self._spoil)
        self._now = trainer.global_step in self.steps
        if trainer.global_step == self.told_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """NaNInjector a gradient."""
        if self._now and trainer.global_step % 2:
            next(p for p in pl_module.parameters() if p.grad is not None).grad[..., 0] = float("nan")  # type: ignore[index]

    def _spoil(self, module: Any, inputs: Any, out: Any) -> Any:
        wrong = self._now and module.training and module.global_step % 2 == 0
        return replace(out, loss=out.loss * float("nan")) if wrong else out


@contextmanager
def small_disk(place: Path, mebibytes: int):  # type: ignore[no-untyped-def]
    """A file system of its own; `NotPossibleError` where none can be made."""
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place)]
    if not sys.platform.startswith("linux") or not shutil.which("mount"):
        raise NotPossibleError("a small disk to fill is only made on Linux")
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPossibleError(f"{done.stderr.strip()}; try `unshare -Urm vmae-zoo bench faults full-disk`")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def fill(ballast: Path) -> None:
    """Take all space that is left."""
    block = b"\0" * 65536
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(block):
                pass
        except OSError:
            return


def copied_clips(target: Path) -> Path:
    """The embedded clips, once more."""
    from vmae_zoo.datasets.synthetic.demo import demo_root

    return Path(shutil.copytree(demo_root(), target))


def damage(root: Path, share: float) -> set[str]:
    """Damage about that share of the videos; their paths."""
    damaged: set[str] = set()
    for path in sorted(root.rglob("*.mp4")):
        if KeyedRNG(hash_text(path.name), "damage").uniform() < share:
            content = DAMAGED[len(damaged) % len(DAMAGED)]
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
            damaged.add(str(path))
    return damaged
