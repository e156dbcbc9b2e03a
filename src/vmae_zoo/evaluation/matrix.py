"""The features of many videos as one array with ids, for retrieval and programs outside of this package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from vmae_zoo.atomic_write import atomic_write


def write_matrix(folder: Path, index: Sequence[dict[str, Any]], file: Path) -> int:
    """Write the windows of all videos of an extraction into one ``.npz`` file.

    It holds ``features``, float32 (M, D); ``video``, the id of the video of each row; and ``start``, its first frame.

    Returns:
        The number of rows.

    Raises:
        ValueError: no video could be read.
    """
    entries = [entry for entry in index if "file" in entry]
    if not entries:
        raise ValueError(f"none of the {len(index)} videos could be read: there is no matrix to write")
    arrays = [read_features(folder / entry["file"]) for entry in entries]
    starts = np.concatenate([start for _, start in arrays])
    names = np.repeat([entry["video"] for entry in entries], [len(start) for _, start in arrays])
    features = np.concatenate([features for features, _ in arrays]).astype(np.float32)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as partial, partial.open("wb") as out:
        np.savez(out, features=features, video=names, start=starts)
    return len(starts)


def read_features(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features and first frames of the windows of a video, from a file in any format of the extraction."""
    if file.suffix == ".parquet":
        from pyarrow import parquet

        rows = parquet.read_table(file)
        return np.stack([np.array(row) for row in rows["features"].to_pylist()]), rows["start"].to_numpy()
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            return arrays["features"], arrays["start"]
    arrays = load_file(file)
    return arrays["features"], arrays["start"]
