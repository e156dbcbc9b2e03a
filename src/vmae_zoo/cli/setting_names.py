"""Checks the names in a command before anything large is imported: settings, classes, and linked settings.

The names come from the source of the classes, see `vmae_zoo.cli.signatures`; where the source does not show them, the
parser of Lightning's command line decides. That one also checks values.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vmae_zoo.cli.errors import UsageError
from vmae_zoo.cli.recipe_arguments import options_of, recipes_of
from vmae_zoo.cli.signatures import MissingError, classes_of, parameters
from vmae_zoo.cli.trainer_settings import CALLBACKS, DATA, LINKS, NOT_SETTINGS, TOP_LEVEL, TRAINER
from vmae_zoo.compose import compose, files_of
from vmae_zoo.methods.registry import CLASS_NAMES, METHODS

SHORT_NAMES = ("vmae_zoo.callbacks", "lightning.pytorch.callbacks", "lightning.pytorch.loggers")
WEIGHTS_ONLY = "weights_only"
KEYS = ("class_path", "init_args", "dict_kwargs")
_CLASS = re.compile(r"(?!(?:True|False|None)$)(?:\w+\.)*[A-Z]\w*")  # names of classes start with a capital letter


def check_names(arguments: list[str]) -> None:
    """Check the names of settings and classes in the recipes and options of a trainer subcommand.

    Raises:
        UsageError: a name does not exist; the message has the file, the line, and the nearest name.
        ValueError: a setting was given that is linked to another one.
    """
    if {"-h", "--help", "--version"} & set(arguments):
        return
    for argument in _without_option(arguments):
        cure = f"-c {argument}" if argument.endswith((".yaml", ".yml")) else f"--data.root {argument}"
        raise UsageError(f"unexpected argument {argument!r}: did you mean `{cure}`?")
    _Names(arguments).check()


OLD_NAMES = {  # of earlier versions of Lightning, and of other programs
    "trainer.gpus": "trainer.devices",
    "trainer.num_gpus": "trainer.devices",
    "trainer.tpu_cores": "trainer.devices",
    "trainer.num_processes": "trainer.devices",
    "trainer.resume_from_checkpoint": "ckpt_path",
    "trainer.weights_save_path": "trainer.default_root_dir",
    "trainer.checkpoint_callback": "trainer.enable_checkpointing",
    "trainer.progress_bar_refresh_rate": "trainer.enable_progress_bar",
    "trainer.amp_level": "trainer.precision",
    "resume": "ckpt_path",
    "resume_from": "ckpt_path",
    "checkpoint": "ckpt_path",
}


def _without_option(arguments: list[str]) -> Iterator[str]:
    """Arguments that are neither the subcommand, nor an option, nor the value of one."""
    is_value = True  # the first is the subcommand
    for argument in arguments:
        if argument.startswith("-") and not is_number(argument):
            is_value = "=" not in argument
        elif is_value:
            is_value = False
        else:
            yield argument


def is_number(text: str) -> bool:
    """Whether a text that begins with a minus is a number and no option."""
    return re.fullmatch(r"-\d*\.?\d+(?:[eE][-+]?\d+)?", text) is not None


class _Names:
    def __init__(self, arguments: list[str]):
        self.recipes = [(recipe, compose(recipe)) for recipe in recipes_of(arguments)]
        self.files = [file for recipe, _ in self.recipes for file in files_of(recipe)]
        self.options = list(options_of(arguments))
        self.groups = {key: parameters(path) for key, path in {"trainer": TRAINER, **CALLBACKS}.items()}
        called = parameters(TRAINER, arguments[0]) or []
        self.top = [*TOP_LEVEL, "model", "data", *self.groups, *(name for name in called if name not in NOT_SETTINGS)]
        self.classes: dict[str, str | None] = {"model": None, "data": DATA}

    def check(self) -> None:
        for _, keys in self.recipes:
            for group, value in keys.items():
                self.check_group(group, value)
            self.check_safe_loading(keys.get(WEIGHTS_ONLY))
        for option, value in self.options:
            group = option.removesuffix(".class_path")
            if group in self.classes and _CLASS.fullmatch(value):
                self.classes[group] = self.class_path(group, value)
        self.files = []  # the options are not in them
        for option, value in self.options:
            self.check_option(option, value)
        if not self.classes["model"] and "print_config" not in dict(self.options):
            raise UsageError("no model: name a recipe, `-c recipes/videomae.yaml`, or a method, `--model VideoMAE`")

    def check_group(self, group: str, value: Any) -> None:
        if group not in self.top:
            self.unknown(group, self.top)
        if group in self.classes:
            if isinstance(value, dict) and (group == "model" or "class_path" in value or KEYS[1] in value):
                self.check_object(group, value)
            elif isinstance(value, dict):
                self.check_settings(group, value, parameters(DATA))
        elif isinstance(value, dict):
            self.check_settings(group, value, self.groups.get(group))
            for name, inner in value.items():
                for part in inner if isinstance(inner, list) else [inner]:
                    if isinstance(part, dict) and "class_path" in part:
                        self.check_object(f"{group}.{name}", part)
                    elif name == "callbacks" and isinstance(part, str):
                        self.class_path(f"{group}.{name}", part)

    def check_safe_loading(self, value: Any) -> None:
        """Refuse a recipe that lets a checkpoint execute code; a user may allow it by an option."""
        allowed = any(option == WEIGHTS_ONLY for option, _ in self.options)
        if value not in (True, None) and not allowed:  # also the text "false", which the parser takes as False
            shown = f"{WEIGHTS_ONLY}: {str(value).lower()}"
            raise ValueError(
                f"{self.where(WEIGHTS_ONLY)}{shown} lets a checkpoint execute code: remove it, or add --{WEIGHTS_ONLY} "
                "false to the command if you trust the checkpoint"
            )

    def check_object(self, key: str, value: dict[str, Any]) -> None:
        """A mapping with class_path and init_args."""
        for name in value:
            if name not in KEYS:
                close = difflib.get_close_matches(name, KEYS, n=1, cutoff=0.7)
                meant = f"did you mean '{close[0]}'?" if close else "beside class_path, settings belong under init_args"
                raise UsageError(f"{self.where(name)}{key}: '{name}': {meant}")
        path = self.classes.get(key)
        if isinstance(value.get("class_path"), str):
            path = self.class_path(key, value["class_path"])
            if key in self.classes:
                self.classes[key] = path
        given = value.get("init_args")
        if path and isinstance(given, dict):
            self.check_settings(key, given, parameters(path), path.rpartition(".")[2])

    def check_settings(self, group: str, names: Iterable[str], known: list[str] | None, owner: str = "") -> None:
        for name in names:
            first = str(name).partition(".")[0].rstrip("+")
            self.check_link(group, first)
            if known is not None and first not in known:
                if owner:
                    raise UsageError(
                        f"{self.where(first)}{group}: {owner} has no setting '{first}'{_meant(first, known)}"
                    )
                self.unknown(f"{group}.{first}", self.settings())

    def check_link(self, group: str, name: str) -> None:
        """Refuse a setting that is linked to another one, which overwrites it."""
        if (group, name) == ("data", "seed"):
            raise ValueError("data.seed is linked to seed_everything: set seed_everything")
        sources = [source for source, target in LINKS.items() if target == name] if group == "model" else []
        known = parameters(self.classes["data"] or DATA) or [] if sources else []
        if sources and sources[0].partition(".")[2] in known:
            raise ValueError(f"the model's {name} is linked to {sources[0]}: set {sources[0]}")

    def check_option(self, option: str, value: str) -> None:
        group, _, rest = option.partition(".")
        group = group.rstrip("+")
        if group not in self.top:
            self.unknown(option, self.settings())
        names = rest.split(".")
        if not rest or names[0] in (KEYS[0], KEYS[2]) or names[-1] == "help":
            return
        if group in self.classes:
            name, path = names[1] if names[0] == KEYS[1] and names[1:] else names[0], self.classes[group]
            owner = "" if path == DATA else (path or "").rpartition(".")[2]
            self.check_settings(group, [name], parameters(path) if path else None, owner)
        else:
            self.check_settings(group, [names[0]], self.groups.get(group))
            key = f"{group}.{rest.rstrip('+')}"
            if key in ("trainer.callbacks", "trainer.logger") and _CLASS.fullmatch(value):
                self.class_path(key, value)

    def class_path(self, key: str, name: str) -> str | None:
        """The import path of a class; None if a short name cannot be looked up. ``UsageError`` if there is none."""
        if "." not in name:
            if key == "model":
                known = {short: f"{METHODS[method].module}.{short}" for short, method in CLASS_NAMES.items()}
            elif key == "data":
                known = {"ClipDataModule": DATA}
            elif key in ("trainer.callbacks", "trainer.logger"):
                known = {short: f"{module}.{short}" for module in SHORT_NAMES for short in classes_of(module)}
            else:
                return None
            if name not in known:
                hint = _meant(name, known) or ": a class of your own is named like my_package.MyClass"
                raise UsageError(f"{self.where(name, '')}{key}: no class is named {name}{hint}")
            return known[name]
        try:
            parameters(name)
        except MissingError as missing:
            hint = _meant(name.rpartition(".")[2], classes_of(missing.module)) if missing.module else ""
            raise UsageError(f"{self.where(name, '')}{key}: {missing}{hint}") from None
        return name

    def settings(self) -> list[str]:
        """All settings that are known, such as "data.batch_size"."""
        known = {**self.groups, "data": parameters(self.classes["data"] or DATA)}
        single = [name for name in self.top if name not in known and name != "model"]
        return [*single, *(f"{group}.{name}" for group, names in known.items() for name in names or ())]

    def unknown(self, name: str, known: Iterable[str]) -> None:
        meant = f": did you mean '{OLD_NAMES[name]}'?" if name in OLD_NAMES else _meant(name, known)
        raise UsageError(f"{self.where(name.rpartition('.')[2])}no setting is named '{name}'{meant}")

    def where(self, name: str, colon: str = ":") -> str:
        return find_line(name, self.files, colon)


def find_line(name: str, files: Iterable[Path], colon: str = ":") -> str:
    """``file, line 3: `` for the first line of the files with this key; empty if there is none."""
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if re.search(rf"(?<!\w){re.escape(name)}\b *{colon}", line.partition("#")[0]):
                return f"{file}, line {number}: "
    return ""


def _meant(wrong: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.7)
    if not close:  # the right name in another group
        close = [name for name in known if name.rpartition(".")[2] == wrong.rpartition(".")[2]][:1]
    return f": did you mean '{close[0]}'?" if close else ""
