"""A scan of a pickle for tuples that take exponential time to hash, before it is unpickled.

``torch.load(weights_only=True)`` executes no code, but a tuple that holds another one twice, which holds another one
twice, and so on, takes a few bytes and 2^depth steps to hash. The scan follows the sizes of tuples through stack and
memo, and nothing else.
"""

import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZipFile, is_zipfile

MAX_TUPLE = 100_000  # values in a tuple and the tuples inside it
MAX_PICKLES = 5  # of a file in the format before PyTorch 1.6
_MARK = -1
_JOINED = {"REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD", "OBJ", "INST"}  # what they make may hash its arguments


def largest_tuple(path: Path) -> int:
    """The size of the largest tuple in a file of ``torch.save``, counted with repetitions."""
    largest = 0
    if is_zipfile(path):
        with ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as file:
                        largest = max(largest, _scan(file))
        return largest
    with path.open("rb") as file:
        for _ in range(MAX_PICKLES):
            largest = max(largest, _scan(file))
    return largest


def _scan(file: IO[bytes]) -> int:
    """The size of the largest tuple in the pickle at this place in a file; stops at anything that is not a pickle."""
    stack: list[int] = []
    memo: dict[int, int] = {}
    largest = 1
    for name, argument, marked, takes, gives in _operations(file):
        if name == "MARK":
            stack.append(_MARK)
            continue
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            if stack:
                memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
            continue
        if name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo.get(argument, 1))
            continue
        taken = _take(stack, marked, takes)
        if name == "DUP":
            stack += taken * 2
            continue
        size = min(1 + sum(taken), MAX_TUPLE + 1) if "TUPLE" in name or name in _JOINED else 1
        largest = max(largest, size)
        stack += [size] * gives
    return largest


def _operations(file: IO[bytes]) -> Iterator[tuple[str, int, bool, int, int]]:
    """Name, argument, whether all values down to the last mark are taken, values taken then, and values put back."""
    try:
        for operation, argument, _ in pickletools.genops(file):
            before = operation.stack_before
            marked = pickletools.markobject in before
            below = before.index(pickletools.markobject) if marked else len(before)
            yield (
                operation.name,
                argument if isinstance(argument, int) else 0,
                marked,
                below,
                len(operation.stack_after),
            )
    except (ValueError, EOFError, IndexError, OverflowError, MemoryError):
        return


def _take(stack: list[int], marked: bool, count: int) -> list[int]:
    taken: list[int] = []
    while marked and stack and (size := stack.pop()) != _MARK:
        taken.append(size)
    return taken + [stack.pop() for _ in range(min(count, len(stack)))]
