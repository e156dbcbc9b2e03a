"""Features of any videos, long ones by windows: a file per video and an index of all.

A file holds ``features`` (windows, D), or (windows, N, D) with tokens kept, and ``start``, the first frame of each
window; in Parquet these are columns, a window a row. It is written beside its place and renamed, so a run that was cut
off goes on with the videos that have none.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from vmae_zoo.data.catalog import Row
from vmae_zoo.data.dataset import rate_of, segment_of
from vmae_zoo.data.decode import VideoError, probe, read_clip
from vmae_zoo.data.sampling import span_ids
from vmae_zoo.data.transforms import centre_crop
from vmae_zoo.evaluation.features import Run
from vmae_zoo.models.fingerprint import fingerprint
from vmae_zoo.models.preprocessing import Preprocessing

FORMATS = ("safetensors", "npz", "parquet")


class Windows(Dataset):
    """Every window of one video, in order.

    Args:
        row: the video.
        settings: frames, their distance and the side of the centre crop.
        hop: frames of the video from one window's start to the next; None: windows lie end to end.
    """

    def __init__(self, row: Row, settings: Preprocessing, hop: int | None = None):
        self.row, self.settings = row, settings
        info = probe(row.path)
        self.first, self.total = segment_of(row, info)
        stride: float = settings.stride_frames
        if settings.sampling == "span":
            stride *= rate_of(row, info) / settings.fps
        self.within = window_ids(settings, stride)
        self.starts = window_starts(self.total, int(self.within[-1]) + 1, hop or round(settings.frames * stride) or 1)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, window: int) -> torch.Tensor:
        """uint8 (C, T, H, W)."""
        settings = self.settings
        ids = self.starts[window] + self.within
        clip = read_clip(self.row.path, self.first + np.minimum(ids, self.total - 1), settings.size)
        return torch.from_numpy(centre_crop(clip, settings.size)).permute(3, 0, 1, 2)


def window_ids(settings: Preprocessing, stride: float) -> np.ndarray:
    """Frames of a window, counted from its start: every ``stride``-th; by time, spread as `span_ids` spreads them."""
    if settings.sampling != "span":
        return settings.stride_frames * np.arange(settings.frames)
    span = max(settings.frames * stride, 1.0)
    return span_ids(math.ceil(span), settings.frames, span, 0)


def window_starts(total: int, length: int, hop: int) -> list[int]:
    """First frames of the windows: every ``hop`` frames while a window fits, and one that ends with the video.

    A video shorter than a window has one, whose last frame is repeated.
    """
    if hop < 1:
        raise ValueError(f"the hop from window to window is {hop} frames: it counts from 1")
    last = max(total - length, 0)
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last else [*starts, last]


def extract(
    encoder: nn.Module,
    rows: Sequence[Row],
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
        rows: the videos.
        folder: where to; files keep the videos' ids as names.
        hop: frames from one window to the next; None: windows lie end to end.
        pool: "mean", "cls" or "tokens".
        form: one of `FORMATS`.
        device: where the encoder runs.
        batch_size: windows in a forward pass; halved where the device has too little memory.
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
    made_from = {
        "encoder": fingerprint(encoder),
        "preprocessing": asdict(settings),
        "hop": hop or "end to end",
        "pool": pool,
        "half": half,
    }
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder / "made_from.json", made_from)
    run, index = Run(encoder, pool, device, half), []
    for row in tqdm(rows, unit="video", disable=None):
        file = folder / f"{row.id.lstrip('/')}.{form}"
        try:
            windows = Windows(row, settings, hop)
            if not file.exists():
                values = [run_halving(run, clips) for clips in _loader(windows, batch_size, workers)]
                arrays = {"features": np.concatenate(values), "start": np.array(windows.starts, np.int64)}
                _write(file, arrays, form)
        except (VideoError, IndexError, OSError) as error:
            index.append({"video": row.id, "reason": str(error)})
        else:
            index.append({"video": row.id, "file": str(file.relative_to(folder)), "windows": len(windows)})
    (folder / "index.json").write_text(json.dumps({**made_from, "videos": index}, indent=2) + "\n")
    return index


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


def _loader(windows: Windows, batch_size: int, workers: int) -> Iterator[torch.Tensor]:
    return iter(DataLoader(windows, batch_size=batch_size, num_workers=min(workers, len(windows) - 1)))


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


def _claim(note: Path, made_from: dict[str, Any]) -> None:
    text = json.dumps(made_from, sort_keys=True)
    if note.exists() and note.read_text() != text:
        raise ValueError(f"{note.parent} holds features of another encoder or other settings: choose another --out")
    note.write_text(text)
