"""Faults for `benchmarks.faults`: NaN, damaged files, a small file system that fills up."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from vmae_zoo.randomness import KeyedRNG, hash_text

DAMAGED = (b"", b"not a video\n", None)  # None: the first half of the file


class NotPossibleError(Exception):
    """This machine cannot produce the fault."""


class NaNInjector(Callback):
    """Makes the loss of even steps NaN, and a gradient of odd steps.

    Args:
        steps: 0-based optimizer steps.
        sigterm_at: step in which the process also receives SIGTERM; None for none.
    """

    def __init__(self, steps: list[int], sigterm_at: int | None = None):
        self.steps = steps
        self.sigterm_at = sigterm_at
        self._active = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Decide whether this step is one of them."""
        if not pl_module._forward_hooks:
            pl_module.register_forward_hook(self._corrupt_loss)
        self._active = trainer.global_step in self.steps
        if trainer.global_step == self.sigterm_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Corrupt a gradient in odd steps."""
        if self._active and trainer.global_step % 2:
            next(p for p in pl_module.parameters() if p.grad is not None).grad[..., 0] = float("nan")  # type: ignore[index]

    def _corrupt_loss(self, module: Any, inputs: Any, out: Any) -> Any:
        corrupt = self._active and module.training and module.global_step % 2 == 0
        return replace(out, loss=out.loss * float("nan")) if corrupt else out


@contextmanager
def small_disk(mount_point: Path, mebibytes: int) -> Iterator[Path]:
    """A small file system; `NotPossibleError` if it cannot be mounted."""
    mount_point.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(mount_point)]
    if not sys.platform.startswith("linux") or not shutil.which("mount"):
        raise NotPossibleError("small file systems are mounted on Linux only")
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPossibleError(
            f"{done.stderr.strip()}; try `unshare -Urm python -m benchmarks.faults full-disk` as an unprivileged user"
        )
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "--lazy", str(mount_point)], check=False)


def fill_disk(ballast: Path) -> None:
    """Write to a file until no space is left."""
    block = b"\0" * 65536
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(block):
                pass
        except OSError:
            return


def copy_demo_clips(target: Path) -> Path:
    """A copy of the embedded scenes."""
    from vmae_zoo.datasets.synthetic.embedded import embedded_root

    return Path(shutil.copytree(embedded_root("scenes"), target))


def damage_videos(root: Path, fraction: float) -> set[str]:
    """Damage about this fraction of the videos; their paths."""
    damaged: set[str] = set()
    for path in sorted(root.rglob("*.mp4")):
        if KeyedRNG(hash_text(path.name), "damage").uniform() < fraction:
            content = DAMAGED[len(damaged) % len(DAMAGED)]
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
            damaged.add(str(path))
    return damaged
