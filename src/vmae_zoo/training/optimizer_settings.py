"""Settings of the optimizer after a resumption: those of the recipe, not those that the checkpoint holds.

PyTorch's optimizers and schedulers load learning rate, weight decay and betas together with their moments and counts,
so that a changed recipe would have no effect.
"""

from typing import Any

from lightning import Trainer
from torch.optim.lr_scheduler import LambdaLR


def optimizer_settings(trainer: Trainer) -> list[list[dict[str, Any]]]:
    """Settings of each parameter group of each optimizer, as configured; call it before a checkpoint is loaded."""
    return [
        [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
        for optimizer in trainer.optimizers
    ]


def apply_settings(trainer: Trainer, configured: list[list[dict[str, Any]]]) -> None:
    """Put back the settings after a checkpoint was loaded; schedules stay at their step.

    Without changes, this computes what the checkpoint holds.
    """
    for optimizer, groups in zip(trainer.optimizers, configured, strict=True):
        for group, settings in zip(optimizer.param_groups, groups, strict=True):
            before, rate = group.get("initial_lr"), group["lr"]
            group.update(settings)
            if before is None:
                continue  # no schedule: the rate itself is the setting
            group["lr"] = rate if group["initial_lr"] == before else rate / before * group["initial_lr"]
    for config in trainer.lr_scheduler_configs:
        scheduler = config.scheduler
        groups = scheduler.optimizer.param_groups
        if not all("initial_lr" in group for group in groups):
            continue  # such as ReduceLROnPlateau
        scheduler.base_lrs = [group["initial_lr"] for group in groups]
        if isinstance(scheduler, LambdaLR):
            for group, base, factor in zip(groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
                group["lr"] = base * factor(scheduler.last_epoch)
            scheduler._last_lr = [group["lr"] for group in groups]
