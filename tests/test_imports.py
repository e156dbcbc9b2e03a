"""Imports run one way: a room imports only from itself and from rooms to its left."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vmae_zoo

PACKAGE = Path(vmae_zoo.__file__).parent
ORDER = [  # rooms of one line do not import each other
    {"aliases", "atomic_write", "cache_folder", "lazy_imports", "lightning_internals", "recipe_yaml", "resources"},
    {"randomness"},
    {"flow", "video"},
    {"datasets"},
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
            if node.module == "vmae_zoo":  # `from vmae_zoo import resources`; only the version lives in the face itself
                names = [f"vmae_zoo.{alias.name}" for alias in node.names if alias.name != "__version__"]
        for name in names:
            if name.startswith("vmae_zoo."):
                yield name.split(".")[1], node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_its_left(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other, line in imported_rooms(path):
        assert other == room or RANK[other] < RANK[room], f"{path}:{line}: {room} imports {other}"


NOT_ON_WINDOWS = {
    "modules": {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"},
    "os": {"fork", "getuid", "killpg", "mkfifo", "nice", "sched_getaffinity", "setsid", "statvfs", "sync", "sysconf"},
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "pthread_sigmask"},
}


def done_on_import(node):
    """What runs when a module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        inside = child.args if isinstance(child, ast.FunctionDef | ast.Lambda) else child
        yield from done_on_import(inside)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_importing_needs_nothing_that_windows_lacks(path):
    for node in done_on_import(ast.parse(path.read_text())):
        used = set()
        if isinstance(node, ast.Import):
            used = {alias.name for alias in node.names} & NOT_ON_WINDOWS["modules"]
        elif isinstance(node, ast.ImportFrom):
            used = {node.module} & NOT_ON_WINDOWS["modules"]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = {node.attr} & NOT_ON_WINDOWS.get(node.value.id, set())
        assert not used, f"{path}:{node.lineno}: {used}"


HEAVY = {"lightning", "timm", "torch", "torchmetrics", "torchvision", "transformers"}
LIGHT = {  # modules that commands without tensors import, and what they may import of HEAVY
    "vmae_zoo.datasets.audit": set(),
    "vmae_zoo.datasets.index": set(),
    "vmae_zoo.datasets.jpeg_shards.writer": set(),
    "vmae_zoo.datasets.layouts": set(),
    "vmae_zoo.datasets.reencode": set(),
    "vmae_zoo.datasets.sources": set(),
    "vmae_zoo.video.decode": set(),
    "vmae_zoo.data.clip_spec": {"torch"},
    "vmae_zoo.data.sampling": {"torch"},
}


def test_modules_without_tensors_import_no_heavy_library():
    """Each in turn in one process, those that may import less first."""
    program = f"""
import importlib, sys
for name, allowed in {sorted(LIGHT.items(), key=lambda item: len(item[1]))!r}:
    importlib.import_module(name)
    print(name, *sorted(({HEAVY!r} & set(sys.modules)) - allowed))
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == sorted(LIGHT, key=lambda name: len(LIGHT[name]))
