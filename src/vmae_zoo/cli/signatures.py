"""Arguments of constructors, read from source files: the class is neither imported nor executed.

Functions return None if the source does not show it: compiled modules, names made at run time, ``*args`` of unknown
bases.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from vmae_zoo.lazy_imports import EXPORTS


class MissingError(ValueError):
    """There is no module or class with this import path.

    ``module`` is the one that was searched; None if that is missing too.
    """

    def __init__(self, path: str, module: str | None = None):
        super().__init__(f"there is no {path}")
        self.module = module


def parameters(path: str, function: str = "__init__") -> list[str] | None:
    """Names of the arguments of a method of a class, and of those that it passes to its bases.

    None if the source does not show it; a `MissingError` if there is no such class.
    """
    found = find_class(path)
    if found is None:
        return None
    module, node = found
    own = next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == function), None)
    if own is None and node.decorator_list:  # such as a dataclass
        return None
    names = [argument.arg for argument in (*own.args.posonlyargs, *own.args.args, *own.args.kwonlyargs)] if own else []
    if own and own.args.kwarg is None:
        return names[1:]
    if own and own.args.kwarg and not _hands_to_bases(own, own.args.kwarg.arg):
        return None
    inherited = [_of_base(module, base, function) for base in node.bases]
    if not inherited or any(base is None for base in inherited):
        return None
    return [*dict.fromkeys([*names[1:], *(name for base in inherited for name in base or ())])]


def _hands_to_bases(function: ast.FunctionDef, keywords: str) -> bool:
    """Whether a method passes its ``**keywords`` to that of the bases, rather than to another class."""
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
    to_bases = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == function.name)
    unpacked = (each.value for call in to_bases for each in call.keywords if each.arg is None)
    return any(isinstance(node, ast.Name) and node.id == keywords for value in unpacked for node in ast.walk(value))


def _of_base(module: str, base: ast.expr, function: str) -> list[str] | None:
    try:
        return parameters(_absolute(module, ast.unparse(base)), function)
    except MissingError:
        return None


def classes_of(module: str) -> list[str]:
    """Names of classes that a module defines or imports at its top level."""
    tree = _tree(module)
    if tree is None:
        return []
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    names += [alias.asname or alias.name for node in _imports(tree) for alias in node.names]
    return [*names, *EXPORTS.get(module, {})]


def find_class(path: str) -> tuple[str, ast.ClassDef] | None:
    """The module that defines a class, and the definition; None if the source does not show it, or a `MissingError`."""
    module, _, name = path.rpartition(".")
    if not module:
        return None
    tree = _tree(module)
    if tree is None:
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
    for statement in _imports(tree):
        for alias in statement.names:
            if (alias.asname or alias.name) == name:
                return find_class(f"{_imported_from(module, statement)}.{alias.name}")
    if name in EXPORTS.get(module, {}):
        return find_class(f"{EXPORTS[module][name]}.{name}")
    if _is_plain(tree, name):
        raise MissingError(path, module)
    return None


def _is_plain(tree: ast.Module, name: str) -> bool:
    """Whether a module's names are those of its classes and imports: nothing else could define this one."""
    if any(alias.name == "*" for node in _imports(tree) for alias in node.names):
        return False
    text = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    lazy = "lazy_exports" in text  # `vmae_zoo.lazy_imports.EXPORTS` knows those
    return name not in text and (lazy or "__getattr__" not in text)


def _absolute(module: str, name: str) -> str:
    """The import path of a name as a module spells it."""
    first, _, rest = name.partition("[")[0].partition(".")
    tree = _tree(module)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) == first:
                    return ".".join(filter(None, (alias.name if alias.asname else first, rest)))
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == first:
                    return ".".join(filter(None, (_imported_from(module, node), alias.name, rest)))
    return f"{module}.{name.partition('[')[0]}"


def _imports(tree: ast.Module) -> Iterator[ast.ImportFrom]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


def _imported_from(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    spec = _spec(module)
    package = module if spec and spec.submodule_search_locations else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


@cache
def _tree(module: str) -> ast.Module | None:
    spec = _spec(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    text = Path(spec.origin).read_text(encoding="utf-8")
    if "lazy_exports(" in text and module not in sys.modules:
        import_module(module)  # a package that imports its modules on first use: fills EXPORTS
    try:
        return ast.parse(text)
    except SyntaxError:  # its import will report that
        return None


def _spec(module: str) -> ModuleSpec | None:
    """Where a module lies; parent packages are not imported. ``MissingError`` if there is none."""
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # made at run time
        return None
    path = top
    for name in inner:
        if spec is None:
            break
        path = f"{path}.{name}"
        spec = PathFinder.find_spec(path, spec.submodule_search_locations or [])
    if spec is None:
        raise MissingError(module)
    return spec
