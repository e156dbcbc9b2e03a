"""``fit``, ``validate``, ``test`` and ``predict``: Lightning's command line over our methods and data."""

import logging
import warnings
from pathlib import Path
from typing import Any

from lightning import LightningDataModule, LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

import vmae_zoo
from vmae_zoo.callbacks.run_folder import RunFolder
from vmae_zoo.cli.parser import RecipeParser, first_recipe, with_recipes
from vmae_zoo.cli.runs import LAST, RECIPE, new_run, newest_checkpoint, recipe_name, run_of
from vmae_zoo.training.checkpointing import AtomicCheckpointIO, LastCheckpoint

# One number, one place: what the data says, the model is told. A method without such an argument is not.
LINKS = {"data.frames": "frames", "data.stride_frames": "stride_frames", "data.size": "image_size"}

DEFAULTS = {"use_distributed_sampler": False, "num_sanity_val_steps": 0, "log_every_n_steps": 10}


class ZooCLI(LightningCLI):
    """Lightning's command line with a run folder, packaged recipes and short errors."""

    def __init__(
        self, arguments: list[str], method: type[LightningModule], data: type[LightningDataModule], run: bool = True
    ):
        self.arguments = with_recipes(arguments)
        strict = {"allow_abbrev": False}
        super().__init__(
            method,
            data,
            args=self.arguments,
            run=run,
            subclass_mode_model=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            trainer_defaults=dict(DEFAULTS),
            parser_class=RecipeParser,
            parser_kwargs={
                **strict,
                "version": f"vmae-zoo {vmae_zoo.__version__}",
                **{verb: strict for verb in self.subcommands()},
            },
            save_config_kwargs={"config_filename": RECIPE, "overwrite": True},
        )

    def add_arguments_to_parser(self, parser) -> None:
        """Links, and the callbacks that every run has."""
        parser.add_lightning_class_args(LastCheckpoint, "checkpoint")
        for source, target in LINKS.items():
            parser.link_arguments(source, f"model.init_args.{target}")

    def parse_arguments(self, parser, args) -> None:
        """Parse what was given; Lightning would warn when this process has arguments of its own."""
        self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """Find the checkpoint and the folder; the recipe, not the checkpoint, says what the model is."""
        given = self.config.get(self.config.get("subcommand") or "", self.config)
        recipe = first_recipe(self.arguments)
        self.recipe = (
            recipe_name(Path(recipe)) if recipe else str(given["model"]["class_path"]).rpartition(".")[2].lower()
        )
        root = Path(given["trainer"]["default_root_dir"] or Path.cwd()) / "runs"
        self.folder: Path | None = None
        checkpoint = given.get("ckpt_path")
        if checkpoint == "last":
            checkpoint = str(newest_checkpoint(root, self.recipe))
        elif checkpoint and not Path(checkpoint).exists():
            raise ValueError(f"--ckpt_path {checkpoint}: no such file")
        if checkpoint:
            given["ckpt_path"] = checkpoint
            self.folder = run_of(Path(checkpoint))
        if self.config.get("subcommand") == "fit" and not given["trainer"]["fast_dev_run"]:
            self.folder = self.folder or _new_run(root, self.recipe)
            self.trainer_defaults["callbacks"] = [RunFolder(self.folder, self.recipe)]

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """A trainer that writes into the run folder."""
        if self.folder:
            settings["default_root_dir"] = str(self.folder)
            if self._get(self.config_init, "trainer")["logger"] in (None, True):
                settings["logger"] = TensorBoardLogger(
                    self.folder.parent, self.folder.name, "", default_hp_metric=False
                )
        trainer = super().instantiate_trainer(**settings)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        return trainer

    def after_fit(self) -> None:
        """The last line: where the run lies."""
        if self.folder:
            _say(f"checkpoint: {self.folder / LAST}")
            _say(str(self.folder))


@rank_zero_only
def _new_run(root: Path, recipe: str) -> Path:
    return new_run(root, recipe)


@rank_zero_only
def _say(line: str) -> None:
    print(line, flush=True)


def run(arguments: list[str]) -> int:
    """Run a trainer verb; the exit code."""
    import vmae_zoo.methods  # every method's class, so that recipes can use short names
    from vmae_zoo.data import ClipDataModule

    quieten()
    ZooCLI(arguments, vmae_zoo.methods.Method, ClipDataModule)
    return 0


def quieten() -> None:
    """Drop what says nothing about the run."""
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )
