"""The private attributes of PyTorch Lightning that this package uses, each with the reason.

Checked against Lightning 2.6; ``tests/test_lightning_internals.py`` fails if one of them changes. Private methods are
overridden and called in subclasses: of `WeightAveraging` in `vmae_zoo.callbacks.ema`, and of `LightningCLI` in
`vmae_zoo.cli.lightning_cli` and `vmae_zoo.cli.run_cli`.
"""

from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from lightning import LightningModule, Trainer
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.parsing import collect_init_args

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_LOOP: Any = _Loop
_OBSERVER: Any = _ChildProcessObserver
_TERMINATE_ALL = _OBSERVER._terminate_all


def constructor_arguments(frame: FrameType | None) -> list[dict[str, Any]]:
    """Arguments of the constructors that are running, from ``frame`` outwards: last those of the most derived class.

    ``save_hyperparameters`` collects them in the same way, but not under `LightningCLI`, where it takes the arguments
    of the most derived class alone.
    """
    assert frame is not None
    return collect_init_args(frame, [], classes=(LightningModule,))


def keep_own_samplers(trainer: Trainer) -> None:
    """Keep Lightning from wrapping samplers in ``DistributedSampler``: those of `vmae_zoo.data` already shard by rank.

    The public option is an argument of the trainer, which a data module does not construct.
    """
    trainer._accelerator_connector.use_distributed_sampler = False


def set_default_root_dir(trainer: Trainer, folder: str) -> None:
    """Set ``trainer.default_root_dir``, a read-only property: rank 0 chooses the run folder after construction."""
    trainer._default_root_dir = folder  # type: ignore[attr-defined]


def skip_sigterm_broadcast(trainer: Trainer) -> None:
    """Remove the broadcast of SIGTERM before each batch, which synchronizes host and device at every step."""
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def requeues_under_slurm(trainer: Trainer) -> bool:
    """Whether the run is a SLURM job that Lightning is set to requeue."""
    environment = trainer._accelerator_connector.cluster_environment
    return isinstance(environment, SLURMEnvironment) and environment.auto_requeue


def wrap_saving(checkpoint: ModelCheckpoint, wrap_save: Callable[..., Any], wrap_choose: Callable[..., Any]) -> None:
    """Wrap the methods by which a `ModelCheckpoint` writes a file and selects the files to keep.

    There is no public hook around either.
    """
    checkpoint._save_checkpoint = wrap_save(checkpoint._save_checkpoint)  # type: ignore[method-assign]
    checkpoint._save_topk_checkpoint = wrap_choose(checkpoint._save_topk_checkpoint)  # type: ignore[method-assign]
    checkpoint._save_last_checkpoint = wrap_choose(checkpoint._save_last_checkpoint)  # type: ignore[method-assign]


def epochs_processed(trainer: Trainer) -> int:
    """Number of epochs that have ended, which is the index of the current or next one."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return epochs.processed


def epoch_state(trainer: Trainer) -> tuple[int, bool, bool, int]:
    """Epochs ended, whether one is running, whether no further one has begun, and micro-batches of the last one."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    running = epochs.started > epochs.processed
    return epochs.processed, running, epochs.ready == epochs.processed, batches.processed


def scales_loss(trainer: Trainer) -> bool:
    """Whether a gradient scaler decides which steps are skipped, as with precision 16-mixed."""
    plugin = trainer.precision_plugin
    return isinstance(plugin, MixedPrecision) and plugin.scaler is not None


def set_position(trainer: Trainer, epoch: int, micro_batches: int) -> None:
    """Set the loops' counters to a position in an epoch, after Lightning has restored its own.

    Lightning counts micro-batches and restores the counts of the hook in which the checkpoint was saved. Afterwards
    they are those of an uninterrupted run at the start of an epoch or the end of an optimizer step.
    """
    inside = micro_batches > 0
    fit: Any = trainer.fit_loop
    loop = fit.epoch_loop
    for tracker in (fit.epoch_progress.total, fit.epoch_progress.current):
        tracker.ready = tracker.started = epoch + inside
        tracker.processed = tracker.completed = epoch
    batches = loop.batch_progress
    behind = batches.total.processed - batches.current.processed
    for tracker, before in ((batches.total, behind), (batches.current, 0)):
        tracker.ready = tracker.started = tracker.processed = before + micro_batches
        tracker.completed = tracker.processed - inside  # as in on_train_batch_end, where a step's checkpoint is saved
    batches.is_last_batch = False
    if trainer.lightning_module.automatic_optimization:
        loop._batches_that_stepped = trainer.global_step - inside  # the restart counts the step it is inside of
    _LOOP.restarting.fset(fit, inside)  # FitLoop's own setter takes every run with max_steps as unfinished


def report_lost_process(report: Callable[[int, int], None]) -> None:
    """Call ``report(pid, code)`` before Lightning kills all processes of a run because one of them has died.

    Lightning logs only a line in the middle of others, and then kills the main process too.
    """

    def terminate(observer: Any) -> None:
        lost = next(process for process in observer._child_processes if process.returncode)
        report(lost.pid, lost.returncode)
        _TERMINATE_ALL(observer)

    _OBSERVER._terminate_all = terminate


def open_writer(logger: TensorBoardLogger) -> "SummaryWriter | None":
    """The logger's event file writer; None if none is open. The public property ``experiment`` would open one."""
    return logger._experiment


def drop_writer(logger: TensorBoardLogger) -> None:
    """Make the logger open a new event file the next time it logs."""
    logger._experiment = None


def is_trial_run(trainer: Trainer) -> bool:
    """Whether the run is a ``fast_dev_run``: Lightning sets this attribute of its trainer without declaring it."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
