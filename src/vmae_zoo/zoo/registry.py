"""The table of checkpoints: ``checkpoints.yaml``, read and checked.

An entry is data and says where it has its facts from; what nobody knows is written "unknown".
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
OPTIONAL = {"preprocessing", "published_parameters", "metrics", "also", "notes"}


@dataclass(frozen=True)
class Entry:
    """A checkpoint.

    Args:
        name: method_size.data-epochs[-finetuned[-data]|-encoder].
        method: whose paper it is.
        model: class that it is loaded into.
        task: "pretrain" (encoder and decoder), "classify", or "encoder" alone.
        source: {hub, file}, {page, file, id} for a download by hand, or {bundled}.
        revision: commit on the Hub.
        sha256: of the file.
        layout: a key of `vmae_zoo.zoo.convert.LAYOUTS`, or "vmae_zoo".
        architecture: plain arguments of the model's constructor.
        licence: SPDX name where there is one.
        provenance: what it was trained on, whether labels were seen, what it was distilled from.
        parameters: calculated.
        verified: this project loaded the file and measured it.
        preprocessing: what the encoder expects, where it is not the model's default.
        published_parameters: as its authors count them.
        metrics: as published: data, protocol, numbers in per cent, source.
        also: other places of the same weights.
        notes: what one should know before using it.
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

    @property
    def size(self) -> str:
        """tiny, small, base, ..."""
        return self._parts()[1]

    @property
    def data(self) -> str:
        """What it was pre-trained on."""
        return self._parts()[2]

    @property
    def place(self) -> str:
        """Where it lives, in a few words."""
        kind = next(iter(self.source))
        return {"hub": f"hf://{self.source[kind]}", "page": "by hand", "bundled": "in the package"}[kind]

    @property
    def heads(self) -> tuple[int | None, int | None]:
        """Attention heads of encoder and decoder; None where the model has no decoder."""
        encoder = self.architecture.get("num_heads") or ENCODERS[self.size].num_heads
        decoders = DECODERS.get(self.method, {}) if self.task == "pretrain" else {}
        decoder = decoders[self.size].num_heads if self.size in decoders else None
        return encoder, self.architecture.get("decoder_num_heads") or decoder

    @property
    def commercial(self) -> bool | None:
        """Whether the licence allows commercial use; None where it is not known."""
        return None if self.licence == UNKNOWN else not is_non_commercial(self.licence)

    def _parts(self) -> tuple[str, ...]:
        found = NAME.fullmatch(self.name)
        assert found is not None, "checked when it was read"
        return found.groups()


def list_pretrained(pattern: str = "*") -> list[str]:
    """Names in the table that fit a pattern such as "videomae*" or "*.ssv2-*"."""
    return [name for name in table() if fnmatchcase(name, pattern)]


def find(name: str) -> Entry:
    """The entry of this name; ``ValueError`` names the closest."""
    entries = table()
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(name, entries, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`vmae-zoo list` shows them"
    raise ValueError(f"{name} is neither a file, a folder, an hf:// address nor in the table of checkpoints: {hint}")


def of_repository(repo: str) -> list[Entry]:
    """The entries that live in this Hub repository."""
    return [entry for entry in table().values() if entry.source.get("hub") == repo]


def is_non_commercial(licence: str) -> bool:
    """Whether a licence forbids commercial use."""
    return "nc" in re.split(r"[^a-z]+", licence.lower())


def table() -> dict[str, Entry]:
    """All entries by name, in the order of the file."""
    return read_table(resource("checkpoints.yaml"))


@cache
def read_table(path: Path) -> dict[str, Entry]:
    """Read and check a table.

    Raises:
        ValueError: an entry does not fit the schema; names the file, the entry and the key.
    """
    try:
        found = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} is no table of entries by name")
    return {str(name): checked(str(name), raw, str(path)) for name, raw in found.items()}


def checked(name: str, raw: Any, where: str = "checkpoints.yaml") -> Entry:
    """One entry; ``ValueError`` says which key does not fit."""

    def need(true: bool, key: str, what: str) -> None:
        if not true:
            raise ValueError(f"{where}: {name}: {key} {what}")

    need(NAME.fullmatch(name) is not None, "its name", "is not method_size.data-epochs[-finetuned[-data]|-encoder]")
    need(isinstance(raw, Mapping), "it", "is no mapping")
    known = set(Entry.__dataclass_fields__) - {"name"}
    for key in raw:
        need(key in known, str(key), f"is not known: choose from {', '.join(sorted(known))}")
    for key in sorted(known - OPTIONAL):
        need(key in raw, key, "is missing; what is not known is written unknown")
    for key in ("method", "model", "task", "revision", "sha256", "layout", "licence", "provenance"):
        need(isinstance(raw[key], str) and raw[key] != "", key, f"is {raw[key]!r}, not text")
    need(raw["method"] in (*METHODS, "timesformer"), "method", f"is none of {', '.join(METHODS)}, timesformer")
    need(raw["model"] in CLASS_NAMES, "model", f"is none of {', '.join(CLASS_NAMES)}")
    need(raw["task"] in TASKS, "task", f"is none of {', '.join(TASKS)}")
    need(raw["layout"] in (*LAYOUTS, "vmae_zoo"), "layout", f"is none of {', '.join(LAYOUTS)}, vmae_zoo")
    need(re.fullmatch(r"[0-9a-f]{40}|unknown", raw["revision"]) is not None, "revision", "is no full commit sha")
    need(re.fullmatch(r"[0-9a-f]{64}|unknown", raw["sha256"]) is not None, "sha256", "is no digest")
    need(isinstance(raw["parameters"], int) and raw["parameters"] > 0, "parameters", "is no count")
    need(isinstance(raw["verified"], bool), "verified", "is neither true nor false")
    for key in ("architecture", "preprocessing"):
        need(isinstance(raw.get(key, {}), Mapping), key, "is no mapping")
    for place in (raw["source"], *raw.get("also", ())):
        fits = isinstance(place, Mapping) and any(kind in place and set(place) <= SOURCES[kind] for kind in SOURCES)
        need(fits and all(isinstance(v, str) for v in place.values()), "source", f"{place!r} is none of {SOURCES}")
    for metric in raw.get("metrics", ()):
        need(isinstance(metric, Mapping) and set(metric) >= METRIC, "metrics", f"{metric!r} lacks one of {METRIC}")
    return Entry(**{**raw, "name": name, "metrics": tuple(raw.get("metrics", ())), "also": tuple(raw.get("also", ()))})
