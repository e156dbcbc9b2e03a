"""How well a mask follows a person whose true motion is known (`benchmarks.silhouettes`).

*kept*: of the points visible in the base slice, the fraction of their later appearances that is visible; 1 for a mask
that follows perfectly, about the fraction of visible tokens for one that does not follow. *leaked*: the fraction of the
points hidden in the base slice that is visible at another time, which guidance is meant to prevent.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.silhouettes import SIZE, Scene, encode, scenes
from vmae_zoo.data.transforms import center_crop
from vmae_zoo.flow import dis_flow
from vmae_zoo.flow.raft import RaftFlow
from vmae_zoo.masking import MotionGuidedScorer, TokenGrid, topk_split, tube_mask
from vmae_zoo.randomness import sample_key
from vmae_zoo.video.decode import VideoError, VideoInfo, probe, read_clip

GRID = TokenGrid.of_clip(16, SIZE, SIZE)
GUIDE = MotionGuidedScorer(GRID)
BASE = 8  # the middle frame
STRIDE = 2  # at 25 frames per second; travelling people then move 4 to 12 pixels per frame
FRAMES = 15 * STRIDE + 1
MASKS = 16  # per scene
PLAIN: dict[str, str] = {}  # defaults of libx264
QUICK = {"bf": "0", "g": "16", "keyint_min": "16", "sc_threshold": "0", "crf": "23", "tune": "fastdecode"}

# (file with the 31 frames of the scene, the scene with 16 of them, pairs of frames) -> flow
Estimator = Callable[[Path, Scene, np.ndarray], np.ndarray]


def estimators(raft_weights: str | None) -> dict[str, Estimator]:
    """Flow estimators by name."""

    def exact(path: Path, scene: Scene, pairs: np.ndarray) -> np.ndarray:
        return scene.flow(pairs)

    def dis(preset: str, shrink: int) -> Estimator:
        return lambda path, scene, pairs: dis_flow(scene.video, pairs, shrink, preset)

    found: dict[str, Estimator] = {"exact": exact}
    for preset, shrink in (("ultrafast", 1), ("ultrafast", 2), ("ultrafast", 4), ("fast", 2)):
        found[f"DIS {preset}, 1/{shrink}"] = dis(preset, shrink)
    if raft_weights:
        raft = RaftFlow(raft_weights)

        def raft_small(path: Path, scene: Scene, pairs: np.ndarray) -> np.ndarray:
            video = torch.from_numpy(scene.video).permute(3, 0, 1, 2)
            return raft(video[None], torch.from_numpy(pairs)[None])[0].numpy()

        found[f"RAFT-small, {raft_weights}"] = raft_small
    return found


def quick_copy(path: Path, frames: int) -> Path:
    """The first frames of a video, re-encoded for fast decoding in the same folder."""
    return encode(read_clip(path, np.arange(frames), 256), path.with_name("quick.mp4"), QUICK)


def follow(archive: Path, clips: Path, limit: int | None, raft_weights: str | None, raft_limit: int) -> dict[str, Any]:
    """Kept and leaked by flow estimator, over still and moving backgrounds, for travelling people and others."""
    moving, sources = backgrounds(clips), estimators(raft_weights if raft_limit else None)
    pairs = GUIDE.pairs(torch.zeros(1, dtype=torch.int64))[0].numpy()
    results: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for ground, pictures in (("still", [np.repeat(clip[:1], FRAMES, 0) for clip in moving]), ("moving", moving)):
        for n, scene in enumerate(islice(scenes(archive, pictures, FRAMES), limit)):
            show_progress(f"{ground} {n} {scene.name}")
            keys = torch.tensor([sample_key(0, n, mask) for mask in range(MASKS)])
            with tempfile.TemporaryDirectory() as folder:
                path = encode(scene.video, Path(folder, "scene.mp4"), PLAIN)
                seen = Scene(scene.name, scene.action, read_clip(path, np.arange(FRAMES)), scene.person, scene.center)
                seen = seen.every(STRIDE)
                masks = {"none (tube)": tube_mask(keys, GRID, 0.9).visible}
                for name, estimate in sources.items():
                    if name.startswith("RAFT") and n >= raft_limit:
                        continue
                    flow = torch.from_numpy(estimate(path, seen, pairs)).expand(MASKS, -1, -1, -1, -1)
                    masks[name] = topk_split(GUIDE.scores(keys, flow), GRID, 0.9, "videomae").visible
            group = results.setdefault(f"{ground} background, {'travelling' if scene.travels else 'in place'}", {})
            for name, visible in masks.items():
                group.setdefault(name, []).append(followed(visible, seen))
    return {
        title: {name: summary(group[name], group["none (tube)"]) for name in group} for title, group in results.items()
    }


def followed(visible_BV: torch.Tensor, scene: Scene) -> tuple[float, float, float]:
    """Kept, leaked, and the fraction of the person visible in the base slice, over all masks of a scene."""
    shown = torch.zeros(len(visible_BV), GRID.tokens, dtype=torch.bool).scatter(1, visible_BV, True).numpy()
    shown = shown.reshape(-1, *GRID.shape)
    _, high, wide = GRID.cube
    y, x = np.nonzero(scene.person[BASE])
    at_base = shown[:, BASE // 2, y // high, x // wide]
    kept = appearances = 0
    leaked, returns = np.zeros_like(at_base), np.zeros(len(y), bool)
    for frame in range(len(scene.video)):
        if frame // 2 == BASE // 2:
            continue
        right, down = np.rint(scene.center[frame] - scene.center[BASE]).astype(int)
        there_y, there_x = y + down, x + right
        inside = (there_y >= 0) & (there_y < SIZE) & (there_x >= 0) & (there_x < SIZE)
        there_y, there_x = there_y.clip(0, SIZE - 1), there_x.clip(0, SIZE - 1)
        there = inside & scene.person[frame, there_y, there_x]  # limbs appear and disappear
        now = shown[:, frame // 2, there_y // high, there_x // wide] & there
        kept += int((at_base & now).sum())
        appearances += int((at_base & there).sum())
        leaked |= now
        returns |= there
    hidden = ~at_base & returns
    return kept / max(appearances, 1), (leaked & hidden).sum() / max(hidden.sum(), 1), float(at_base.mean())


def summary(values: Sequence[tuple[float, float, float]], tube: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    """Mean and standard deviation over scenes, and paired difference to tube masks with a 95 % bootstrap interval."""
    ours = np.array(values)
    result: dict[str, Any] = {"scenes": len(ours), "shown": round(float(ours[:, 2].mean()), 4)}
    rng = np.random.default_rng(0)
    for column, name in enumerate(("kept", "leaked")):
        difference = ours[:, column] - np.array(tube)[: len(ours), column]
        means = difference[rng.integers(len(difference), size=(2000, len(difference)))].mean(1)
        result[name] = {
            "mean": round(float(ours[:, column].mean()), 4),
            "std": round(float(ours[:, column].std(ddof=1)), 4) if len(ours) > 1 else None,
            "minus_tube": round(float(difference.mean()), 4),
            "interval": [round(float(edge), 4) for edge in np.quantile(means, (0.025, 0.975))],
        }
    return result


def backgrounds(folder: Path, count: int = 8) -> list[np.ndarray]:
    """The first frames of real videos: uint8 (FRAMES, SIZE, SIZE, 3) each."""
    found: list[np.ndarray] = []
    for path in sorted(folder.rglob("*")):
        info = readable(path)
        if info and info.frames >= FRAMES and min(info.height, info.width) >= SIZE and len(found) < count:
            found.append(center_crop(read_clip(path, np.arange(FRAMES), 256), SIZE))
    if len(found) < 2:
        raise ValueError(f"--clips {folder} holds fewer than two videos of {FRAMES} frames and {SIZE} pixels")
    return found


def readable(path: Path) -> VideoInfo | None:
    """Metadata of a video; None if the file is not a video."""
    try:
        return probe(path) if path.is_file() else None
    except VideoError:
        return None


def show_progress(text: str) -> None:
    """Overwrite a status line on stderr."""
    print(f"\r{text[:100]:<100}", end="", file=sys.stderr, flush=True)
