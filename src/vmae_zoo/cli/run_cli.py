"""The trainer subcommands at work: checkpoint, run folder and trainer, and errors with a hint."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from lightning import Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.model_helpers import is_overridden

from vmae_zoo.callbacks.closing_lines import ClosingLines
from vmae_zoo.callbacks.line_progress import LineProgress
from vmae_zoo.callbacks.metrics_csv import MetricsCSV
from vmae_zoo.callbacks.run_folder import RunFolder
from vmae_zoo.callbacks.tensorboard import TolerantTensorBoardLogger
from vmae_zoo.cli.error_hints import hint_for
from vmae_zoo.cli.errors import one_line, print_error
from vmae_zoo.cli.folder_guard import FolderGuard
from vmae_zoo.cli.json_option import write_json
from vmae_zoo.cli.lightning_cli import SettingsCLI
from vmae_zoo.cli.recipe_arguments import recipes_of
from vmae_zoo.cli.resumed_settings import Change, changes, check_changes, read_whole_recipe, steps_left
from vmae_zoo.cli.run_folders import find_checkpoint, recipe_name, requeued_run
from vmae_zoo.cli.trainer_checks import check_trainer
from vmae_zoo.lightning_internals import report_lost_process
from vmae_zoo.run_record import LAST, RECIPE, read_summary, run_of, write_summary
from vmae_zoo.training.checkpoint_io import AtomicCheckpointIO, read_checkpoint


class RunCLI(SettingsCLI):
    """Lightning's command line with a run folder, and errors on one line."""

    folder: Path | None = None
    callback: RunFolder | None = None
    changed: Sequence[Change] = ()

    def __init__(self, arguments: list[str]):
        with FolderGuard(lambda: self.callback is not None and self.callback.began) as self.guard:
            super().__init__(arguments)

    def _parse_ckpt_path(self) -> None:
        """Find the checkpoint and the run folder. Hyperparameters come from the recipe, not from the checkpoint."""
        subcommand = self.config.get("subcommand")
        if subcommand is None:
            return
        settings = self.config[subcommand]
        wanted, settings["ckpt_path"] = settings["ckpt_path"], None  # the saved recipe starts a new run
        if settings["weights_only"] is None:
            settings["weights_only"] = True
        recipes = recipes_of(self.arguments)
        own = recipes[0] if recipes else None
        self.recipe = recipe_name(own) if own else settings["model"]["class_path"].rpartition(".")[2].lower()
        self.root = Path(settings["trainer"]["default_root_dir"] or "").absolute() / "runs"
        self.is_fit = subcommand == "fit" and not settings["trainer"]["fast_dev_run"]
        self.checkpoint = find_checkpoint(wanted, self.root, self.recipe, own) if wanted else None
        if self.is_fit and self.checkpoint:
            self.folder = run_of(self.checkpoint)
        elif self.is_fit and (requeued := requeued_run(self.root, self.recipe)):
            self.folder = requeued  # Lightning looks there for the checkpoint that it saved when it requeued the job
            own_last = (requeued / LAST).exists() and not any(requeued.glob("hpc_ckpt_*"))
            self.checkpoint = requeued / LAST if own_last else None

    def before_instantiate_classes(self) -> None:
        """Lock the run folder, verify the checkpoint, and compare the settings of a resumed run with its recipe."""
        if not self.subcommand:
            return
        settings = self.config[self.subcommand]
        if self.is_fit and self.folder:
            self.guard.lock(self.folder)
        checkpoint = read_checkpoint(self.checkpoint, settings["weights_only"]) if self.checkpoint else None
        if not self.is_fit or checkpoint is None:
            return
        trainer = settings["trainer"].as_dict()
        if not steps_left(self.folder, checkpoint, trainer):
            _print(
                f"finished: {self.folder or self.checkpoint} has trained all its {checkpoint['global_step']} steps; "
                "nothing was changed. A larger trainer.max_steps or trainer.max_epochs continues it"
            )
            self._print_folder()
            raise SystemExit(0)
        if self.folder:
            if not (before := read_whole_recipe(self.folder)):
                _print(f"warning: {self.folder / RECIPE} cannot be read: the settings were not compared with it")
            self.changed = changes(before, yaml.safe_load(self._settings_text())) if before else ()
            check_changes(self.folder, self.changed)
            for change in self.changed:
                _print(f"changed: {change}")

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """A trainer that writes into the run folder; nothing is written unless it trains."""
        self._load_init_weights()
        given = self._get(self.config_init, "trainer")
        check_trainer(given, self.model)
        callbacks: list[Any] = []
        if given["strategy"] == "fsdp":  # in Lightning the name of PyTorch's first FSDP, which is no longer developed
            settings["strategy"] = "fsdp2"
        if self.subcommand and given["logger"] is None:
            settings["logger"] = False
        if self.subcommand and self.is_fit:
            of_another_process = self.root / self.recipe / "another process"
            self.folder = self.folder or self.guard.create(self.root, self.recipe) or of_another_process
            self.callback = RunFolder(self.folder, self.recipe, self._settings_text(), self._explain)
            callbacks += [self.callback, ClosingLines(self.given)]
            report_lost_process(self._report_lost)
            settings["default_root_dir"] = str(self.folder)
            settings["logger"] = self._loggers(given["logger"])
        if self.subcommand in ("test", "predict") and self.checkpoint:
            run = run_of(self.checkpoint)  # where results belong
            if run and os.access(run, os.W_OK):
                settings["default_root_dir"] = str(run)
        has_bar = any(isinstance(callback, ProgressBar) for callback in given["callbacks"] or [])
        if given["enable_progress_bar"] is not False and not has_bar and not sys.stderr.isatty():
            callbacks.append(LineProgress())
        self.trainer_defaults["callbacks"] = callbacks
        try:
            trainer = super().instantiate_trainer(**settings)
        except Exception as error:
            raise ValueError(f"trainer: {error}") from error
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        return trainer

    def _loggers(self, given: Any) -> list[Logger]:
        """TensorBoard in the run folder, or the loggers of the recipe; ``metrics.csv`` unless there are none."""
        assert self.folder is not None
        if given is False:
            return []
        if given in (None, True):
            given = TolerantTensorBoardLogger(self.folder.parent, self.folder.name, "", default_hp_metric=False)
        return [*(given if isinstance(given, list) else [given]), MetricsCSV(self.folder)]

    def _settings_text(self) -> str:
        """YAML of every setting of the subcommand."""
        return self._parser(self.subcommand).dump(self.config[self.subcommand], skip_none=False)

    def _report_lost(self, pid: int, code: int) -> None:
        """Print and record that another process of the run has died, before Lightning kills this one."""
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        reason = f"process {pid} of this run {ended}: resume with --ckpt_path last"
        print_error(reason)
        if self.callback and self.callback.began:
            with suppress(OSError):
                summary = read_summary(self.callback.folder)
                write_summary(self.callback.folder, {**summary, "state": "failed", "reason": reason})

    def _explain(self, error: BaseException) -> str:
        settings = self.config[self.subcommand].as_dict()
        return hint_for(error, settings, self.checkpoint, self.changed) or one_line(error)

    def _load_init_weights(self) -> None:
        """Load the weights that the recipe starts from, unless a checkpoint replaces them anyway."""
        weights = self.model.hparams.get("init_from")
        if weights and self.checkpoint is None:
            from vmae_zoo.zoo import start_from

            _print(f"start:  {start_from(self.model, weights).line()}")
        if self.model.hparams.get("teacher"):
            from vmae_zoo.zoo.init_from import load_teacher

            _print(f"teacher: {load_teacher(self.model).line()}")

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """The arguments of the trainer's method, with the checkpoint that was found."""
        return super()._prepare_subcommand_kwargs(subcommand) | {"ckpt_path": self.checkpoint}

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the subcommand; the last line printed is the run folder. Errors that a user can fix get a hint."""
        settings = self.config[subcommand]
        if subcommand in ("test", "predict") and not is_overridden(f"{subcommand}_step", self.model):
            raise ValueError(
                f"{type(self.model).__name__} has no classes to {subcommand}: evaluate its encoder with `vmae-zoo "
                "linear-probe`, or fine-tune a Classifier from it"
            )
        if subcommand != "fit" and self.checkpoint is None:
            _print("no --ckpt_path: the weights are those that the recipe starts from")
        try:
            super()._run_subcommand(subcommand)
        except SIGTERMException as signaled:
            self._print_folder()
            raise SystemExit(signaled.code or 143) from None
        except SystemExit as stop:
            self._print_folder()
            if (
                stop.code == 1 and self.trainer.state.status == TrainerStatus.INTERRUPTED
            ):  # how Lightning ends after Ctrl-C
                raise KeyboardInterrupt from None
            raise
        except Exception as error:
            hint = hint_for(error, settings.as_dict(), self.checkpoint, self.changed)
            if hint is None:
                raise
            raise ValueError(hint) from error
        if settings["trainer"]["fast_dev_run"]:
            _print("fast_dev_run finished; nothing was saved")
        if settings["json"]:
            _write_metrics(Path(settings["json"]), self.trainer, self.folder)
        self._print_folder()

    def _print_folder(self) -> None:
        if self.folder and (self.folder / LAST).exists():
            _print(f"checkpoint: {self.folder / LAST}")
        if self.folder and self.folder.is_dir():
            _print(str(self.folder))


@rank_zero_only
def _print(line: str) -> None:
    print(line, flush=True)


@rank_zero_only
def _write_metrics(file: Path, trainer: Trainer, run: Path | None) -> None:
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    write_json(file, (run and read_summary(run)) or {"metrics": metrics})
