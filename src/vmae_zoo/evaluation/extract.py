"""Features of any videos, long ones by windows: a file per video and an index of all.

A file holds ``features`` (windows, D), or (windows, N, D) with tokens kept, and ``start``, the first frame of each
window; in Parquet these are columns, a window a row. It is written beside its place and renamed, so a run that was cut
off goes on with the videos that have none.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from tqdm import tqdm

from vmae_zoo.data.loader import SignalSafeLoader, start_worker
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.evaluation.features import Run
from vmae_zoo.evaluation.windows import Windows, WindowStream, collate_windows
from vmae_zoo.models.fingerprint import fingerprint
from vmae_zoo.models.preprocessing import Preprocessing
from vmae_zoo.video.decode import VideoError

FORMATS = ("safetensors", "npz", "parquet")


def extract(
    encoder: nn.Module,
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
    """Write the features of each video that has none yet, then ``index.json``.

    Args:
        encoder: see `vmae_zoo.evaluation.features`.
        records: the videos.
        folder: where to; files keep the videos' ids as names.
        hop: frames from one window to the next; None: windows lie end to end.
        pool: "mean", "cls" or "tokens".
        form: one of `FORMATS`.
        device: where the encoder runs.
        batch_size: windows in a forward pass, of one video or several; halved where the device has too little memory.
        workers: processes that decode.
        half: run the encoder in bfloat16.

    Returns:
        The index: "video", "file", "windows" of each, or "video" and "reason" of an unreadable one.

    Raises:
        ValueError: the folder holds features that something else made.
        ModuleNotFoundError: Parquet needs a package that is not installed.
    """
    settings: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    if form not in FORMATS:
        raise ValueError(f"format {form!r} is not known: choose one of {', '.join(FORMATS)}")
    if form == "parquet" and find_spec("pyarrow") is None:
        raise ModuleNotFoundError("Parquet needs pyarrow, which is not installed: pip install 'vmae-zoo[parquet]'")
    cache_key = {
        "encoder": fingerprint(encoder),
        "preprocessing": asdict(settings),
        "hop": hop or "end to end",
        "pool": pool,
        "half": half,
    }
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder / "cache_key.json", cache_key)
    index: dict[str, dict[str, Any]] = {}
    files = {record.id: folder / f"{record.id.lstrip('/')}.{form}" for record in records}
    todo = [record for record in records if not files[record.id].exists()]
    for record in records:
        if files[record.id].exists():
            try:
                index[record.id] = _line(record, files[record.id], folder, len(Windows(record, settings, hop)))
            except (VideoError, OSError) as error:
                index[record.id] = {"video": record.id, "reason": str(error)}
    run, parts = Run(encoder, pool, device, half), defaultdict(list)
    loader = SignalSafeLoader(
        WindowStream(todo, settings, hop),
        batch_size=batch_size,
        num_workers=min(workers, len(todo)),
        collate_fn=collate_windows,
        worker_init_fn=start_worker,
    )
    with tqdm(total=len(records), initial=len(index), unit="video", disable=None) as bar:
        for batch in loader:
            for place, reason in batch["bad"]:
                index[todo[place].id] = {"video": todo[place].id, "reason": reason}
                bar.update()
            values = run_halving(run, batch["video"]) if batch["of"] else ()
            for (place, count, start), value in zip(batch["of"], values, strict=True):
                parts[place].append((start, value))
                if len(parts[place]) == count:
                    record, (starts, features) = todo[place], zip(*parts.pop(place), strict=True)
                    arrays = {"features": np.stack(features), "start": np.array(starts, np.int64)}
                    _write(files[record.id], arrays, form)
                    index[record.id] = _line(record, files[record.id], folder, count)
                    bar.update()
    lines = [index[record.id] for record in records]
    (folder / "index.json").write_text(json.dumps({**cache_key, "videos": lines}, indent=2) + "\n")
    return lines


def run_halving(run: Run, clips_BCTHW: torch.Tensor) -> np.ndarray:
    """The features of a batch, in two halves where the device has too little memory for it."""
    try:
        return run(clips_BCTHW).cpu().numpy()
    except torch.OutOfMemoryError:
        if len(clips_BCTHW) == 1:
            raise MemoryError("a single window does not fit the device's memory: use --device cpu or --half") from None
        torch.cuda.empty_cache()
    middle = len(clips_BCTHW) // 2
    return np.concatenate([run_halving(run, clips_BCTHW[:middle]), run_halving(run, clips_BCTHW[middle:])])


def _line(record: ClipRecord, file: Path, folder: Path, windows: int) -> dict[str, Any]:
    return {"video": record.id, "file": str(file.relative_to(folder)), "windows": windows}


def _write(file: Path, arrays: dict[str, np.ndarray], form: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    if form == "npz":
        with partial.open("wb") as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]
    elif form == "parquet":
        _write_parquet(partial, **arrays)
    else:
        save_file(arrays, partial)
    partial.replace(file)


def _write_parquet(file: Path, features: np.ndarray, start: np.ndarray) -> None:
    import pyarrow
    from pyarrow import parquet

    column = pyarrow.array(features.ravel())
    for size in reversed(features.shape[1:]):
        column = pyarrow.FixedSizeListArray.from_arrays(column, size)
    parquet.write_table(pyarrow.table({"start": start, "features": column}), file)


def _claim(note: Path, cache_key: dict[str, Any]) -> None:
    text = json.dumps(cache_key, sort_keys=True)
    if note.exists() and note.read_text() != text:
        raise ValueError(f"{note.parent} holds features of another encoder or other settings: choose another --out")
    note.write_text(text)
