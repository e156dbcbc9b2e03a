"""A trainer for tests."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, Checkpoint

QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)


def quiet_trainer(folder: Any, *callbacks: Callback, **settings: Any) -> lightning.Trainer:
    """A trainer on the CPU without output; it saves checkpoints only by those of the callbacks that do."""
    saves = any(isinstance(callback, Checkpoint) for callback in callbacks)
    defaults = {"accelerator": "cpu", "default_root_dir": folder, "enable_checkpointing": saves, **QUIET}
    return lightning.Trainer(**{**defaults, **settings}, callbacks=list(callbacks))
