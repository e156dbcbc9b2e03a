"""Error messages of jsonargparse on one line: the setting, the file, the type that is expected."""

import re
from collections.abc import Iterable
from pathlib import Path

from vmae_zoo.cli.setting_names import find_line

_KEY = re.compile(r"Parser key \"([\w.]+)\"")
_NESTED = re.compile(r"Problem with given class_path '[\w.]+': Parser key \"([\w.]+)\": (.*)")
_TYPE = re.compile(r"Expected an? (.*?)\. Got value: (.*?)(?: - |$)")
_UNION = re.compile(r"Subtypes: \[(.*?)\] Errors:.*Given value: (.*)")
_RAISED = re.compile(r"Errors:\s+- (.*?)\s+- Expected a <class 'NoneType'>", re.DOTALL)
_KEYS_OF_DATA = {"height": "data.size", "image_size": "data.size", "frames": "data.frames"}


def short_message(message: str, files: Iterable[Path], options: Iterable[str] = ()) -> str:
    """A message of jsonargparse on one line.

    Of the recipes that were read, the line with the setting is named, unless an option wins over it.
    """
    text = " ".join(message.split())
    key = match[1] if (match := _KEY.search(text)) else ""
    if match := _NESTED.search(text):
        key, text = f"{key}.{match[1]}", match[2]
    elif key:
        text = text.partition(": ")[2]
    if not key:
        return text
    if key.replace(".init_args", "") in {option.replace(".init_args", "") for option in options}:
        return f"--{key.replace('.init_args', '')}: {_type(text)}"
    return f"{find_line(key.rpartition('.')[2], files)}{key}: {_type(text)}"


def unwrap_message(message: str) -> str:
    """The message of a constructor, without jsonargparse's report on types, and with the keys that recipes use."""
    name, equals, rest = (match[1] if (match := _RAISED.search(message)) else message).partition(" = ")
    return f"{_KEYS_OF_DATA.get(name, name)}{equals}{rest}"


def _type(text: str) -> str:
    """``expected int, got 'abc'``."""
    if match := _TYPE.search(text):
        return f"expected {_plain(match[1])}, got {match[2]}"
    if "loggers" in text and "save_dir=None" in text:
        return "the logger needs a folder: add --trainer.logger.save_dir FOLDER (metrics.csv is written in any case)"
    if match := _UNION.search(text):
        return f"{match[2]} is none of {_plain(match[1])}"
    return text.removesuffix(".")


def _plain(type_text: str) -> str:
    plain = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", type_text)
    return re.sub(r"typing\.Literal\[(.*?)\]", r"\1", plain).replace("NoneType", "null")
