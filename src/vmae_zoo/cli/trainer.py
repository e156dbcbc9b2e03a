"""``fit``, ``validate``, ``test`` and ``predict``: Lightning's command line over our methods and data."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.model_helpers import is_overridden

from vmae_zoo.callbacks.line_progress import LineProgress
from vmae_zoo.callbacks.run_folder import RunFolder, read_summary, remove
from vmae_zoo.callbacks.tensorboard import TolerantTensorBoardLogger
from vmae_zoo.cli.error_hints import hint_for
from vmae_zoo.cli.lightning_cli import SettingsCLI
from vmae_zoo.cli.log_filters import quieten
from vmae_zoo.cli.parser import recipes_of
from vmae_zoo.cli.run_folders import (
    LAST,
    check_same_data,
    new_run,
    newest_checkpoint,
    recipe_name,
    requeued_run,
    run_of,
)
from vmae_zoo.training.checkpoint_io import AtomicCheckpointIO


class ZooCLI(SettingsCLI):
    """Lightning's command line with a run folder, and errors in one line."""

    folder: Path | None = None

    def _parse_ckpt_path(self) -> None:
        """Settle checkpoint and run folder. What the model is, the recipe says, not the checkpoint."""
        verb = self.config.get("subcommand")
        if verb is None:
            return
        given = self.config[verb]
        wanted, given["ckpt_path"] = given["ckpt_path"], None  # the saved recipe starts afresh
        self.checkpoint: Path | None = None
        if given["weights_only"] is None:
            given["weights_only"] = True
        recipes = recipes_of(self.arguments)
        self.recipe = recipe_name(recipes[0]) if recipes else given["model"]["class_path"].rpartition(".")[2].lower()
        self.root = Path(given["trainer"]["default_root_dir"] or "").absolute() / "runs"
        self.fits = verb == "fit" and not given["trainer"]["fast_dev_run"]
        if not self.fits:
            self.save_config_callback = None
        if wanted == "last":
            self.checkpoint = newest_checkpoint(self.root, self.recipe, recipes[0] if recipes else None)
        elif wanted and not Path(wanted).exists():
            raise ValueError(f"--ckpt_path {wanted}: there is no such file")
        elif wanted:
            self.checkpoint = Path(wanted)
        if self.fits and self.checkpoint:
            self.folder = run_of(self.checkpoint)
            if self.folder:
                check_same_data(self.folder, given.get("data") or {})
        elif self.fits and (left := requeued_run(self.root, self.recipe)):
            self.folder = left  # Lightning looks there for the checkpoint that it made when it requeued the job
            self.checkpoint = left / LAST if (left / LAST).exists() and not any(left.glob("hpc_ckpt_*")) else None

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """A trainer that writes into the run folder, or, when it does not train, nothing."""
        self._start()
        given = self._get(self.config_init, "trainer")
        callbacks: list[Any] = []
        if given["strategy"] == "fsdp":  # Lightning's own of that name is the first FSDP, which PyTorch gave up
            settings["strategy"] = "fsdp2"
        if self.subcommand and given["logger"] is None:
            settings["logger"] = False
        if self.subcommand and self.fits:
            new = self.folder is None
            self.folder = self.folder or _new_run(self.root, self.recipe) or self.root / self.recipe / "another process"
            callbacks += [RunFolder(self.folder, self.recipe, new)]
            settings["default_root_dir"] = str(self.folder)
            if given["logger"] in (None, True):
                settings["logger"] = TolerantTensorBoardLogger(
                    self.folder.parent, self.folder.name, "", default_hp_metric=False
                )
        if self.subcommand in ("test", "predict") and self.checkpoint:
            measured = run_of(self.checkpoint)  # where results belong
            if measured and os.access(measured, os.W_OK):
                settings["default_root_dir"] = str(measured)
        barred = given["enable_progress_bar"] is False or any(
            isinstance(c, ProgressBar) for c in given["callbacks"] or []
        )
        if not barred and not sys.stderr.isatty():
            callbacks.append(LineProgress())
        self.trainer_defaults["callbacks"] = callbacks
        try:
            trainer = super().instantiate_trainer(**settings)
        except Exception as error:
            if self.folder and not any(self.folder.glob("*")):
                remove(self.folder)
            raise ValueError(f"trainer: {error}") from error
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        return trainer

    def _start(self) -> None:
        """Put in starting weights where the recipe names some, unless a checkpoint replaces them anyway."""
        weights = self.model.hparams.get("init_from")
        if weights and self.checkpoint is None:
            from vmae_zoo.zoo import start_from

            _say(f"start:  {start_from(self.model, weights).line()}")

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """The verb's arguments, with the checkpoint that was found."""
        return super()._prepare_subcommand_kwargs(subcommand) | {"ckpt_path": self.checkpoint}

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the verb; turn what a user can mend into a sentence, and end with where the run lies."""
        given = self.config[subcommand]
        if subcommand in ("test", "predict") and not is_overridden(f"{subcommand}_step", self.model):
            raise ValueError(
                f"{type(self.model).__name__} knows no classes, so there is nothing to {subcommand}: measure its "
                "encoder by `vmae-zoo linear-probe`, or fine-tune a Classifier on it"
            )
        if subcommand != "fit" and self.checkpoint is None:
            _say("no --ckpt_path: these are the weights that the recipe starts from")
        try:
            super()._run_subcommand(subcommand)
        except SIGTERMException as told:
            self._say_folder()
            raise SystemExit(told.code or 143) from None
        except SystemExit as stop:
            self._say_folder()
            if (
                stop.code == 1 and self.trainer.state.status == TrainerStatus.INTERRUPTED
            ):  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from None
            raise
        except Exception as error:
            advice = hint_for(error, given, self.checkpoint)
            if advice is None:
                raise
            raise ValueError(advice) from error
        if given["trainer"]["fast_dev_run"]:
            _say("fast_dev_run went through; nothing is kept")
        if given["json"]:
            _write(Path(given["json"]), self.trainer, self.folder)
        self._say_folder()

    def _say_folder(self) -> None:
        if self.folder and (self.folder / LAST).exists():
            _say(f"checkpoint: {self.folder / LAST}")
        if self.folder and self.folder.is_dir():
            _say(str(self.folder))


@rank_zero_only
def _new_run(root: Path, recipe: str) -> Path:
    return new_run(root, recipe)


@rank_zero_only
def _say(line: str) -> None:
    print(line, flush=True)


@rank_zero_only
def _write(file: Path, trainer: Trainer, run: Path | None) -> None:
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    file.write_text(json.dumps((run and read_summary(run)) or {"metrics": metrics}, indent=2) + "\n")


def run(arguments: list[str]) -> int:
    """Run a trainer verb; the exit code."""
    from vmae_zoo.data.module import ClipDataModule
    from vmae_zoo.methods.base import Method
    from vmae_zoo.methods.registry import import_methods

    quieten()
    import_methods()  # recipes can then use short names
    ZooCLI(arguments, Method, ClipDataModule)
    return 0
