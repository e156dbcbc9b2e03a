"""The table of checkpoints, ``checkpoints.yaml``: read and validated. Importing this module imports no torch.

Each entry states where its facts come from; what is not known is written "unknown".
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vmae_zoo.methods.registry import CLASS_NAMES, METHODS
from vmae_zoo.models.sizes import DECODERS, ENCODERS
from vmae_zoo.resources import resource
from vmae_zoo.zoo.convert import LAYOUTS

UNKNOWN = "unknown"
BUNDLED = Path(__file__).parent / "bundled"

NAME = re.compile(
    r"([a-z0-9_]+)_(tiny|small|base|large|huge|giant)\.([a-z0-9]+)-([a-z0-9]+)(-finetuned(-[a-z0-9]+)?|-encoder)?"
)
SOURCES = {"hub": {"hub", "file"}, "page": {"page", "file", "id"}, "bundled": {"bundled"}}
TASKS = ("pretrain", "classify", "encoder")
METRIC = {"data", "protocol", "source"}
OPTIONAL = {"preprocessing", "published_parameters", "metrics", "also", "notes", "retired"}


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
    metrics: tuple[dict[str, Any], ...] = ()
    also: tuple[dict[str, str], ...] = ()
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
        source = {"hub": f"hf://{self.source[kind]}", "page": "by hand", "bundled": "in the package"}[kind]
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
        assert match is not None, "validated when the table was read"
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
    """Read and validate a table.

    Raises:
        ValueError: an entry does not match the schema; the message names file, entry and key.
    """
    try:
        table = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(table, Mapping):
        raise ValueError(f"{path} must map names to entries")
    return {str(name): validated(str(name), raw, str(path)) for name, raw in table.items()}


def validated(name: str, raw: Any, where: str = "checkpoints.yaml") -> Entry:
    """One entry; ``ValueError`` names the key that does not match the schema."""

    def require(condition: bool, key: str, problem: str) -> None:
        if not condition:
            raise ValueError(f"{where}: {name}: {key} {problem}")

    require(NAME.fullmatch(name) is not None, "its name", "is not method_size.data-epochs[-finetuned[-data]|-encoder]")
    require(isinstance(raw, Mapping), "the entry", "is no mapping")
    known = set(Entry.__dataclass_fields__) - {"name"}
    for key in raw:
        require(key in known, str(key), f"is not known: choose from {', '.join(sorted(known))}")
    for key in sorted(known - OPTIONAL):
        require(key in raw, key, 'is missing; write "unknown" for what is not known')
    for key in ("method", "model", "task", "revision", "sha256", "layout", "licence", "provenance"):
        require(isinstance(raw[key], str) and raw[key] != "", key, f"is {raw[key]!r}, not text")
    require(raw["method"] in (*METHODS, "timesformer"), "method", f"is none of {', '.join(METHODS)}, timesformer")
    require(raw["model"] in CLASS_NAMES, "model", f"is none of {', '.join(CLASS_NAMES)}")
    require(raw["task"] in TASKS, "task", f"is none of {', '.join(TASKS)}")
    require(raw["layout"] in (*LAYOUTS, "vmae_zoo"), "layout", f"is none of {', '.join(LAYOUTS)}, vmae_zoo")
    require(re.fullmatch(r"[0-9a-f]{40}|unknown", raw["revision"]) is not None, "revision", "is no full commit sha")
    require(re.fullmatch(r"[0-9a-f]{64}|unknown", raw["sha256"]) is not None, "sha256", "is no digest")
    require(isinstance(raw["parameters"], int) and raw["parameters"] > 0, "parameters", "is no count")
    require(isinstance(raw["verified"], bool), "verified", "is neither true nor false")
    for key in ("architecture", "preprocessing"):
        require(isinstance(raw.get(key, {}), Mapping), key, "is no mapping")
    for source in (raw["source"], *raw.get("also", ())):
        valid = isinstance(source, Mapping) and any(kind in source and set(source) <= SOURCES[kind] for kind in SOURCES)
        require(
            valid and all(isinstance(v, str) for v in source.values()), "source", f"{source!r} is none of {SOURCES}"
        )
    for metric in raw.get("metrics", ()):
        require(isinstance(metric, Mapping) and set(metric) >= METRIC, "metrics", f"{metric!r} lacks one of {METRIC}")
    return Entry(**{**raw, "name": name, "metrics": tuple(raw.get("metrics", ())), "also": tuple(raw.get("also", ()))})
