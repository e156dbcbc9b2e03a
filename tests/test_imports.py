"""Imports run one way: a room imports only from itself and from rooms to its left."""

import ast
from pathlib import Path

import pytest

import vmae_zoo

PACKAGE = Path(vmae_zoo.__file__).parent
ORDER = [  # rooms of one line do not import each other
    {"packaged"},
    {"randomness", "flow"},
    {"data"},
    {"masking"},
    {"models"},
    {"training"},
    {"methods"},
    {"zoo"},
    {"evaluation", "viz"},
    {"callbacks", "bench"},
    {"cli"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py") or path.parent != PACKAGE
]


def imported_rooms(path):
    """Rooms that a module imports from, anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names = [node.module]
            if node.module == "vmae_zoo":  # `from vmae_zoo import packaged`; only the version lives in the face itself
                names = [f"vmae_zoo.{alias.name}" for alias in node.names if alias.name != "__version__"]
        for name in names:
            if name.startswith("vmae_zoo."):
                yield name.split(".")[1], node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_its_left(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other, line in imported_rooms(path):
        assert other == room or RANK[other] < RANK[room], f"{path}:{line}: {room} imports {other}"
