"""Run folders: ``runs/<recipe>/<YYYYmmdd-HHMMSS>/`` below the current folder, and finding one again."""

import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from vmae_zoo.cli.compose import settings_of

RECIPE, SUMMARY, LAST = "recipe.yaml", "summary.json", "checkpoints/last.ckpt"


def recipe_name(recipe: Path) -> str:
    """The name of a recipe's runs: its file's stem; for the ``recipe.yaml`` of a run, the name of that run's recipe."""
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
        recipe: name of the recipe, see `recipe_name`.
        own: file of the recipe; for the ``recipe.yaml`` of a run, that run is taken.
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
    """The run of this SLURM job before it was requeued; None outside SLURM and when the job starts the first time."""
    if int(os.environ.get("SLURM_RESTART_COUNT", "0")) == 0:
        return None
    summaries = sorted((root / recipe).glob(f"*/{SUMMARY}"), reverse=True)
    same_job = (file for file in summaries if json.loads(file.read_text())["slurm_job"] == os.environ["SLURM_JOB_ID"])
    return next((file.parent for file in same_job), None)


def check_same_data(run: Path, data: Mapping[str, Any]) -> None:
    """Refuse to resume a run on the embedded clips if it was trained on other videos.

    Args:
        run: its folder.
        data: settings of the data to train on now.

    Raises:
        ValueError: the run has a root, sources, or a data module of its own, and ``data`` has none.
    """
    saved = yaml.safe_load((run / RECIPE).read_text()).get("data") or {}
    before, now = settings_of(saved), settings_of(data)
    named = {
        f"--data {saved.get('class_path')}": "class_path" in saved and "class_path" not in data,
        f"--data.root {before.get('root')}": before.get("root") and not (now.get("root") or now.get("sources")),
        "its data.sources": before.get("sources") and not (now.get("root") or now.get("sources")),
    }
    for what, is_missing in named.items():
        if is_missing:
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
