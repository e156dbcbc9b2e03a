"""The record of a method: plain values in every file of its weights, from which the model is built again."""

import inspect
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vmae_zoo.methods.registry import import_path
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.encoders import describe
from vmae_zoo.training.fsdp2 import unwrapped_type

if TYPE_CHECKING:
    from vmae_zoo.methods.base import Method


def make_record(method: "Method") -> dict[str, Any]:
    """The record of a method.

    Returns:
        A dict of

        * "method": name of its class, or import path of a class outside this package
        * "hparams": arguments of its constructor
        * "task": "pretrain" or "classify"
        * "preprocessing": of the encoder that is evaluated
        * "encoder_name": name of that encoder among the submodules
        * "encoder": what builds it again without the method; None if it is of a class outside this package

    Raises:
        ValueError: an argument is no plain value.
    """
    hparams = {name: value for name, value in method.hparams.items() if not name.startswith("_")}
    for name, value in hparams.items():
        if not _is_plain(value):
            raise ValueError(
                f"{type(method).__name__}: the argument {name} is a {type(value).__name__}, which no checkpoint can "
                "hold: pass numbers, strings, lists or dicts, and build the object in the constructor"
            )
    encoder = method.encoder_for_evaluation()
    return {
        "method": import_path(unwrapped_type(method)),
        "hparams": hparams,
        "task": method.task,
        "preprocessing": asdict(encoder.preprocessing),
        "encoder_name": next(name for name, part in method.named_modules() if part is encoder),
        "encoder": describe(encoder) if type(encoder) is Encoder else None,
    }


def build_from(method: "type[Method]", hparams: dict[str, Any]) -> "Method":
    """Build a method from the arguments in its record.

    A class of your own may set arguments of `Method` itself instead of accepting them: those are left out.
    """
    accepted = _accepted_arguments(method)
    inherited = set(inspect.signature(_base()).parameters)
    model = method(**{name: value for name, value in hparams.items() if name in accepted or name not in inherited})
    trained_image_size = hparams.get("trained_image_size")
    if trained_image_size and "trained_image_size" not in accepted:
        model.resize_positions(trained_image_size)
    return model


def _accepted_arguments(method: type) -> set[str]:
    """Names of the arguments of a constructor, including those that ``**kwargs`` pass on to its bases."""
    names: set[str] = set()
    for base in method.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names |= {parameter.name for parameter in parameters}
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names


def _base() -> "type[Method]":
    from vmae_zoo.methods.base import Method

    return Method


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, float, str)
