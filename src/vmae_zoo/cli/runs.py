"""Run folders: ``runs/<recipe>/<YYYYmmdd-HHMMSS>/`` below the current folder, and finding one again."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

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


def newest_checkpoint(root: Path, recipe: str) -> Path:
    """``last.ckpt`` of the newest run of this recipe that has one; ``ValueError`` when none has."""
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


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in; None for a file from elsewhere."""
    folder = checkpoint.resolve().parent.parent
    return folder if checkpoint.resolve().parent.name == "checkpoints" and is_run(folder) else None


def is_run(folder: Path) -> bool:
    """Whether this is a run folder."""
    return (folder / RECIPE).is_file()
