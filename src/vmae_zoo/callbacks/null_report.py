"""Whether the validation loss beats what takes no learning: a notice on a plateau, and a line at the end."""

import math
from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from vmae_zoo.callbacks.line_progress import total_steps
from vmae_zoo.lightning_internals import is_trial_run
from vmae_zoo.methods.optimization import OptimizedModule

PREFIX = "loss/val_over_"
NULLS = ("zero", "clip_mean", "place_mean", "copy")
WAIT_VALIDATIONS = 3  # above the best null in a row, without falling, before the warning
DIVERGED = 1.02  # of the loss of the best null
PLATEAU = 0.99  # of the loss of each clip's mean: nothing beyond a constant has been learned


class NullReport(Callback):
    """Prints how the validation loss compares with the nulls of `vmae_zoo.training.nulls`.

    A third through the run, it prints once if the loss is still on the plateau of predicting a constant; after the
    warm-up, it warns once if the loss stays above that of the best null and does not fall; at the end, it prints the
    ratio to every null and whether the best one is beaten. Methods without nulls print nothing.
    """

    def __init__(self) -> None:
        self._checked = False
        self._above: list[float] = []  # ratios to the best null of validations in a row

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run that is resumed after its first third was checked before; a ``fast_dev_run`` has nothing to learn."""
        total = total_steps(trainer)
        self._checked = total is None or is_trial_run(trainer) or trainer.global_step > total / 3

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the notice on the plateau, once, at the first validation after a third of the steps."""
        if trainer.state.fn == "fit":
            self._check_divergence(trainer, pl_module)
        total = total_steps(trainer) if trainer.state.fn == "fit" else None
        ratio = ratios(trainer.callback_metrics).get("clip_mean")
        if self._checked or total is None or ratio is None or trainer.global_step < total / 3:
            return
        self._checked = True
        if ratio > PLATEAU and trainer.is_global_zero:
            print(
                f"plateau: after {trainer.global_step} of {total} steps the validation loss is {ratio:.3f} of that of"
                " each clip's mean, so nothing beyond a constant has been learned. What ended plateaus of small models:"
                " more steps, model.position sincos_3d_low, a lower mask ratio, a higher learning rate, a smaller"
                " batch. docs/measurements/study.md#plateaus has measurements.",
                flush=True,
            )

    def _check_divergence(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = ratios(trainer.callback_metrics)
        if not found or not isinstance(pl_module, OptimizedModule) or len(self._above) > WAIT_VALIDATIONS:
            return
        if trainer.global_step <= pl_module.run_length().warmup_steps:
            return
        best = max(found, key=lambda name: found[name])
        self._above = [*self._above, found[best]] if not found[best] <= DIVERGED else []
        if len(self._above) < WAIT_VALIDATIONS:
            return
        if self._above[-1] < self._above[0]:
            self._above = self._above[1:]
            return
        self._above = [math.inf] * (WAIT_VALIDATIONS + 1)  # warned
        rank_zero_warn(
            f"diverged: up to step {trainer.global_step}, {WAIT_VALIDATIONS} validations in a row are above the "
            f"loss of the best null ({best.replace('_', ' ')}), the last by a factor of {found[best]:.2f}: lower the "
            "learning rate, lengthen the warm-up, or set trainer.gradient_clip_val"
        )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the ratio to every null."""
        found = ratios(trainer.callback_metrics)
        if found and trainer.is_global_zero:
            print(null_line(found), flush=True)


def ratios(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Validation loss over the loss of each null, by name, of a trainer's metrics."""
    return {name: float(metrics[PREFIX + name]) for name in NULLS if PREFIX + name in metrics}


def null_line(found: Mapping[str, float]) -> str:
    """The comparison with the nulls in one line; "-" for a null that the mask does not allow."""
    named = {name: name.replace("_", " ") for name in NULLS}
    parts = [f"{named[name]} {found[name]:.3f}" if name in found else f"{named[name]} -" for name in NULLS]
    best = max(found, key=lambda name: found[name])
    verdict = "beaten" if found[best] < 1 else "not beaten"
    return f"validation loss over nulls: {', '.join(parts)}; best null: {named[best]}, {verdict}"
