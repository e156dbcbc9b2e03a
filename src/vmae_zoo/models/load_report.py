"""Where the weights of a model came from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LoadReport:
    """The file that a model was loaded from, and what became of each of its tensors.

    Args:
        source: name or path as given.
        layout: layout of the file.
        method: method that the weights belong to: the name of a class of this package, or an import path.
        hparams: arguments of its constructor.
        used: names of the tensors that were loaded.
        left_out: names that belong to the method but not to the task (the decoder, if an encoder was asked for).
        missing: names that the model has and the file has not.
        unexpected: names that the file has and the model has not.
        task: "pretrain" or "classify", the task of the method.
        encoder_name: name of the submodule of the method whose features are evaluated.
        licence: of the weights; None if unknown.
        revision: commit of the Hub repository.
        sha256: of the file.
        positions: how position embeddings were adapted to another clip size.
        note: what the reader of the file reports, for example which of two encoders was read.
    """

    source: str
    layout: str
    method: str
    hparams: dict[str, Any]
    used: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    task: str = "pretrain"
    encoder_name: str = "encoder"
    licence: str | None = None
    revision: str | None = None
    sha256: str | None = None
    positions: str | None = None
    note: str = ""

    def line(self) -> str:
        """A summary in one line."""
        parts = [f"{self.source} ({self.layout} layout): {len(self.used)} tensors used for {self.method}"]
        lists = {"left out": self.left_out, "missing": self.missing, "unexpected": self.unexpected}
        parts += [f"{len(names)} {title} ({', '.join(part_names(names))})" for title, names in lists.items() if names]
        parts += [self.positions or "", self.note, f"licence {self.licence}" if self.licence else ""]
        return ", ".join(filter(None, parts))


def part_names(names: Iterable[str]) -> list[str]:
    """The parts of a model that these tensors belong to: "decoder." for "decoder.blocks.0.norm1.weight"."""
    return sorted({head + dot for head, dot, _ in (name.partition(".") for name in names)})
