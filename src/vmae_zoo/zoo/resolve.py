"""From a name, path or address to a file of weights on this machine. Importing this module imports no torch."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.cache_folder import cache_folder
from vmae_zoo.zoo import SUFFIXES, registry
from vmae_zoo.zoo.pins import read_pin, sha256_of, store_pin
from vmae_zoo.zoo.registry import UNKNOWN, Entry

IN_FOLDER = ("model.safetensors", "checkpoints/last.ckpt", "pytorch_model.bin")
TIMM = "timm:"  # prefix of the names of timm's models


@dataclass(frozen=True)
class ResolvedFile:
    """A file of weights on this machine."""

    name: str
    file: Path
    entry: Entry | None = None
    commit: str | None = None
    sha256: str | None = None


def find_source(name_or_path: str | Path, task: str = "encoder") -> Path | Entry | str:
    """What a name means: a file of weights, an entry of the table, or an ``hf://`` address or ``timm:`` name.

    Nothing is read or downloaded.

    Raises:
        ValueError: there is no such file or entry, or the entry cannot be loaded for this task.
    """
    text = str(name_or_path)
    if text.startswith(("hf://", TIMM)):
        return text
    path = Path(text).expanduser()
    if path.exists() or path.is_symlink():
        return find_weights(path)
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        raise ValueError(f"{text}: no such file")
    entry = registry.find(text)
    check_task(entry.name, entry.task, task)  # before anything is downloaded
    return entry


def resolve(
    name_or_path: str | Path, *, task: str = "encoder", endpoint: str | None = None, revision: str | None = None
) -> ResolvedFile:
    """Find the file of weights; download it if it is on the Hub and not in the cache.

    Raises:
        ValueError: there is none, or it cannot be loaded for this task according to the table of checkpoints.
    """
    source = find_source(name_or_path, task)
    if isinstance(source, Path):
        return ResolvedFile(str(name_or_path), source)
    if isinstance(source, Entry):
        return resolve_entry(source, endpoint=endpoint, revision=revision)
    if source.startswith(TIMM):
        raise ValueError(f"{source}: timm downloads its models itself; load it, or start from it by init_from")
    from vmae_zoo.zoo import hub

    repo, file, address_revision = hub.parse_address(source)
    found = hub.fetch(repo, file, revision=revision or address_revision, endpoint=endpoint)
    entries = [entry for entry in registry.entries_of_repo(repo) if entry.source.get("file", file) == file]
    return ResolvedFile(source, found.path, entries[0] if len(entries) == 1 else None, found.commit, found.sha256)


def find_weights(path: Path) -> Path:
    """The file of weights at a path: the path itself, or the file in the folder."""
    if not path.is_dir():
        return path
    for name in IN_FOLDER:
        if (path / name).exists() or (path / name).is_symlink():
            return path / name
    raise ValueError(f"{path} contains none of {', '.join(IN_FOLDER)}: name the file")


def check_task(name: str, kind: str, task: str) -> None:
    """``ValueError`` unless weights of a kind ("pretrain", "classify" or "encoder") can be loaded for a task."""
    kinds = {
        "pretrain": "pre-training weights, with no classification head",
        "classify": "a fine-tuned classifier, without a decoder",
        "encoder": "an encoder alone, without a decoder, with no classification head",
    }
    if task not in ("encoder", kind):
        tasks = " or ".join(f"task={each!r}" for each in dict.fromkeys((kind, "encoder")))
        raise ValueError(f"{name} is {kinds[kind]}: load it with {tasks}")


def resolve_entry(entry: Entry, *, endpoint: str | None = None, revision: str | None = None) -> ResolvedFile:
    """The file of an entry: in the package, from the Hub, or downloaded by hand and registered."""
    digest = None if entry.sha256 == UNKNOWN or revision else entry.sha256
    if "bundled" in entry.source:
        file = _verified(registry.BUNDLED / entry.source["bundled"], entry)
        return ResolvedFile(entry.name, file, entry, sha256=digest)
    if "page" in entry.source:
        return _registered_download(entry)
    from vmae_zoo.zoo import hub

    repo, file_name = entry.source["hub"], entry.source.get("file")
    if file_name == UNKNOWN:
        raise ValueError(f"the file of {entry.name} in {repo} is not known: {entry.notes}")
    commit = None if entry.revision == UNKNOWN else entry.revision
    found = hub.fetch(
        repo,
        file_name,
        revision=revision or commit,
        endpoint=endpoint,
        sha256=digest,
        pin=revision is None and commit is None,
    )
    return ResolvedFile(entry.name, found.path, entry, found.commit, found.sha256)


def register_download(entry: Entry, given: Path) -> ResolvedFile:
    """Copy a file that was downloaded by hand into the cache folder, so that the entry's name loads it.

    Raises:
        ValueError: the entry is downloaded automatically, or the file is not the entry's.
    """
    from vmae_zoo.zoo.safe_load import read_weights

    if "page" not in entry.source:
        raise ValueError(f"{entry.name} is downloaded automatically: `vmae-zoo pull {entry.name}`")
    read_weights(given)  # raises if it is not a weights file
    _verified(given, entry)
    folder = manual_dir(entry)
    target = folder / f"weights{given.suffix}"
    with atomic_write(target) as partial:
        shutil.copyfile(given, partial)
    for other in folder.glob("*"):
        if other != target:
            other.unlink()
    digest = sha256_of(target)
    store_pin(entry.name, digest)
    return ResolvedFile(entry.name, target, entry, sha256=digest)


def manual_dir(entry: Entry) -> Path:
    """The folder for a file that was downloaded by hand."""
    return cache_folder() / "by_hand" / entry.name


def _registered_download(entry: Entry) -> ResolvedFile:
    files = sorted(manual_dir(entry).glob("weights.*"))
    if not files:
        what = entry.source.get("file") or f"the file with the id {entry.source.get('id')}"
        raise ValueError(
            f"{entry.name} must be downloaded by hand: get {what} from {entry.source['page']}, then run "
            f"`vmae-zoo pull {entry.name} --from FILE`, or load the file itself"
        )
    digest = read_pin(entry.name)
    if digest and sha256_of(files[0]) != digest:
        raise ValueError(f"{files[0]} has changed since it was pulled: pull {entry.name} again")
    return ResolvedFile(entry.name, _verified(files[0], entry), entry, sha256=digest)


def _verified(path: Path, entry: Entry) -> Path:
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: reinstall the package with `pip install --force-reinstall --no-deps vmae-zoo`"
        )
    if entry.sha256 != UNKNOWN and sha256_of(path) != entry.sha256:
        raise ValueError(f"{path} is not the file of {entry.name}: its sha256 differs from the table's")
    return path
