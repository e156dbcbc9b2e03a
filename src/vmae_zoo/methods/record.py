"""The record of a method: plain values in every file of its weights, from which the model is built again."""

from dataclasses import asdict
from inspect import Parameter, signature
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
        * "hparams": arguments of its constructor, see `constructor_hparams`
        * "task": "pretrain" or "classify"
        * "preprocessing": of the encoder that is evaluated
        * "encoder_name": name of that encoder among the submodules
        * "encoder": what builds it again without the method; None if it is of a class outside this package

    Raises:
        ValueError: an argument is no plain value.
    """
    hparams = constructor_hparams(method)
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


def constructor_hparams(method: "Method") -> dict[str, Any]:
    """The hyperparameters from which `build_from` builds a method again.

    Of a class of this package these are all of them. A class outside it may fix arguments of its base class, which its
    own constructor then does not take: of it, the arguments that it was called with, and those that changed since, such
    as the classes that a classifier got from its data.
    """
    hparams = {name: value for name, value in method.hparams.items() if not name.startswith("_")}
    if "." not in import_path(unwrapped_type(method)):
        return hparams
    initial = method.hparams_initial
    changed = {name for name, value in hparams.items() if value != initial.get(name)}
    return {name: value for name, value in hparams.items() if name in method.init_arguments | changed}


def build_from(kind: "type[Method]", hparams: dict[str, Any]) -> "Method":
    """Build a method from the hyperparameters in its record.

    Those of its base classes that its own constructor does not take are set afterwards.
    """
    parameters = signature(kind).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return kind(**hparams)
    bases = [vars(base)["__init__"] for base in kind.__mro__[1:] if "__init__" in vars(base)]
    inherited = {name for constructor in bases for name in signature(constructor).parameters} - parameters.keys()
    method = kind(**{name: value for name, value in hparams.items() if name not in inherited})
    method.restore_settings({name: value for name, value in hparams.items() if name in inherited})
    return method


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, float, str)
