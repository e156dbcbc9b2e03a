"""Reading weights from untrusted files.

Pickles (``.pth``, ``.pt``, ``.bin``, ``.ckpt``, ``.pyth``) are read by ``torch.load(weights_only=True)`` only. Beside
tensors and plain values they may hold an ``argparse.Namespace``, as released training files do; it is ignored. Any
other content is refused, and no code from a file is executed.
"""

import argparse
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vmae_zoo.zoo import SUFFIXES
from vmae_zoo.zoo.pickle_scan import MAX_TUPLE, largest_tuple

MAX_HEADER_BYTES = 100_000_000  # as in the safetensors library
MAX_JSON_BYTES = 10_000_000

# Keys under which training programs store the weights, in the order of preference.
_STATE_DICT_KEYS = ("state_dict", "model", "module", "model_state", "model_state_dict")

# V-JEPA's programs save each network of a checkpoint by itself; the rest is the state of training.
_NETWORKS = ("encoder", "predictor", "target_encoder")


@dataclass(frozen=True)
class CheckpointData:
    """The strided tensors of a file, on the CPU, and its record, see `vmae_zoo.methods.record`.

    The record of a file of another program is {}.
    """

    tensors: dict[str, Tensor]
    record: dict[str, Any]


def read_weights(path: Path) -> CheckpointData:
    """Read a file of weights.

    Raises:
        ValueError: it is missing, damaged, of another kind, or holds anything but weights and plain values.
    """
    check_link(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} is not a weights file: expected a name that ends in one of {', '.join(SUFFIXES)}")
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is empty: download or save it again")
    return _read_safetensors(path, size) if path.suffix == ".safetensors" else _read_pickle(path, size)


def check_link(path: Path) -> None:
    """``ValueError`` if a file is missing or a link out of its folder; in the Hub's cache, links lead to ``blobs``."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file" if not path.is_symlink() else f"{path} is a broken link")
    folder, target = path.parent.resolve(), path.resolve()
    homes = [folder]
    for snapshot in (folder, *folder.parents):
        if snapshot.parent.name == "snapshots":
            homes.append(snapshot.parent.parent / "blobs")
    if path.is_symlink() and target.parent not in homes:
        raise ValueError(f"{path} is a link out of its folder: if you trust it, give the file itself, {target}")


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON object from a file; {} if there is no file."""
    if not path.exists() and not path.is_symlink():
        return {}
    check_link(path)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} is longer than {MAX_JSON_BYTES:,} bytes: download or save it again")
    return _parse_json(path.read_text(encoding="utf-8", errors="replace"), path)


def _read_safetensors(path: Path, size: int) -> CheckpointData:
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(size - 8, MAX_HEADER_BYTES):
        raise ValueError(
            f"{path} is damaged: its header claims {header:,} bytes, the file has {size:,}: download or save it again"
        )
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get("vmae_zoo", "{}")
    except (SafetensorError, RuntimeError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({_first_line(error)}): download or save it again") from None
    return CheckpointData(_validated(tensors, path), _parse_json(text, path))


def _parse_json(text: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): download or save it again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}, not settings by name: download or save it again")
    return found


def _read_pickle(path: Path, size: int) -> CheckpointData:
    if zipfile.is_zipfile(path):
        _check_zip(path, size)
    if largest_tuple(path) > MAX_TUPLE:
        raise ValueError(
            f"{path} nests tuples so that reading it takes exponential time, unlike any weights file: do not use it"
        )
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can make the reader raise anything
        raise ValueError(_unpickling_error(path, str(error))) from None
    record = found.get("vmae_zoo") if isinstance(found, Mapping) else None
    return CheckpointData(_validated(_find_state_dict(found, path), path), record if isinstance(record, dict) else {})


def _check_zip(path: Path, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged ({_first_line(error)}): download or save it again") from None
    if (
        any(member.compress_type != zipfile.ZIP_STORED for member in members)
        or sum(m.file_size for m in members) > size
    ):
        raise ValueError(f"{path} unpacks to more than its own size, unlike any file of torch.save: do not use it")
    for member in members:
        inside = PurePosixPath(member.filename)
        if inside.is_absolute() or ".." in inside.parts:
            raise ValueError(f"{path} holds a path outside itself ({member.filename!r}): do not use it")


def _find_state_dict(found: Any, path: Path) -> dict[str, Tensor]:
    """The weights by name among the contents of a pickle."""
    for key in _STATE_DICT_KEYS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if isinstance(found, Mapping) and any(isinstance(found.get(part), Mapping) for part in _NETWORKS):
        parts = {part: found[part] for part in _NETWORKS if isinstance(found.get(part), Mapping)}
        found = {f"{part}.{name}": value for part, weights in parts.items() for name, value in weights.items()}
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds a {type(found).__name__}, not weights by name")
    others = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    if others or not found:
        raise ValueError(
            f"{path} holds no weights by name (looked under {', '.join(_STATE_DICT_KEYS)})"
            + (f": {others[0]!r} is not a tensor" if others else "")
        )
    return {str(name): value for name, value in found.items()}


def _validated(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors, detached; ``ValueError`` if one is not an ordinary tensor or exceeds its storage."""
    if not tensors:
        raise ValueError(f"{path} holds no tensors: download or save it again")
    for name, tensor in tensors.items():
        plain = type(tensor) in (Tensor, torch.nn.Parameter, torch.nn.Buffer) and tensor.layout == torch.strided
        if not plain or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ValueError(f"{path}: {name!r} is not a plain tensor: only those are read")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{path}: {name!r} has the shape {tuple(tensor.shape)}, larger than its data in the file")
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _unpickling_error(path: Path, reason: str) -> str:
    unknown = re.search(r"(?:GLOBAL|class|global:?) ([\w.]+\.[\w.]+)", reason)
    if unknown:
        return (
            f"{path} refers to {unknown[1]}, which a file of weights does not need: nothing was executed; "
            "ask its author for a .safetensors file"
        )
    noise = reason.startswith("Weights only load failed")
    detail = "" if noise or not reason else f" ({_first_line(reason)[:80]})"
    return f"{path} is damaged or was not written by torch.save{detail}: download or save it again"


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:160] if lines else type(error).__name__
