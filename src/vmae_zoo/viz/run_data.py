"""What a run folder holds, read for comparisons: settings, curves, probe results, pictures."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from vmae_zoo.run_record import flat_settings, is_run, read_metrics, read_run_recipe, read_summary

Curve = list[tuple[int, float]]  # (step, value), ascending
IGNORED = ("config", "json", "name", "tags", "trainer.default_root_dir", "trainer.logger")
PLOTTED = ("loss/", "top1/", "probe/", "lr", "throughput/clips_per_s", "gradient/norm")
MISSING = "-"


class RunData:
    """A run folder, or the folder of a probe.

    Args:
        folder: written by ``fit`` or by a probing subcommand.

    Attributes:
        summary: content of ``summary.json``; empty for a probe.
        result: content of ``result.json`` of a probe.
        settings: of ``recipe.yaml``, flat: "model.lr" -> value.
        name: ``--name`` of the run; else its recipe and time.
        tags: ``--tags`` of the run.

    Raises:
        ValueError: it is neither, or the result of the probe is damaged.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.summary = read_summary(folder)
        file = folder / "result.json"
        self.is_probe = not self.summary and file.is_file()
        self.result = _read_result(file, file.stat().st_mtime_ns) if self.is_probe else {}
        if self.is_probe and not self.result:
            raise ValueError(f"{file} is damaged: run the probe again, or remove the folder")
        if not self.is_probe and not is_run(folder):
            raise ValueError(
                f"{folder} holds neither summary.json nor result.json: give the folder of a run or a probe"
            )
        keys = read_run_recipe(folder)
        self.settings = flatten(keys)
        self.tags: list[str] = [tag.strip() for tag in (keys.get("tags") or "").split(",") if tag.strip()]
        place = folder.resolve()
        self.name: str = keys.get("name") or f"{place.parent.name}/{place.name}"

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Every logged number by name; values that are not finite are left out."""
        found: dict[str, dict[int, float]] = {}
        for row in read_metrics(self.folder):
            step = int(row.pop("step"))
            for name, text in row.items():
                with suppress(ValueError):  # empty, or the end of a line that a full disk cut
                    found.setdefault(name, {})[step] = float(text)
        return {
            name: [(step, value) for step, value in sorted(values.items()) if math.isfinite(value)]
            for name, values in found.items()
        }

    @cached_property
    def probes(self) -> list[dict[str, Any]]:
        """Results of probes of this run's checkpoints, which lie beside it below ``runs/``; or of this probe."""
        if self.is_probe:
            return [self.result]
        own = self.folder.resolve()
        found = (_read_result(file, file.stat().st_mtime_ns) for file in sorted(own.parents[1].glob("*/*/result.json")))
        return [result for result in found if result and Path(result["checkpoint"]).resolve().is_relative_to(own)]

    @property
    def last_picture(self) -> Path | None:
        """The newest reconstruction."""
        return max((self.folder / "pictures").glob("step-*.png"), default=None)

    def metric(self, name: str) -> float | None:
        """The last value of a logged number."""
        value = (self.summary.get("metrics") or {}).get(name)
        curve = () if value is not None else self.curves.get(name, ())
        return curve[-1][1] if curve else value


@cache
def _read_result(file: Path, modified: int) -> dict[str, Any]:
    """The result of a probe, read once for all runs; empty if it is damaged."""
    try:
        result = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    complete = isinstance(result, dict) and {"checkpoint", "data", "scores", "baselines"} <= result.keys()
    return {"subcommand": result.get("verb"), **result} if complete else {}  # "verb" in results of former versions


def flatten(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as one mapping; ``class_path`` stands for its group and ``init_args`` is left out of names."""
    return dict(flat_settings(keys, lambda path: path.rpartition(".")[2])) if keys else {}


def differences(runs: Sequence[RunData]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs: name -> value of each run, "-" where it has no such setting."""
    names = dict.fromkeys(name for run in runs for name in run.settings if name not in IGNORED)
    rows = {name: [shown(run.settings.get(name, MISSING)) for run in runs] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def shown(value: Any) -> str:
    """A setting or number in few characters."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def plotted(runs: Iterable[RunData]) -> list[str]:
    """Names of the numbers that are worth a picture: losses first."""
    names = {name for run in runs for name in run.curves if name.startswith(PLOTTED)}
    return sorted(names, key=lambda name: ([name.startswith(start) for start in PLOTTED].index(True), name))


def interval(scores: dict[str, float]) -> str:
    """Top-1 accuracy with its 95 % interval."""
    return f"{scores['top1']:.1f} % ({scores['top1_low']:.1f} to {scores['top1_high']:.1f})"
