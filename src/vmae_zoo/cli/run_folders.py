"""Run folders: ``runs/<recipe>/<YYYYmmdd-HHMMSS>/`` below the current folder, and finding one again."""

import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

RECIPE, SUMMARY, LAST = "recipe.yaml", "summary.json", "checkpoints/last.ckpt"


def recipe_name(recipe: Path) -> str:
    """The name a recipe's runs go by: its file's stem; for the ``recipe.yaml`` of a run, that run's recipe."""
    saved = recipe.name == RECIPE and is_run(recipe.resolve().parent)
    return recipe.resolve().parents[1].name if saved else recipe.stem


def new_run(root: Path, recipe: str) -> Path:
    """A run folder named for this second, or for the next one that no other run has taken; it is created."""
    moment = datetime.now()
    while True:
        folder = root / recipe / f"{moment:%Y%m%d-%H%M%S}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            moment += timedelta(seconds=1)
        else:
            return folder


def newest_checkpoint(root: Path, recipe: str, own: Path | None = None) -> Path:
    """``last.ckpt`` of the newest run of this recipe that has one; ``ValueError`` when none has.

    Args:
        root: folder of all runs.
        recipe: what the runs go by.
        own: file of the recipe; the ``recipe.yaml`` of a run means that run.
    """
    if own and own.name == RECIPE and (own.resolve().parent / LAST).exists():
        return own.resolve().parent / LAST
    found = sorted((root / recipe).glob(f"*/{LAST}"))
    if not found:
        raise ValueError(
            f"--ckpt_path last: no run of {recipe} below {root} has a {LAST}: leave --ckpt_path out to start one"
        )
    return found[-1]


def requeued_run(root: Path, recipe: str) -> Path | None:
    """The run that this SLURM job left when it was requeued; None outside SLURM or when it starts the first time."""
    if int(os.environ.get("SLURM_RESTART_COUNT", "0")) == 0:
        return None
    summaries = sorted((root / recipe).glob(f"*/{SUMMARY}"), reverse=True)
    same_job = (file for file in summaries if json.loads(file.read_text())["slurm_job"] == os.environ["SLURM_JOB_ID"])
    return next((file.parent for file in same_job), None)


def check_same_data(run: Path, data: Mapping[str, Any]) -> None:
    """Refuse to go on in a run without naming its videos: the embedded clips would take their place, unasked.

    Args:
        run: its folder.
        data: settings of the data that are to be trained on now.

    Raises:
        ValueError: the run has a root, or sources, and ``data`` has neither.
    """
    before = yaml.safe_load((run / RECIPE).read_text()).get("data") or {}
    root = before.get("root")
    if (root or before.get("sources")) and not (data.get("root") or data.get("sources")):
        what = f"--data.root {root}" if root else "its data.sources"
        raise ValueError(
            f"{run} was trained on videos that this command does not name: add {what}, or give all its "
            f"settings by -c {run / RECIPE}"
        )


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in; None for a file from elsewhere."""
    folder = checkpoint.resolve().parent.parent
    return folder if checkpoint.resolve().parent.name == "checkpoints" and is_run(folder) else None


def is_run(folder: Path) -> bool:
    """Whether this is a run folder."""
    return (folder / RECIPE).is_file()
