"""Every method of this package by name, and the class that a name or import path stands for.

Importing this module imports neither torch nor Lightning.
"""

import difflib
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from vmae_zoo.lazy_imports import import_object

if TYPE_CHECKING:
    from vmae_zoo.methods.base import Method

HOME = "vmae_zoo"


class MethodEntry(NamedTuple):
    """Class and module of a method of this package, and the function of `vmae_zoo.models.encoders` for its encoder."""

    class_name: str
    module: str
    encoder: str


METHODS = {
    "videomae": MethodEntry("VideoMAE", "vmae_zoo.methods.videomae", "videomae"),
    "videomae_v2": MethodEntry("VideoMAEv2", "vmae_zoo.methods.videomae_v2", "videomae"),
    "mgmae": MethodEntry("MGMAE", "vmae_zoo.methods.mgmae", "videomae"),
    "arvideo": MethodEntry("ARVideo", "vmae_zoo.methods.arvideo", "videomae"),
    "mae_st": MethodEntry("MAEST", "vmae_zoo.methods.mae_st", "mae_st"),
    "mae": MethodEntry("MAE", "vmae_zoo.methods.mae", "mae"),
    "vjepa": MethodEntry("VJEPA", "vmae_zoo.methods.vjepa", "vjepa"),
    "moco_v3": MethodEntry("MoCoV3", "vmae_zoo.methods.moco_v3", "moco_v3"),
    "classifier": MethodEntry("Classifier", "vmae_zoo.methods.classifier", "classifier"),
}
CLASS_NAMES = {entry.class_name: name for name, entry in METHODS.items()}


def resolve_method(method: "str | type[Any]") -> "type[Method]":
    """The class of a method.

    Args:
        method: a class; a name of this package, "VideoMAE" or "videomae"; or the import path of a class of your own,
            "my_package.MyMAE". Modules are also looked for in the current folder.

    Raises:
        ValueError: there is no such class, its module cannot be imported, or it is no subclass of
            `vmae_zoo.methods.Method`.
    """
    if isinstance(method, type):
        return _checked(method, method.__qualname__)
    name = CLASS_NAMES.get(method, method)
    if name in METHODS:
        return getattr(import_module(METHODS[name].module), METHODS[name].class_name)
    if "." not in name:
        close = difflib.get_close_matches(name, [*METHODS, *CLASS_NAMES], n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(METHODS)}"
        raise ValueError(f"method {name!r} is not known: {hint}; a class of your own is named like my_package.MyMAE")
    return _checked(import_object(name), name)


def find_imported(path: str) -> "type[Method] | None":
    """The class with this import path if its module is imported already; None otherwise. Nothing is imported."""
    module, _, name = path.rpartition(".")
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    return _checked(found, path) if isinstance(found, type) and _is_method(found) else None


def import_path(method: type) -> str:
    """How records name a method: by its class name if it is one of this package, else by its import path."""
    if method.__module__.partition(".")[0] == HOME:
        return method.__name__
    return f"{method.__module__}.{method.__qualname__}"


def import_methods() -> None:
    """Import every method of this package, so that Lightning's command line finds them by class name."""
    for entry in METHODS.values():
        import_module(entry.module)


def _is_method(found: type) -> bool:
    from vmae_zoo.methods.base import Method

    return issubclass(found, Method)


def _checked(found: Any, path: str) -> "type[Method]":
    if not isinstance(found, type) or not _is_method(found):
        kind = "class" if isinstance(found, type) else type(found).__name__
        raise ValueError(f"{path} is a {kind} that does not derive from vmae_zoo.methods.Method: derive it from Method")
    return found
