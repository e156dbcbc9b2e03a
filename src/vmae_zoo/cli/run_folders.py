"""Run folders: ``runs/<recipe>/<YYYYmmdd-HHMMSS>/`` below the current folder, and finding one again."""

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vmae_zoo.run_record import (
    LAST,
    RECIPE,
    SUMMARY,
    in_order,
    is_run,
    next_number,
    read_summary,
    write_summary,
)
from vmae_zoo.training.checkpoint_io import read_checkpoint


def recipe_name(recipe: Path) -> str:
    """The name of a recipe's runs: its file's stem; for the ``recipe.yaml`` of a run, the name of that run's recipe."""
    saved = recipe.name == RECIPE and is_run(recipe.resolve().parent)
    return recipe.resolve().parents[1].name if saved else recipe.stem


def new_folder(root: Path, name: str) -> Path:
    """A folder below ``root/name`` named for this second, or for the next one that is not taken; it is created."""
    moment = datetime.now()
    while True:
        folder = root / name / f"{moment:%Y%m%d-%H%M%S}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            moment += timedelta(seconds=1)
        except OSError as error:
            raise ValueError(unwritable(folder, error)) from error
        else:
            return folder


def new_run(root: Path, recipe: str) -> Path:
    """A new run folder with the first record of the run; ``ValueError`` if it cannot be written."""
    folder = new_folder(root, recipe)
    started, job = datetime.now(UTC).isoformat(timespec="seconds"), os.environ.get("SLURM_JOB_ID")
    record = {"recipe": recipe, "state": "starting", "number": next_number(root), "started": started}
    try:
        write_summary(folder, {**record, "slurm_job": job})
    except OSError as error:
        with suppress(OSError):  # not empty
            for made in (folder, *folder.parents[:2]):
                made.rmdir()
        raise ValueError(unwritable(folder, error)) from error
    return folder


def unwritable(folder: Path, error: OSError) -> str:
    """The message for a run folder that cannot be written."""
    reason = error.strerror or str(error)
    return f"the run folder {folder} cannot be written ({reason}): choose another place by --trainer.default_root_dir"


def find_checkpoint(wanted: str, root: Path, recipe: str, own: Path | None = None) -> Path:
    """The file that ``--ckpt_path`` names.

    Args:
        wanted: "last" or "best" of the newest run of this recipe, a run folder, or a file.
        root: folder of all runs.
        recipe: name of the recipe, see `recipe_name`.
        own: file of the recipe; for the ``recipe.yaml`` of a run, that run is taken.

    Raises:
        ValueError: there is no such file.
    """
    if wanted == "last":
        return newest_checkpoint(root, recipe, own)
    if wanted == "best":
        return best_checkpoint(newest_checkpoint(root, recipe, own, "best"))
    path = Path(wanted)
    if not path.exists():
        raise ValueError(f"--ckpt_path {wanted}: there is no such file or run folder")
    if path.is_dir():
        if not (path / LAST).exists():
            raise ValueError(f"--ckpt_path {wanted}: this folder has no {LAST}: name a run folder or a checkpoint")
        return path / LAST
    return path


def newest_checkpoint(root: Path, recipe: str, own: Path | None = None, wanted: str = "last") -> Path:
    """``last.ckpt`` of the newest run of this recipe that has one; ``ValueError`` if none has."""
    if own and own.name == RECIPE and (own.resolve().parent / LAST).exists():
        return own.resolve().parent / LAST
    found = in_order(file.parent.parent for file in (root / recipe).glob(f"*/{LAST}"))
    if not found:
        raise ValueError(
            f"--ckpt_path {wanted}: no run of {recipe} below {root} has a {LAST}: leave --ckpt_path out to start one"
        )
    return found[-1] / LAST


def best_checkpoint(last: Path) -> Path:
    """The file that the `ModelCheckpoint` of a run considers the best, as its ``last.ckpt`` states."""
    states: Mapping[str, Any] = read_checkpoint(last).get("callbacks", {})
    names = [state["best_model_path"] for key, state in states.items() if key.startswith("ModelCheckpoint")]
    files = [last.parent / Path(name).name for name in names if name]  # the run may have been moved
    found = [file for file in files if file.exists()]
    if not found:
        raise ValueError(
            f"--ckpt_path best: {last.parent.parent} keeps no best checkpoint: train with "
            "--trainer.callbacks+=ModelCheckpoint --trainer.callbacks.monitor=loss/val, or take last"
        )
    return found[0]


def requeued_run(root: Path, recipe: str) -> Path | None:
    """The run of this SLURM job before it was requeued; None outside SLURM and when the job starts the first time."""
    if int(os.environ.get("SLURM_RESTART_COUNT", "0")) == 0:
        return None
    runs = reversed(in_order(file.parent for file in (root / recipe).glob(f"*/{SUMMARY}")))
    return next((run for run in runs if read_summary(run).get("slurm_job") == os.environ["SLURM_JOB_ID"]), None)
