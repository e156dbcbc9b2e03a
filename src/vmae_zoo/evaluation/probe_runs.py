"""A probe on every split, training fraction and random subset, for an encoder and for the pixel baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from vmae_zoo.datasets.layouts import Catalog, ClipRecord
from vmae_zoo.datasets.splits import low_shot
from vmae_zoo.evaluation.baselines import BASELINES
from vmae_zoo.evaluation.features import MIDDLE, Features, Views, compute_features
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.training.metrics import ClassificationMetrics, wilson

ENCODER = "this encoder"
NUMBERS = ("top1", "top1_low", "top1_high", "top5", "mean_class", "videos")


class Probe(Protocol):
    """Trains a head on features and evaluates it."""

    def __call__(
        self, encoder: VideoEncoder, train: Features, test: Features, classes: int, pool: str
    ) -> tuple[ClassificationMetrics, dict[str, Any], Tensor]:
        """Metrics, details for JSON, and confusion counts (K, K)."""


@dataclass(frozen=True)
class ProbeRuns:
    """Results of a probe.

    Args:
        runs: of the encoder: split, fraction, draw, metrics and details of each run.
        scores: means of the encoder's runs on the largest fraction.
        baselines: the same for each baseline.
        left_out: runs whose subset was too small for the probe, with the reason.
        unreadable: number of videos that could not be read.
        confusion: counts of the first run on the largest fraction.
    """

    runs: list[dict[str, Any]]
    scores: dict[str, float]
    baselines: dict[str, dict[str, float]]
    left_out: list[dict[str, Any]]
    unreadable: int
    confusion: list[list[int]]


def labelled(catalog: Catalog) -> tuple[list[ClipRecord], list[ClipRecord]]:
    """Labelled training records, and test or else validation records; ``ValueError`` if there are none of either."""
    if not catalog.classes:
        raise ValueError(f"{catalog.root} (layout {catalog.layout}) has no labels, which a probe needs")
    train = [record for record in catalog.of("train") if record.label >= 0]
    test = [record for record in catalog.of("test") or catalog.of("val") if record.label >= 0]
    if not train or not test:
        raise ValueError(
            f"{catalog.root} has {len(train)} labelled training and {len(test)} test clips, a probe needs both: "
            "give it split files, or train/ and val/ folders, or cross-validate by --folds 5"
        )
    return train, test


def run_probe(
    probe: Probe,
    encoder: VideoEncoder,
    catalogs: Sequence[Catalog],
    *,
    pool: str = "mean",
    views: Views = MIDDLE,
    train_views: Views | None = None,
    fractions: Sequence[float] = (1.0,),
    draws: int = 1,
    seed: int = 0,
    untrained: VideoEncoder | None = None,
    baselines: bool = True,
    log: Callable[[str], None] = print,
    settings: Mapping[str, Any] | None = None,
) -> ProbeRuns:
    """Compute features and run the probe.

    Args:
        probe: trains and evaluates a head.
        encoder: the encoder to evaluate.
        catalogs: the data set, once per split.
        pool: see `compute_features`; baselines of pixels always use "mean".
        views: of each video.
        train_views: of the training videos, if they differ.
        fractions: fractions of the training set.
        draws: random subsets of each fraction below 1.
        seed: of the subsets.
        untrained: the same network with random weights, a baseline too.
        baselines: also probe `vmae_zoo.evaluation.baselines`.
        log: gets a line per run.
        settings: device, batch_size, workers, half and cache of `compute_features`.
    """
    encoders: dict[str, VideoEncoder] = {ENCODER: encoder}
    if untrained is not None:
        encoders["random weights"] = untrained
    if baselines:
        encoders |= {name: make(encoder.preprocessing) for name, make in BASELINES.items()}
    records = [labelled(catalog) for catalog in catalogs]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in encoders}
    confusion, unreadable, left_out, largest = None, 0, [], max(fractions)
    for name, model in encoders.items():
        pooled = "mean" if name in BASELINES else pool
        for catalog, (train_records, test_records) in zip(catalogs, records, strict=True):
            train, test = (
                compute_features(model, some, of, pool=pooled, progress=name, **(settings or {}))
                for some, of in ((train_records, train_views or views), (test_records, views))
            )
            if not train.records or not test.records:
                kind = "test" if train.records else "training"
                raise ValueError(f"none of the {kind} videos of {catalog.root} can be read")
            unreadable += (len(train.unreadable) + len(test.unreadable)) * (model is encoder)
            for fraction, draw in [(f, d) for f in fractions for d in range(draws if f < 1 else 1)]:
                subset = train if fraction == 1 else train.subset(low_shot(train.records, fraction, seed + draw))
                run = {"split": catalog.split, "fraction": fraction, "draw": draw, "trained_on": len(subset.records)}
                try:
                    metrics, details, matrix = probe(model, subset, test, len(catalog.classes), pooled)
                except ValueError as error:
                    if fraction == largest:
                        raise
                    left_out.append({"features": name, **run, "reason": str(error)})
                    log(f"{name:<16} {title(run)}left out: {error}")
                    continue
                found[name].append({**run, **metrics.asdict(), **details})
                if confusion is None and fraction == largest:
                    confusion = matrix.tolist()
                log(f"{name:<16} {title(run)}{metrics.line()}")
    tested = [record.id for _, test_records in records for record in test_records]
    disjoint = len(catalogs) > 1 and len(set(tested)) == len(tested)
    means = {
        name: mean_of([run for run in runs if run["fraction"] == largest], disjoint) for name, runs in found.items()
    }
    return ProbeRuns(found[ENCODER], means.pop(ENCODER), means, left_out, unreadable, confusion or [])


def mean_of(runs: Sequence[dict[str, Any]], disjoint: bool = False) -> dict[str, float]:
    """Means over splits and draws; the interval is the mean of the runs' intervals, that of a single split.

    If the splits are disjoint, no video is in two test sets, as when each split leaves one subject out: "videos" counts
    all of them, and the interval is that of all.
    """
    means = {name: sum(run[name] for run in runs) / len(runs) for name in NUMBERS if name in runs[0]}
    if disjoint:
        tested = sum({run["split"]: run["videos"] for run in runs}.values())
        accuracy = sum(run["top1"] * run["videos"] for run in runs) / sum(run["videos"] for run in runs)
        low, high = wilson(round(tested * accuracy / 100), tested)
        means |= {"videos": tested, "top1_low": 100 * low, "top1_high": 100 * high}
    return {name: round(value, 4) for name, value in means.items()}


def title(run: Mapping[str, Any]) -> str:
    """Split, fraction and draw of a run; empty if there is only one."""
    split = "" if run["split"] is None else f"split {run['split']} "
    fraction = "" if run["fraction"] == 1 else f"{100 * run['fraction']:g} % of the training set, draw {run['draw']} "
    return split + fraction
