"""Training metrics in the progress bar, without reading one back at every step.

Lightning converts each metric that is logged with ``prog_bar=True`` to a number after every step, whether or not a bar
is refreshed. The host then waits for the device at each step, and cannot queue the next one in the meantime.
"""

from typing import Any

from lightning import LightningModule, Trainer

SHOWN = ("loss/train", "clips/s", "data", "std", "probe/top1")


def read_metrics(trainer: Trainer) -> dict[str, float]:
    """The present values of `SHOWN`, as far as they are logged; waits for the device."""
    logged = trainer.callback_metrics
    return {name: float(logged[name]) for name in SHOWN if name in logged}


def show_in_bar(trainer: Trainer) -> None:
    """Let the trainer's progress bar show `SHOWN`: at every step on a CPU, elsewhere every ``log_every_n_steps``."""
    bar = trainer.progress_bar_callback
    if bar is None:
        return
    others, shown = bar.get_metrics, dict[str, float]()
    on_cpu = trainer.strategy.root_device.type == "cpu"
    every = 1 if on_cpu else trainer.log_every_n_steps  # type: ignore[attr-defined]

    def get_metrics(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        if trainer.global_step % every == 0:
            shown.update(read_metrics(trainer))
        return {**shown, **others(trainer, pl_module)}

    bar.get_metrics = get_metrics  # type: ignore[method-assign]
