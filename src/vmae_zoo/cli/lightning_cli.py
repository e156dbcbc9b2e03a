"""The settings of a trainer verb: recipes, links between data and model, and mistakes told in one line."""

import argparse
import inspect
import shlex
from typing import Any

from jsonargparse import ArgumentError
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

import vmae_zoo
from vmae_zoo.callbacks.ema import EMA
from vmae_zoo.callbacks.online_probe import OnlineProbe
from vmae_zoo.callbacks.reconstruction_logger import ReconstructionLogger
from vmae_zoo.callbacks.skip_nonfinite import SkipNonFiniteSteps
from vmae_zoo.callbacks.throughput import Throughput
from vmae_zoo.cli.compose import files_of
from vmae_zoo.cli.errors import UsageError
from vmae_zoo.cli.parse_errors import complaint, unwrap_message
from vmae_zoo.cli.parser import RecipeParser, options_of, recipes_of, refuse_linked, with_recipes
from vmae_zoo.cli.run_folders import RECIPE
from vmae_zoo.training.checkpointing import LastCheckpoint

# One number, one place: what the data says, the model is told. A method without such an argument is not.
LINKS = {
    "data.frames": "frames",
    "data.stride_frames": "stride_frames",
    "data.size": "image_size",
    "data.sampling": "sampling",
}

# Callbacks that every run has; the key is where a recipe sets their arguments.
CALLBACKS = {
    "checkpoint": LastCheckpoint,
    "ema": EMA,
    "finite": SkipNonFiniteSteps,
    "online_probe": OnlineProbe,
    "pictures": ReconstructionLogger,
    "throughput": Throughput,
}

DEFAULTS = {
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 10,
    "enable_model_summary": False,
}


class SettingsCLI(LightningCLI):
    """Lightning's command line over composed and packaged recipes, with the callbacks that every run has."""

    def __init__(
        self, arguments: list[str], method: type[LightningModule], data: type[LightningDataModule], run: bool = True
    ):
        self.arguments = with_recipes(arguments)
        verbs = LightningCLI.subcommands()
        if arguments and arguments[0] in verbs:  # the parsers of the other three would take most of the start-up
            verbs = {arguments[0]: verbs[arguments[0]]}
        self.subcommands = lambda: verbs  # type: ignore[method-assign]
        strict = {"allow_abbrev": False, "exit_on_error": False}
        header = [f"vmae_zoo {vmae_zoo.__version__}, all settings of:", f"vmae-zoo {shlex.join(arguments)}"]
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
                "prog": "vmae-zoo",
                "version": f"vmae-zoo {vmae_zoo.__version__}",
                **{verb: {**strict, "dump_header": header} for verb in verbs},
            },
            save_config_kwargs={"config_filename": RECIPE, "overwrite": True},
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Links, and the callbacks that every run has."""
        parser.add_argument("--json", type=str | None, help="file that the final metrics are written to")
        for key, callback in CALLBACKS.items():
            parser.add_lightning_class_args(callback, key)
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)
        said = inspect.signature(self._datamodule_class).parameters
        for source, target in LINKS.items():
            if source.removeprefix("data.") in said:
                parser.link_arguments(source, f"model.init_args.{target}")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse what was given; ``UsageError`` names the setting, the file and what was probably meant."""
        refuse_linked(self.arguments, LINKS)
        try:
            self.config = parser.parse_args(args)
        except (ArgumentError, argparse.ArgumentError) as error:
            files = [file for recipe in recipes_of(self.arguments) for file in files_of(recipe)]
            raise UsageError(complaint(str(error), options_of(parser), files)) from error

    def _set_seed(self) -> None:
        """One seed for everything; a random one is chosen here, so the data is told now."""
        super()._set_seed()
        if self.subcommand:
            given = self.config[self.subcommand]
            given["data"]["seed"] = int(given["seed_everything"])

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; what a constructor refuses is said in its own words."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise ValueError(unwrap_message(str(error))) from error
