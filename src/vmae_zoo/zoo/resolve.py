"""Where the weights lie that a name, a path or an address means."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from vmae_zoo.cache_folder import cache_folder
from vmae_zoo.zoo import hub, registry
from vmae_zoo.zoo.pins import note, recall, sha256_of
from vmae_zoo.zoo.registry import UNKNOWN, Entry
from vmae_zoo.zoo.safe_load import read_weights

IN_FOLDER = ("model.safetensors", "checkpoints/last.ckpt", "pytorch_model.bin")


@dataclass(frozen=True)
class ResolvedFile:
    """A file of weights on this machine.

    Args:
        name: as the user gave it.
        file: of weights.
        entry: in the table of checkpoints, where it has one.
        commit: on the Hub, where it comes from there.
        sha256: where it was computed.
    """

    name: str
    file: Path
    entry: Entry | None = None
    commit: str | None = None
    sha256: str | None = None


def find_source(name_or_path: str | Path, task: str = "encoder") -> Path | Entry | str:
    """What a name, path or address means: a file or folder, an entry of the table, or an address on the Hub.

    Nothing is read or downloaded.

    Raises:
        ValueError: there is no such file or entry, or the entry cannot be loaded for this task.
    """
    text = str(name_or_path)
    if text.startswith("hf://"):
        return text
    path = Path(text).expanduser()
    if path.exists() or path.is_symlink():
        return weights_in(path)
    if path.suffix in (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pyth") or len(path.parts) > 1:
        raise ValueError(f"{text}: no such file")
    entry = registry.find(text)
    check_kind(entry, task)
    return entry


def locate(
    name_or_path: str | Path, *, task: str = "encoder", endpoint: str | None = None, revision: str | None = None
) -> ResolvedFile:
    """Find the file, and fetch it where it has to be.

    Raises:
        ValueError: there is none, or the table says that it is of another kind than the task.
    """
    source = find_source(name_or_path, task)
    if isinstance(source, str):
        repo, file, pinned = hub.address(source)
        found = hub.fetch(repo, file, revision=revision or pinned, endpoint=endpoint)
        entries = [entry for entry in registry.of_repository(repo) if entry.source.get("file", file) == file]
        return ResolvedFile(source, found.path, entries[0] if len(entries) == 1 else None, found.commit, found.sha256)
    if isinstance(source, Path):
        return ResolvedFile(str(name_or_path), source)
    return fetch_entry(source, endpoint=endpoint, revision=revision)


def weights_in(path: Path) -> Path:
    """The file of weights that a path means: itself, or the one in the folder."""
    if not path.is_dir():
        return path
    for name in IN_FOLDER:
        if (path / name).exists() or (path / name).is_symlink():
            return path / name
    raise ValueError(f"{path} holds none of {', '.join(IN_FOLDER)}: name the file")


def check_kind(entry: Entry, task: str) -> None:
    """Refuse a task that an entry cannot serve, before anything is downloaded."""
    if task in ("encoder", entry.task):
        return
    kinds = {"pretrain": "pre-training weights", "classify": "a fine-tuned classifier", "encoder": "an encoder alone"}
    raise ValueError(f"{entry.name} is {kinds[entry.task]}: load it with task='{entry.task}' or task='encoder'")


def fetch_entry(entry: Entry, *, endpoint: str | None = None, revision: str | None = None) -> ResolvedFile:
    """The file of an entry: from the package, from the Hub, or where `adopt` put it."""
    digest = None if entry.sha256 == UNKNOWN or revision else entry.sha256
    if "bundled" in entry.source:
        return ResolvedFile(
            entry.name, _checked(registry.BUNDLED / entry.source["bundled"], entry), entry, sha256=digest
        )
    if "page" in entry.source:
        adopted = sorted(manual_dir(entry).glob("*"))
        if not adopted:
            what = entry.source.get("file") or f"the file with the id {entry.source.get('id')}"
            raise ValueError(
                f"{entry.name} is downloaded by hand: get {what} from {entry.source['page']}, then run "
                f"`vmae-zoo pull {entry.name} --from FILE`, or load the file itself"
            )
        seen = recall(entry.name)
        if seen and sha256_of(adopted[0]) != seen:
            raise ValueError(f"{adopted[0]} has changed since it was pulled: pull {entry.name} again")
        return ResolvedFile(entry.name, _checked(adopted[0], entry), entry, sha256=seen)
    repo, file = entry.source["hub"], entry.source.get("file")
    if file == UNKNOWN:
        raise ValueError(f"{entry.name} lives in {repo} under a name that is not confirmed: {entry.notes}")
    known = None if entry.revision == UNKNOWN else entry.revision
    found = hub.fetch(
        repo, file, revision=revision or known, endpoint=endpoint, sha256=digest, pin=revision is None and known is None
    )
    return ResolvedFile(entry.name, found.path, entry, found.commit, found.sha256)


def manual_dir(entry: Entry) -> Path:
    """The folder for a file that was downloaded by hand."""
    return cache_folder() / "manual_dir" / entry.name


def adopt(entry: Entry, given: Path) -> ResolvedFile:
    """Take over a file that was downloaded by hand, so that the entry's name loads it from now on.

    Raises:
        ValueError: the entry is fetched otherwise, or the file is not the entry's.
    """
    if "page" not in entry.source:
        raise ValueError(f"{entry.name} is not downloaded by hand: `vmae-zoo pull {entry.name}` fetches it")
    read_weights(given)  # refuses what is no file of weights
    _checked(given, entry)
    folder = manual_dir(entry)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    partial = folder.with_name(f".{entry.name}.partial")
    shutil.copyfile(given, partial)
    target = folder / f"weights{given.suffix}"
    partial.replace(target)
    digest = sha256_of(target)
    note(str(entry.name), digest)
    return ResolvedFile(entry.name, target, entry, sha256=digest)


def _checked(path: Path, entry: Entry) -> Path:
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: reinstall the package with `pip install --force-reinstall --no-deps vmae-zoo`"
        )
    if entry.sha256 != UNKNOWN and sha256_of(path) != entry.sha256:
        raise ValueError(f"{path} is not the file that the table means by {entry.name}: its sha256 differs")
    return path
