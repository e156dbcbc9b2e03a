"""How far an embedded set can be told without learning: ``python -m benchmarks.embedded_nulls demo --out nulls.json``.

Linear probes and k-NN, trained on all training clips, of the middle frame (averaged down, as ``vmae-zoo linear-probe``
does, and at full size), of the mean difference of neighboring frames, of simple statistics of the optical flow and of
an encoder with random weights, for every label of the set. A set is worth something only where a network that is
trained with labels (``recipes/classifier.yaml``) is far above all of them.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from vmae_zoo.compose import compose
from vmae_zoo.data import open_catalog
from vmae_zoo.evaluation import compute_features
from vmae_zoo.evaluation.baselines import BASELINES, SingleFrame
from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.knn import nearest_neighbors
from vmae_zoo.evaluation.linear_probe import LBFGSSweep, fit
from vmae_zoo.evaluation.probe import evaluate, select
from vmae_zoo.methods import VideoMAE
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.preprocessing import Normalize, Preprocessing
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.resources import find_recipe

LABELS = ("glyph", "motion", "speed")


class FullFrame(SingleFrame):
    """The middle frame with all its pixels, black as zero, which nearest neighbors by cosine tell best."""

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """One token (B, 1, C * H * W) per clip."""
        return Normalize(self.preprocessing).pixels(self.picture(video_BCTHW)[:, :, None]).flatten(1)[:, None]


class FlowStatistics(VideoEncoder):
    """Twenty numbers of a clip: mean and deviation over time of what the flow from frame to frame is on average.

    Of each pair of frames: mean flow along both axes, mean length, the same three weighted by length, mean absolute
    flow along both axes, and divergence and curl weighted by length. Farnebäck's flow (SCIA 2003).

    Args:
        preprocessing: of the encoder that it is compared with.
    """

    def __init__(self, preprocessing: Preprocessing):
        super().__init__()
        self.preprocessing = preprocessing
        self.normalizer = Normalize(preprocessing)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """One token (B, 1, 20)."""
        gray_BTHW = (self.normalizer.pixels(video_BCTHW).mean(1) * 255).round().clamp(0, 255).byte().cpu().numpy()
        return torch.from_numpy(np.stack([clip_statistics(clip) for clip in gray_BTHW]))[:, None]


def clip_statistics(gray_THW: np.ndarray) -> np.ndarray:
    """The numbers of one clip: float32 (20,)."""
    table = np.stack([pair_statistics(*pair) for pair in pairwise(gray_THW)])
    return np.concatenate([table.mean(0), table.std(0)]).astype(np.float32)


def pair_statistics(before_HW: np.ndarray, after_HW: np.ndarray) -> np.ndarray:
    """The ten numbers of two neighboring frames."""
    no_flow = np.zeros((*before_HW.shape, 2), np.float32)
    flow = cv2.calcOpticalFlowFarneback(before_HW, after_HW, no_flow, 0.5, 3, 9, 3, 5, 1.1, 0)
    x, y = flow[..., 0], flow[..., 1]
    length = np.hypot(x, y)
    weight = length / (length.sum() + 1e-6)
    divergence = np.gradient(x, axis=1) + np.gradient(y, axis=0)
    curl = np.gradient(y, axis=1) - np.gradient(x, axis=0)
    plain = [value.mean() for value in (x, y, length, abs(x), abs(y))]
    return np.array(plain + [(weight * value).sum() for value in (x, y, length, divergence, curl)])


def random_encoder(seed: int) -> Encoder:
    """The encoder of ``recipes/videomae.yaml`` with random weights."""
    recipe: dict[str, Any] = compose(find_recipe("recipes/videomae.yaml"))
    data = recipe["data"]
    torch.manual_seed(seed)
    model = VideoMAE(
        **recipe["model"]["init_args"],
        frames=data["frames"],
        stride_frames=data["stride_frames"],
        image_size=data["size"],
    )
    return model.encoder


def relabeled(features: Features, labels: dict[str, int]) -> Features:
    """The same features under other labels."""
    return replace(features, records=[replace(record, label=labels[record.id]) for record in features.records])


def measure(name: str, seed: int, workers: int) -> list[dict[str, Any]]:
    """A line for each null, label and probe."""
    encoder = random_encoder(seed)
    models: dict[str, VideoEncoder] = {"random weights": encoder}
    models |= {null: make(encoder.preprocessing) for null, make in BASELINES.items()}
    models["single frame, full size"] = FullFrame(encoder.preprocessing)
    models["flow statistics"] = FlowStatistics(encoder.preprocessing)
    catalogs = {label: open_catalog(f"synthetic:{name}", label_column=label) for label in LABELS}
    records = catalogs[LABELS[0]]
    lines = []
    for null, model in models.items():
        train, test = (compute_features(model, records.of(split), workers=workers) for split in ("train", "test"))
        for label, catalog in catalogs.items():
            labels = {record.id: record.label for record in catalog.records}
            own = relabeled(train, labels), relabeled(test, labels)
            classes = len(catalog.classes)
            neighbors = nearest_neighbors(*own, classes)
            scores = {
                "linear": evaluate(select(fit, own[0], classes, LBFGSSweep(seed=seed)), own[1]).metrics,
                "knn": neighbors.metrics[neighbors.selected],
            }
            for probe, score in scores.items():
                lines.append({"set": name, "null": null, "label": label, "probe": probe, **score.asdict()})
                print(f"{name}  {null:<16}  {label:<6}  {probe:<6}  {score.line()}", flush=True)
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedded_nulls", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="demo, demo_texture, demo_moving_camera or demo_occlusion")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights and the part held back (default 0)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that decode (default 0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the results")
    args = parser.parse_args(arguments)
    lines = measure(args.name, args.seed, args.workers)
    if args.out:
        args.out.write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
