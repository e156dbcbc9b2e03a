"""Fetching from a Hugging Face Hub: pinned, checked, resumable, and without the network where the cache has it.

Files lie in huggingface_hub's own cache, where every program finds them. Its client does the talking; what it lacks is
here: a cut download goes on where it stopped even in another process, the content is compared with its sha256, and a
Hub that cannot be reached is found out in seconds.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, tqdm

from vmae_zoo.zoo.hub_errors import OutOfReachError, explained, is_network, plain
from vmae_zoo.zoo.pins import note, recall, sha256_of
from vmae_zoo.zoo.safe_load import SUFFIXES

PATIENCE = 5.0  # seconds until a Hub that does not answer counts as out of reach
SIDE_FILES = ("config.json", "preprocessor_config.json")  # small, fetched with the weights
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order of preference
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Fetched:
    """A file of weights from the Hub, with its side files in the same folder.

    Args:
        path: of the weights, in the cache.
        commit: full sha of the revision.
        sha256: of the weights.
    """

    path: Path
    commit: str
    sha256: str


def address(text: str) -> tuple[str, str | None, str | None]:
    """``hf://org/repo[/file][@revision]`` taken apart: (org/repo, file, revision).

    Raises:
        ValueError: it is not one.
    """
    rest, _, revision = text.removeprefix("hf://").partition("@")
    parts = rest.split("/")
    if len(parts) < 2 or not all(parts) or any(part in (".", "..") for part in parts):
        raise ValueError(f"{text!r} is no address: write hf://org/repo, hf://org/repo/file or hf://org/repo@revision")
    return "/".join(parts[:2]), "/".join(parts[2:]) or None, revision or None


def fetch(
    repo: str,
    file: str | None = None,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    sha256: str | None = None,
    pin: bool = False,
) -> Fetched:
    """The weights of a repository, from the cache where it has them.

    Args:
        repo: "org/repo".
        file: of the weights; None: model.safetensors, else pytorch_model.bin, else the only file of weights there is.
        revision: branch, tag or commit; None: the main branch.
        endpoint: address of the Hub; None: huggingface_hub's.
        sha256: that the weights must have; None: that they had when first seen.
        pin: stay at the commit that this revision stood for when first asked for.

    Raises:
        ValueError: in one sentence, why there are none.
    """
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    commit = commit_of(repo, revision or "main", endpoint, pin)
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    snapshot = folder / "snapshots" / commit
    name = file or _weights_among([path.name for path in snapshot.glob("*")])
    if name is None or not (snapshot / name).exists():
        with explained(repo, endpoint, commit):
            there = HfApi(endpoint).model_info(repo, revision=commit, timeout=PATIENCE).siblings or []
            listed = [sibling.rfilename for sibling in there]
            if outside := next((n for n in listed if set(n.split("/")) & {"", ".", ".."} or "\\" in n), None):
                raise ValueError(f"{repo} names a place outside itself ({outside!r}): do not use it")
            name = file or _weights_among(listed)
            if name is None or name not in listed:
                what = file or f"one file of weights ({', '.join(WEIGHTS)})"
                raise ValueError(f"{repo} at {commit[:8]} has no {what}: it has {', '.join(listed[:8]) or 'nothing'}")
            for side in SIDE_FILES:
                if side in listed:
                    hf_hub_download(repo, side, revision=commit, endpoint=endpoint)
            _download(repo, name, commit, endpoint, folder)
    path = snapshot / name
    _check_inside(path, folder)
    return Fetched(path, commit, _checked_digest(path, f"{plain(endpoint)}/{repo}/{name}@{commit}", sha256))


def commit_of(repo: str, revision: str, endpoint: str, pin: bool = False) -> str:
    """The commit that a revision stands for: asked of the Hub, or what it was when the Hub was last in reach."""
    if COMMIT.fullmatch(revision):
        return revision
    key = f"{plain(endpoint)}/{repo}@{revision}"
    pinned = recall(key)
    if pin and pinned:
        return pinned
    try:
        with explained(repo, endpoint, revision):
            found = HfApi(endpoint).model_info(repo, revision=revision, timeout=PATIENCE).sha
    except OutOfReachError:
        if pinned:
            return pinned
        raise
    if found is None or not COMMIT.fullmatch(found):
        raise ValueError(f"{plain(endpoint)} does not say which commit {repo} is at: give revision, a full commit sha")
    note(key, found)
    return found


def _weights_among(names: list[str]) -> str | None:
    known = [name for name in WEIGHTS if name in names]
    others = [name for name in names if name.endswith(SUFFIXES)]
    return known[0] if known else others[0] if len(others) == 1 else None


def _download(repo: str, name: str, commit: str, endpoint: str, folder: Path) -> None:
    """Put a file into the cache; what an earlier try left of it is gone on with."""
    url = hf_hub_url(repo, name, revision=commit, endpoint=endpoint)
    meta = get_hf_file_metadata(url, timeout=PATIENCE, token=None, endpoint=endpoint)
    etag = meta.etag or ""
    if meta.size is None or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", etag):
        raise ValueError(f"{plain(endpoint)} gives no size and digest of {repo}/{name}: it is not read")
    blob = folder / "blobs" / etag
    partial = blob.with_name(f"{etag}.partial")
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.parent / ".locks" / folder.name / f"{etag}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not blob.exists():
            _receive(url, partial, meta.size)
            if len(etag) == 64 and sha256_of(partial) != etag:
                partial.unlink()
                raise ValueError(f"{repo}/{name} did not arrive as its sha256 says: pull it again")
            partial.replace(blob)
    hf_hub_download(repo, name, revision=commit, endpoint=endpoint)  # finds the content, makes the link


def _receive(url: str, partial: Path, size: int) -> None:
    """Fill a file from where it ends; broken connections are taken up again while each try brings something."""
    with partial.open("ab") as file, tqdm(desc=partial.name[:8], total=size, unit="B", unit_scale=True) as bar:
        bar.update(file.tell())
        while file.tell() < size:
            start = file.tell()
            headers = build_hf_headers() | {"Accept-Encoding": "identity", "Range": f"bytes={start}-"}
            try:
                with get_session().stream("GET", url, headers=headers, follow_redirects=True) as answer:
                    hf_raise_for_status(answer)
                    if answer.status_code != 206:  # the whole file again
                        file.truncate(0)
                    for chunk in answer.iter_raw():
                        file.write(chunk)
                        bar.update(len(chunk))
                        if file.tell() > size:
                            raise ValueError(
                                f"the Hub sends more than the {size:,} bytes it announced: pull again later"
                            )
            except Exception as error:
                if not is_network(error) or file.tell() <= start:
                    raise
            else:
                return


def _check_inside(path: Path, folder: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} leads out of the cache, to {path.resolve()}: delete it and pull again")


def _checked_digest(path: Path, key: str, expected: str | None) -> str:
    digest = sha256_of(path)
    seen = expected or recall(key)
    if seen and digest != seen:
        raise ValueError(
            f"{path} has sha256 {digest}, and {'the table of checkpoints' if expected else 'the file first seen'} has "
            f"{seen}: do not use it; delete it and pull again"
        )
    if not seen:
        note(key, digest)
    return digest
