"""What a resumed run changes: settings that differ from its recipe act and are listed, or are refused."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vmae_zoo.run_record import LAST, RECIPE, flat_settings, read_run_recipe, read_summary

COMPARED = ("seed_everything", "model", "data", "trainer", "ema", "finite")  # groups that change what is computed
NOT_COMPARED = {  # settings of these groups that do not
    "trainer": (
        "default_root_dir",
        "enable_checkpointing",
        "enable_model_summary",
        "enable_progress_bar",
        "log_every_n_steps",
        "logger",
        "num_sanity_val_steps",
        "profiler",
    ),
    "data": ("memory_mb", "pin_memory", "prefetch", "seed", "wait_minutes", "workers"),
}
CLIPS = "ClipDataModule"  # the data module of recipes that name none
AT_START = ("model.init_from", "model.trained_frames", "model.trained_image_size")  # act only on a run that begins


class Change(NamedTuple):
    """A setting that differs from the recipe of the run."""

    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name} {_shown(self.before)} -> {_shown(self.now)}"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """The settings that differ and change what is computed; those that only one of two versions has are left out."""
    return list(_differences(dict(_flat(before)), dict(_flat(now))))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys([*new, *old]):
        if name in old and name in new:
            if old[name] != new[name]:
                yield from _entries(name, old[name], new[name])
        elif name in new and (group := _group(old, name)):  # which is one value now
            yield Change(name, group, new[name])
        elif name in old and (group := _group(new, name)):
            yield Change(name, old[name], group)


def _entries(name: str, old: Any, new: Any) -> Iterator[Change]:
    """The change of a setting or, in lists of as many groups of settings, the changes of each group."""
    both = [*old, *new] if isinstance(old, list) and isinstance(new, list) and len(old) == len(new) else []
    if not both or not all(isinstance(entry, Mapping) for entry in both):
        yield Change(name, old, new)
        return
    for number, pair in enumerate(zip(old, new, strict=True)):
        yield from _differences(*(dict(flat_settings(entry, _class_name, f"{name}.{number}")) for entry in pair))


def _group(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key.removeprefix(f"{name}."): value for key, value in settings.items() if key.startswith(f"{name}.")}


def read_whole_recipe(run: Path) -> dict[str, Any]:
    """The recipe of a run; empty if the file is damaged or missing."""
    found = read_run_recipe(run)
    return found if {"model", "data", "trainer"} <= found.keys() else {}


def check_changes(run: Path, found: Iterable[Change]) -> None:
    """``ValueError`` for a setting that a run cannot change."""
    for change in found:
        name, cure = change.name, f"give the setting of the run, or all of them by -c {run / RECIPE}"
        if name in ("model", "data"):
            raise ValueError(f"{change}: a run cannot be resumed with another class: {cure}")
        if name in ("data.root", "data.sources") and change.now is None:
            raise ValueError(f"{change}: {run} was trained on videos that this command does not name: {cure}")
        if name in AT_START:
            raise ValueError(f"{change}: acts only when a run starts, not on {run / LAST}: {cure}")


def steps_left(run: Path | None, checkpoint: Mapping[str, Any], trainer: Mapping[str, Any]) -> bool:
    """Whether a resumed run has anything to train; ``ValueError`` if it is longer already than is asked for."""
    step, epoch = checkpoint["global_step"], _epochs_done(run, checkpoint)
    max_steps, max_epochs = trainer.get("max_steps") or -1, trainer.get("max_epochs") or -1
    for name, limit, done in (("max_steps", max_steps, step), ("max_epochs", max_epochs, epoch)):
        if 0 < limit < done:
            raise ValueError(
                f"trainer.{name} = {limit} is less than the {done} that {run or 'the checkpoint'} has trained: raise it"
            )
    return not (max_steps == step or max_epochs == epoch)


def _epochs_done(run: Path | None, checkpoint: Mapping[str, Any]) -> int:
    position = checkpoint.get("ClipDataModule") or {}
    summary = read_summary(run) if run else {}
    if "epoch" in position:
        return position["epoch"]
    finished = summary.get("state") == "finished" and summary.get("steps") == checkpoint["global_step"]
    return summary["epochs"] if finished else checkpoint["epoch"]


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for group in COMPARED:
        hidden = NOT_COMPARED.get(group, ())
        if group == "data" and "class_path" not in (settings.get(group) or {}):
            yield group, CLIPS
        for name, value in flat_settings(settings.get(group), _class_name, group):
            if name.removeprefix(f"{group}.").partition(".")[0] not in hidden:
                yield name, list(value) if isinstance(value, tuple) else value


def _class_name(path: str) -> str:
    return CLIPS if path.endswith(f".{CLIPS}") else path


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "class_path" in value:
        return str(value["class_path"]).rpartition(".")[2]
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_shown(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return "null" if value is None else str(value)
