"""Millions of texts as arrays, and sets of them as hashes."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

CHUNK = 1 << 16  # texts that are Python objects at a time


class TextColumn:
    """Texts in one block of bytes.

    Args:
        data: uint8, all texts in UTF-8; bytes that are not UTF-8 are kept as they are.
        starts: int64 (N,), first byte of each text.
        sizes: int32 (N,), bytes of each text.
    """

    def __init__(self, data: np.ndarray, starts: np.ndarray, sizes: np.ndarray):
        self.data, self.starts, self.sizes = data, starts, sizes

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> str:
        start = int(self.starts[row])
        return self.data[start : start + int(self.sizes[row])].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        view = self.data.data
        for first in range(0, len(self), CHUNK):
            starts = self.starts[first : first + CHUNK]
            ends = starts + self.sizes[first : first + CHUNK]
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                yield str(view[start:end], "utf-8", "surrogateescape")

    def take(self, rows: np.ndarray | slice) -> "TextColumn":
        """Some of the texts; the bytes are shared."""
        return TextColumn(self.data, self.starts[rows], self.sizes[rows])

    def starts_with(self, text: str) -> np.ndarray:
        """Bool (N,): whether each text starts with this one."""
        wanted = text.encode("utf-8", "surrogateescape")
        found = self.sizes >= len(wanted)
        for place, byte in enumerate(wanted):
            if not found.any():
                break
            found &= self.data.take(self.starts + place, mode="clip") == byte
        return found

    def common_prefix(self) -> str:
        """What all texts, of which there is at least one, start with."""
        shared = self.data[self.starts[0] :][: self.sizes.min()]
        for place, byte in enumerate(shared):
            if (self.data[self.starts + place] != byte).any():
                shared = shared[:place]
                break
        return shared.tobytes().decode("utf-8", "surrogateescape")

    @classmethod
    def concatenate(cls, columns: Sequence["TextColumn"]) -> "TextColumn":
        """The texts of several columns, one after the other."""
        first = np.cumsum([0, *(len(column.data) for column in columns[:-1])])
        starts = [column.starts + offset for column, offset in zip(columns, first, strict=True)]
        return cls(
            np.concatenate([column.data for column in columns]),
            np.concatenate(starts),
            np.concatenate([column.sizes for column in columns]),
        )


class TextBuilder:
    """A column that grows."""

    def __init__(self) -> None:
        self.data, self.sizes = bytearray(), [np.empty(0, np.int32)]

    def add(self, texts: Iterable[str]) -> None:
        """Append texts."""
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self.data += b"".join(encoded)
        self.sizes.append(np.fromiter(map(len, encoded), np.int32, len(encoded)))

    def copy(self) -> "TextBuilder":
        """An independent builder with the same texts."""
        other = TextBuilder()
        other.data, other.sizes = bytearray(self.data), list(self.sizes)
        return other

    def column(self) -> TextColumn:
        """The column of all texts."""
        sizes = np.concatenate(self.sizes)
        return TextColumn(np.frombuffer(self.data, np.uint8), np.cumsum(sizes, dtype=np.int64) - sizes, sizes)


def is_in(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Bool (N,): whether each value is among others; `numpy.isin` takes several times as long."""
    if not len(others):
        return np.zeros(len(values), bool)
    ascending = np.sort(others)
    return ascending[np.searchsorted(ascending, values).clip(max=len(ascending) - 1)] == values


def hashes(texts: Iterable[str], count: int = -1) -> np.ndarray:
    """int64: equal for equal texts, and, but for a chance of 2^-64, only for them; valid in this process."""
    return np.fromiter(map(hash, texts), np.int64, count)
