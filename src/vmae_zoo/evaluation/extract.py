"""Features of videos of any length: a file of windows per video, and an index of all files.

A file holds ``features`` (windows, D), or (windows, N, D) for tokens, and ``start``, the first frame of each window; in
Parquet these are columns and a window is a row. Files are written atomically, so an interrupted extraction resumes with
the videos that have none.
"""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.data.loader import SignalSafeLoader
from vmae_zoo.data.windows import WindowStream, collate_windows
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.evaluation.features import FeatureExtractor, check_encoder
from vmae_zoo.models.fingerprint import fingerprint
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.setting_checks import check_choice

ELSEWHERE = "elsewhere"  # folder of the features of videos outside the root
FORMATS = ("safetensors", "npz", "parquet")


def extract(
    encoder: VideoEncoder,
    records: Sequence[ClipRecord],
    folder: Path,
    *,
    hop: int | None = None,
    pool: str = "mean",
    form: str = "safetensors",
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    workers: int = 0,
    half: bool = False,
) -> list[dict[str, Any]]:
    """Write the features of each video that has no file yet, then ``index.json``.

    Args:
        encoder: a `vmae_zoo.models.video_encoder.VideoEncoder`.
        records: the videos.
        folder: output folder; files are named by the ids of the videos, see `output_name`.
        hop: frames from the start of one window to the next; None: windows do not overlap.
        pool: "mean", "cls" or "tokens".
        form: one of `FORMATS`.
        device: device of the encoder.
        batch_size: windows per forward pass; halved if the device runs out of memory.
        workers: processes that decode.
        half: run the encoder in bfloat16.

    Returns:
        The index: "video", "file" and "windows" of each video, or "video" and "reason" if it is unreadable.

    Raises:
        ValueError: the folder holds features of another encoder or other settings.
        ModuleNotFoundError: Parquet needs a package that is not installed.
    """
    check_encoder(encoder)
    check_format(form)
    clip = encoder.preprocessing.clip
    cache_key = {
        "encoder": fingerprint(encoder),
        "preprocessing": asdict(encoder.preprocessing),
        "hop": hop or "end to end",
        "pool": pool,
        "half": half,
    }
    folder.mkdir(parents=True, exist_ok=True)
    _check_cache_key(folder, cache_key)
    index: dict[str, dict[str, Any]] = {}
    files = {record.id: folder / output_name(record.id, form) for record in records}
    missing = [record for record in records if not files[record.id].exists()]
    for record in records:
        if files[record.id].exists():
            index[record.id] = _entry(record, files[record.id], folder, _windows_in(files[record.id], form))
    extractor, unfinished = FeatureExtractor(encoder, pool, device, half), defaultdict(list)
    loader = SignalSafeLoader(
        WindowStream(missing, clip, hop),
        batch_size=batch_size,
        num_workers=min(workers, len(missing)),
        collate_fn=collate_windows,
    )
    with tqdm(total=len(records), initial=len(index), unit="video", disable=None) as bar:
        for batch in loader:
            for video, reason in batch["bad"]:
                index[missing[video].id] = {"video": missing[video].id, "reason": reason}
                bar.update()
            values = extract_halving(extractor, batch["video"]) if batch["windows"] else ()
            for (video, count, start), value in zip(batch["windows"], values, strict=True):
                unfinished[video].append((start, value))
                if len(unfinished[video]) == count:
                    record, (starts, features) = missing[video], zip(*unfinished.pop(video), strict=True)
                    arrays = {"features": np.stack(features), "start": np.array(starts, np.int64)}
                    _write(files[record.id], arrays, form)
                    index[record.id] = _entry(record, files[record.id], folder, count)
                    bar.update()
    entries = [index[record.id] for record in records]
    (folder / "index.json").write_text(json.dumps({**cache_key, "videos": entries}, indent=2) + "\n")
    return entries


def output_name(video: str, form: str) -> str:
    """The path of a video's file below the output folder: its id, or ``elsewhere/<hash>-<name>`` if that leads out.

    Ids of videos outside the root are full paths or begin with "..", and an id may be longer than a file name.
    """
    parts = re.split(r"[/\\]", video)
    leads_out = any(part in ("", ".", "..") or ":" in part or len(os.fsencode(part)) > 200 for part in parts)
    if not leads_out and parts[0] != ELSEWHERE:
        return f"{video}.{form}"
    digest = hashlib.blake2b(video.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    name = re.sub(r"[^\w.#-]", "_", parts[-1])[-60:]
    return f"{ELSEWHERE}/{digest}-{name}.{form}"


def check_format(form: str) -> None:
    """``ValueError`` if the format is not known, ``ModuleNotFoundError`` if it needs a missing package."""
    check_choice("format", form, FORMATS)
    if form == "parquet" and find_spec("pyarrow") is None:
        raise ModuleNotFoundError("Parquet needs pyarrow, which is not installed: pip install 'vmae-zoo[parquet]'")


def extract_halving(extractor: FeatureExtractor, clips_BCTHW: torch.Tensor) -> np.ndarray:
    """The features of a batch; in two halves if the device runs out of memory."""
    try:
        return extractor(clips_BCTHW).cpu().numpy()
    except torch.OutOfMemoryError:
        if len(clips_BCTHW) == 1:
            raise MemoryError("out of memory even with a single window: use --device cpu or --half") from None
        torch.cuda.empty_cache()
    middle = len(clips_BCTHW) // 2
    halves = (clips_BCTHW[:middle], clips_BCTHW[middle:])
    return np.concatenate([extract_halving(extractor, half) for half in halves])


def _entry(record: ClipRecord, file: Path, folder: Path, windows: int) -> dict[str, Any]:
    return {"video": record.id, "file": str(file.relative_to(folder)), "windows": windows}


def _windows_in(file: Path, form: str) -> int:
    """Number of windows in a file of features."""
    if form == "npz":
        return len(np.load(file)["start"])
    if form == "parquet":
        from pyarrow import parquet

        return parquet.read_metadata(file).num_rows
    with safe_open(file, "np") as arrays:
        return arrays.get_slice("start").get_shape()[0]


def _write(file: Path, arrays: dict[str, np.ndarray], form: str) -> None:
    with atomic_write(file) as partial:
        if form == "npz":
            with partial.open("wb") as out:
                np.savez(out, **arrays)  # type: ignore[arg-type]
        elif form == "parquet":
            _write_parquet(partial, **arrays)
        else:
            save_file(arrays, partial)


def _write_parquet(file: Path, features: np.ndarray, start: np.ndarray) -> None:
    import pyarrow
    from pyarrow import parquet

    column = pyarrow.array(features.ravel())
    for size in reversed(features.shape[1:]):
        column = pyarrow.FixedSizeListArray.from_arrays(column, size)
    parquet.write_table(pyarrow.table({"start": start, "features": column}), file)


def _check_cache_key(folder: Path, cache_key: dict[str, Any]) -> None:
    """Mark the folder as holding features of this key; ``ValueError`` if it holds others."""
    note, text = folder / "cache_key.json", json.dumps(cache_key, sort_keys=True)
    if (folder / "made_from.json").exists():
        raise ValueError(f"{folder} holds features written by an older version of vmae_zoo: choose another --out")
    if note.exists() and note.read_text() != text:
        raise ValueError(f"{folder} holds features of another encoder or other settings: choose another --out")
    note.write_text(text)
