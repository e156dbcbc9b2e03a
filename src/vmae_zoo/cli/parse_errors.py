"""What jsonargparse complains of, in one line: which setting, in which file, and what was probably meant."""

import difflib
import inspect
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

_OPTION = re.compile(r"Problem with given class_path '([\w.]+)': Option '([\w.]+)' is not accepted")
_CLASS = re.compile(r"(?:<class '|list\[)([\w.]+).*?Expected a dot import path string: (\S+)")
_MODULE = re.compile(r"(?:No module named|has no attribute) '([\w.]+)'")
_NESTED = re.compile(r"Problem with given class_path '([\w.]+)': Parser key \"([\w.]+)\": (.*)")
_UNKNOWN = re.compile(r"(?:does not accept option '|unrecognized arguments: )(?:--)?([\w.+-]+)")
_TYPE = re.compile(r"Expected an? (.*?)\. Got value: (.*?)(?: - |$)")
_UNION = re.compile(r"Subtypes: \[(.*?)\] Errors:.*Given value: (.*)")
_LINKED = re.compile(r'Linked "([\w.]+)" must be given via "([\w.]+)"')
_RAISED = re.compile(r"Errors:\s+- (.*?)\s+- Expected a <class 'NoneType'>", re.DOTALL)
_TOLD_BY_DATA = {"height": "data.size", "image_size": "data.size", "frames": "data.frames"}
_KEY = re.compile(r"Parser key \"([\w.]+)\"")


def complaint(message: str, options: Iterable[str], files: Iterable[Path]) -> str:
    """A parser's message on one line.

    Args:
        message: what jsonargparse says.
        options: the settings that exist, such as ``data.batch_size``.
        files: the recipes that were read: the line that holds the setting is named.
    """
    text = " ".join(message.split())
    key = match[1] if (match := _KEY.search(text)) else ""
    if match := _OPTION.search(text):
        owner, wrong = match.groups()
        first = wrong.split(".")[0]
        if first == "class_path":
            return f"{_where(first, files)}{key}: beside class_path, settings belong under init_args"
        allowed = [*parameters(owner), "class_path", "init_args"]
        return f"{_where(first, files)}{key}: {_last(owner)} has no setting '{first}'{_meant(first, allowed)}"
    if match := _NESTED.search(text):
        return f"{_where(_last(match[2]), files)}{key}.{match[2]}: {_type(match[3])}"
    if match := _CLASS.search(text):
        base, wrong = match.groups()
        return f"{_where(wrong, files, '')}{key}: no class is named {wrong}{_meant(wrong, subclasses(base))}"
    if match := _MODULE.search(text):
        return f"{_where(match[1], files, '')}{key}: no class or module is named {match[1]}"
    if match := _UNKNOWN.search(text):
        wrong = match[1]
        return f"{_where(_last(wrong), files)}no setting is named '{wrong}'{_meant(wrong, options)}"
    if match := _LINKED.search(text):
        return f"{match[1]} follows {match[2]}: set that one"
    if "required: " in text:
        return (
            f"{text.rpartition(' ')[2].partition('.')[2] or text} is missing: name a recipe, `-c recipes/videomae.yaml`"
        )
    if key:
        return f"{_where(_last(key), files)}{key}: {_type(text.partition(': ')[2])}"
    return text


def unwrap_message(message: str) -> str:
    """What a constructor said, out of the report on types that jsonargparse wraps it in, by the keys that users set."""
    match = _RAISED.search(message)
    name, equals, rest = (match[1] if match else message).partition(" = ")
    return f"{_TOLD_BY_DATA.get(name, name)}{equals}{rest}"


def parameters(class_path: str) -> list[str]:
    """The constructor's arguments of a class, those that it hands to its bases included."""
    owner = _import(class_path)
    names = {
        name
        for base in inspect.getmro(owner)
        if "__init__" in vars(base) and base is not object
        for name, parameter in inspect.signature(base).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    return sorted(names)


def subclasses(class_path: str) -> list[str]:
    """Names of a class and of everything derived from it that was imported."""
    found, names = [_import(class_path)], []
    while found:
        owner = found.pop()
        found += owner.__subclasses__()
        names.append(owner.__name__)
    return names


def _import(class_path: str) -> type:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def _last(dotted: str) -> str:
    return dotted.rpartition(".")[2]


def _meant(wrong: str, allowed: Iterable[str]) -> str:
    allowed = list(allowed)
    close = difflib.get_close_matches(wrong, allowed, n=1, cutoff=0.7)
    if not close:  # the right name in the wrong place, or a word left out
        close = [name for name in allowed if _last(name) == _last(wrong)][:1]
    return f": did you mean '{close[0]}'?" if close else ""


def _type(text: str) -> str:
    """``expected int, got 'abc'``."""
    if match := _TYPE.search(text):
        return f"expected {_plain(match[1])}, got {match[2]}"
    if match := _UNION.search(text):
        return f"{match[2]} is none of {_plain(match[1])}"
    return text.removesuffix(".")


def _plain(type_text: str) -> str:
    plain = re.sub(r"<class '([\w.]+)'>", lambda match: _last(match[1]), type_text)
    return re.sub(r"typing\.Literal\[(.*?)\]", r"\1", plain).replace("NoneType", "null")


def _where(name: str, files: Iterable[Path], colon: str = ":") -> str:
    """``file, line 3: `` of the recipe that mentions a setting; empty when none does."""
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if re.search(rf"(?<!\w){re.escape(name)}\b *{colon}", line.partition("#")[0]):
                return f"{file}, line {number}: "
    return ""
