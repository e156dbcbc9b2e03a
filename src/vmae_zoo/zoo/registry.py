"""The table of checkpoints, ``checkpoints.yaml``. Importing this module imports no torch.

Each entry states where its facts come from; what is not known is written "unknown".
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vmae_zoo.models.sizes import DECODERS, ENCODERS
from vmae_zoo.resources import resource

UNKNOWN = "unknown"
BUNDLED = Path(__file__).parent / "bundled"

NAME = re.compile(
    r"([a-z0-9_]+)_(tiny|small|base|large|huge|giant)\.([a-z0-9]+)-([a-z0-9]+)(-finetuned(-[a-z0-9]+)?|-encoder)?"
)


@dataclass(frozen=True)
class Entry:
    """A checkpoint.

    Args:
        name: method_size.data-epochs[-finetuned[-data]|-encoder].
        method: short name of the method.
        model: name of the class that it is loaded into.
        task: "pretrain" (encoder and decoder), "classify", or "encoder" alone.
        source: {hub, file}, {page, file, id} for a manual download, or {bundled}.
        revision: commit on the Hub.
        sha256: of the file.
        layout: a key of `vmae_zoo.zoo.convert.LAYOUTS`, or "vmae_zoo".
        architecture: arguments of the model's constructor.
        licence: SPDX name if there is one.
        provenance: what it was trained on, whether labels were used, what it was distilled from.
        parameters: number of parameters, calculated.
        verified: this project loaded the file and measured it.
        preprocessing: expected input, if it is not the model's default.
        published_parameters: number of parameters as its authors count them.
        metrics: as published: data, protocol, numbers in percent, source.
        also: other sources of the same weights.
        notes: what to know before using it.
        retired: name of the checkpoint to use instead, for one that is kept only so that its name still loads.
    """

    name: str
    method: str
    model: str
    task: str
    source: dict[str, str]
    revision: str
    sha256: str
    layout: str
    architecture: dict[str, Any]
    licence: str
    provenance: str
    parameters: int
    verified: bool
    preprocessing: dict[str, Any] = field(default_factory=dict)
    published_parameters: str = UNKNOWN
    metrics: Sequence[dict[str, Any]] = ()
    also: Sequence[dict[str, str]] = ()
    notes: str = ""
    retired: str = ""

    @property
    def size(self) -> str:
        """Name of the size: tiny, small, base, ..."""
        return self._name_parts()[1]

    @property
    def data(self) -> str:
        """Name of the data set that it was pre-trained on."""
        return self._name_parts()[2]

    @property
    def location(self) -> str:
        """Short form of the source, and what replaces a retired checkpoint."""
        kind = next(iter(self.source))
        source = {"hub": f"hf://{self.source[kind]}", "page": "manual download", "bundled": "in the package"}[kind]
        return f"{source}; retired: use {self.retired}" if self.retired else source

    @property
    def num_heads(self) -> tuple[int | None, int | None]:
        """Attention heads of encoder and decoder; None if the model has no decoder."""
        encoder = self.architecture.get("num_heads") or ENCODERS[self.size].num_heads
        decoders = DECODERS.get(self.method, {}) if self.task == "pretrain" else {}
        decoder = decoders[self.size].num_heads if self.size in decoders else None
        stated = (self.architecture.get(f"{part}_num_heads") for part in ("decoder", "predictor"))
        return encoder, next((heads for heads in stated if heads), decoder)

    @property
    def commercial(self) -> bool | None:
        """Whether the licence allows commercial use; None if the licence is not known."""
        return None if self.licence == UNKNOWN else not is_non_commercial(self.licence)

    def _name_parts(self) -> tuple[str, ...]:
        match = NAME.fullmatch(self.name)
        assert match is not None, f"{self.name}: method_size.data-epochs[-finetuned[-data]|-encoder]"
        return match.groups()


def list_pretrained(pattern: str = "*") -> list[str]:
    """Names in the table that match a pattern such as "videomae*" or "*.ssv2-*"."""
    return [name for name in entries() if fnmatchcase(name, pattern)]


def find(name: str) -> Entry:
    """The entry of this name; the ``ValueError`` for an unknown one lists similar names."""
    if name in entries():
        return entries()[name]
    close = difflib.get_close_matches(name, entries(), n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`vmae-zoo list` prints the table"
    raise ValueError(f"{name} is neither a file, a folder, an hf:// address nor in the table of checkpoints: {hint}")


def entries_of_repo(repo: str) -> list[Entry]:
    """The entries whose source is this Hub repository."""
    return [entry for entry in entries().values() if entry.source.get("hub") == repo]


def is_non_commercial(licence: str) -> bool:
    """Whether a licence forbids commercial use."""
    return "nc" in re.split(r"[^a-z]+", licence.lower())


def entries() -> dict[str, Entry]:
    """All entries by name, in the order of the file."""
    return read_table(resource("checkpoints.yaml"))


@cache
def read_table(path: Path) -> dict[str, Entry]:
    """The entries of a table, ``ValueError`` if it is not one; its tests validate the packaged one."""
    try:
        table = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {name: Entry(name, **keys) for name, keys in table.items()}
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a table of checkpoints: {' '.join(str(error).split())}") from None
