"""Packages that import their modules when a name is first used (PEP 562), and classes found by their import path."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

EXPORTS: dict[str, dict[str, str]] = {}  # package -> name that it exports -> module that defines it


def lazy_exports(package: str, modules: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], list[str]]:
    """``__getattr__`` and ``__all__`` of a package that exports names of modules."""
    home = EXPORTS[package] = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name in home:
            return getattr(import_module(home[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, sorted(home)


def add_current_folder() -> None:
    """Search the current folder for modules too: after all others, and also in data workers started by spawn."""
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)


def import_object(path: str) -> Any:
    """The object with an import path such as ``my_package.MyMAE``; the current folder is searched too.

    Raises:
        ValueError: there is no such module or object, or importing the module fails; the message has the reason.
    """
    module_name, _, name = path.rpartition(".")
    add_current_folder()
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(f"{path}: importing {module_name} failed: {error}") from error
        raise ValueError(
            f"{path}: there is no module {error.name} in {os.getcwd()} or among the installed packages"
        ) from error
    except Exception as error:
        raise ValueError(f"{path}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    try:
        return getattr(module, name)
    except AttributeError:
        raise ValueError(f"{path}: {module_name} ({module.__file__}) has no {name}") from None
