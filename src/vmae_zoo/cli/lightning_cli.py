"""Lightning's command line over recipes: links between data and model, callbacks of every run, errors on one line."""

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

import vmae_zoo
from vmae_zoo.cli.auto_trainer import resolve_auto, with_auto_trainer
from vmae_zoo.cli.encoder_of_weights import with_encoder_of_weights
from vmae_zoo.cli.errors import UsageError
from vmae_zoo.cli.parse_errors import short_message, unwrap_message
from vmae_zoo.cli.recipe_arguments import options_of, recipes_of, with_recipes
from vmae_zoo.cli.trainer_settings import CALLBACKS, DATA, LINKS
from vmae_zoo.compose import compose, files_of
from vmae_zoo.data.interfaces import VideoDataModule
from vmae_zoo.data.module import ClipDataModule
from vmae_zoo.lazy_imports import import_object
from vmae_zoo.methods.base import Method
from vmae_zoo.methods.registry import import_methods, resolve_method

DEFAULTS = {
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 10,
    "enable_model_summary": False,
}

OF_SUBCOMMANDS = ("ckpt_path", "weights_only")  # arguments of `fit` that a run's recipe holds


class RecipeParser(LightningArgumentParser):
    """Lightning's parser, reading recipes as `vmae_zoo.compose` does.

    Attributes:
        any_data_module: settings of the data are nested below ``class_path`` and ``init_args``.
        left_out: keys of a run's recipe that are not read.
        accelerator: of the command line, which wins over recipes.
    """

    any_data_module = False
    left_out: tuple[str, ...] = ()
    accelerator: str | None = None

    def parse_path(self, path: str | os.PathLike, *args: Any, **settings: Any) -> Namespace:
        """Parse a recipe."""
        keys = {key: value for key, value in compose(Path(path)).items() if key not in self.left_out}
        if isinstance(keys.get("trainer"), dict):
            keys["trainer"] = resolve_auto(keys["trainer"], self.accelerator)
        data = keys.get("data")
        if isinstance(data, dict):
            ours = _is_ours(data.get("class_path", DATA))
            if self.any_data_module and "class_path" not in data:
                keys["data"] = {"class_path": DATA, "init_args": data}
            elif not self.any_data_module and ours and "class_path" in data:
                keys["data"] = data.get("init_args") or {}
        return self.parse_string(json.dumps(keys), *args, path=path, **settings)


class SettingsCLI(LightningCLI):
    """Lightning's command line over composed and packaged recipes, with the callbacks that every run has.

    Without a subcommand, or unless ``run``, model and data are built and nothing runs.
    """

    def __init__(self, arguments: list[str], run: bool = True):
        self.given = list(arguments)
        self.arguments = with_encoder_of_weights(with_recipes(arguments))
        accelerator = dict(options_of(self.arguments)).get("trainer.accelerator")
        self.arguments = with_auto_trainer(self.arguments, accelerator)
        models, data_modules = classes_named(self.arguments)
        import_methods()
        for name in models:
            resolve_method(name)
        user_classes = [_data_module(name) for name in data_modules if not _is_ours(name)]
        self.any_data_module = bool(user_classes)
        about = {"any_data_module": self.any_data_module, "accelerator": accelerator}
        parser_class = type("Parser", (RecipeParser,), {**about, "left_out": () if run else OF_SUBCOMMANDS})
        subcommands = LightningCLI.subcommands()
        if arguments and arguments[0] in subcommands:  # parsers of the other three would take most of the start-up
            subcommands = {arguments[0]: subcommands[arguments[0]]}
        self.subcommands = lambda: subcommands  # type: ignore[method-assign]
        strict = {"allow_abbrev": False, "exit_on_error": False}
        header = [f"vmae_zoo {vmae_zoo.__version__}, all settings of:", f"vmae-zoo {shlex.join(arguments)}"]
        super().__init__(
            Method,
            VideoDataModule if user_classes else ClipDataModule,
            args=self.arguments,
            run=run,
            subclass_mode_model=True,
            subclass_mode_data=bool(user_classes),
            auto_configure_optimizers=False,
            seed_everything_default=0,
            trainer_defaults=dict(DEFAULTS),
            parser_class=parser_class,
            parser_kwargs={
                **strict,
                "prog": "vmae-zoo",
                "version": f"vmae-zoo {vmae_zoo.__version__}",
                **{name: {**strict, "dump_header": header} for name in subcommands},
            },
            save_config_callback=None,  # see `vmae_zoo.callbacks.run_folder`
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add links, and the callbacks that every run has."""
        parser.add_argument("--json", type=str | None, help="file that the final metrics are written to")
        parser.add_argument("--name", type=str | None, help="name of the run in `vmae-zoo runs`, compare and report")
        parser.add_argument("--tags", type=str | None, help="tags of the run, divided by commas: sweep,night")
        for key, callback in CALLBACKS.items():
            parser.add_lightning_class_args(import_object(callback), key)
        data = "data.init_args" if self.any_data_module else "data"
        parser.link_arguments("seed_everything", f"{data}.seed", compute_fn=int)
        for source, target in LINKS.items():
            parser.link_arguments(f"{data}.{source.removeprefix('data.')}", f"model.init_args.{target}")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the arguments; ``UsageError`` names the setting, the file and the type that is expected."""
        try:
            self.config = parser.parse_args(args)
        except (ArgumentError, argparse.ArgumentError) as error:
            files = [file for recipe in recipes_of(self.arguments) for file in files_of(recipe)]
            options = [name for name, _ in options_of(self.arguments)]
            raise UsageError(short_message(str(error), files, options)) from error

    def _set_seed(self) -> None:
        """One seed for everything; with ``seed_everything: true`` it is chosen here, after the links were applied."""
        super()._set_seed()
        if self.subcommand:
            settings = self.config[self.subcommand]
            data = settings["data"].get("init_args", settings["data"])
            if "seed" in data:
                data["seed"] = int(settings["seed_everything"])

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; errors of a constructor keep their own message."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise ValueError(unwrap_message(str(error))) from error


def classes_named(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Import paths and short names of the methods, and of the data modules, that recipes and options name."""
    groups = [compose(recipe) for recipe in recipes_of(arguments)]
    found: dict[str, list[str]] = {"model": [], "data": []}
    for key, names in found.items():
        named = ((group.get(key) or {}).get("class_path") for group in groups)
        names += [name for name in named if isinstance(name, str)]
        for option, value in options_of(arguments):
            if option in (key, f"{key}.class_path") and value.replace(".", "").isidentifier():
                names += [] if value.endswith((".yaml", ".yml")) else [value]
    return found["model"], found["data"]


def _is_ours(data_module: str) -> bool:
    return data_module.rpartition(".")[2] == "ClipDataModule" and data_module.split(".")[0] in (
        "vmae_zoo",
        "ClipDataModule",
    )


def _data_module(path: str) -> type[VideoDataModule]:
    """The class of a data module; ``ValueError`` unless it derives from `VideoDataModule`."""
    found = import_object(path)
    if not isinstance(found, type) or not issubclass(found, VideoDataModule):
        raise ValueError(f"--data {path} does not derive from vmae_zoo.data.VideoDataModule: derive it from that class")
    return found
