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
    {"compose", "randomness", "run_lock", "setting_checks"},
    {"run_record"},
    {"flow", "video"},
    {"datasets"},
    {"data"},
    {"masking"},
    {"models"},
    {"training"},
    {"methods"},
    {"zoo"},
    {"evaluation", "viz"},
    {"app", "bench", "callbacks"},
    {"cli"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


@pytest.fixture(scope="module")
def modules():
    """Syntax trees of all modules in rooms."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.name[:2] != "__"]
    return {path: ast.parse(path.read_text()) for path in paths}


def imported_rooms(path, tree):
    """Rooms that a module imports from, anywhere in it, with the line."""
    for node in ast.walk(tree):
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


@pytest.mark.slow
def test_a_room_imports_only_from_its_left(modules):
    wrong = []
    for path, tree in modules.items():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for other, line in imported_rooms(path, tree):
            if other != room and RANK[other] >= RANK[room]:
                wrong.append(f"{path}:{line}: {room} imports {other}")
    assert wrong == []


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


def test_importing_needs_nothing_that_windows_lacks(modules):
    for path, node in ((path, node) for path, tree in modules.items() for node in done_on_import(tree)):
        used = set()
        if isinstance(node, ast.Import):
            used = {alias.name for alias in node.names} & NOT_ON_WINDOWS["modules"]
        elif isinstance(node, ast.ImportFrom):
            used = {node.module} & NOT_ON_WINDOWS["modules"]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = {node.attr} & NOT_ON_WINDOWS.get(node.value.id, set())
        assert not used, f"{path}:{node.lineno}: {used}"


HEAVY = {"lightning", "timm", "torch", "torch._dynamo", "torchmetrics", "torchvision", "transformers"}
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


@pytest.mark.slow
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
