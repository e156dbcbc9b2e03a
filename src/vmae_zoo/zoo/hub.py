"""Downloads from a Hugging Face Hub: pinned, verified, resumable, and without network access for cached files.

Files are stored in the cache of huggingface_hub, where other programs find them. This module adds to its client: an
interrupted download resumes, also in another process; the content is compared with its sha256; an unreachable Hub is
detected within seconds.
"""

import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, tqdm

from vmae_zoo.zoo import SUFFIXES
from vmae_zoo.zoo.hub_errors import HubUnreachableError, friendly_errors, is_network_error, redact
from vmae_zoo.zoo.pins import read_pin, sha256_of, store_pin

STALL_SECONDS = 30.0  # in which at least MIN_BYTES of a download must arrive
MIN_BYTES = 10_000
MAX_SHORT = 10  # connections in a row that break before MIN_BYTES
_KEPT = "what arrived is kept; pull again later to continue"
TIMEOUT = 5.0  # seconds until a Hub that does not answer counts as unreachable
SIDE_FILES = ("config.json", "preprocessor_config.json")  # downloaded with the weights
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order of preference
COMMIT = re.compile(r"[0-9a-f]{40}")


class HubFile(NamedTuple):
    """A downloaded file of weights, its commit (full sha) and its sha256; side files are in the same folder."""

    path: Path
    commit: str
    sha256: str


def parse_address(text: str) -> tuple[str, str | None, str | None]:
    """Split ``hf://org/repo[/file][@revision]`` into (org/repo, file, revision); ``ValueError`` if it is not one."""
    rest, _, revision = text.removeprefix("hf://").partition("@")
    parts = rest.split("/")
    if len(parts) < 2 or not all(parts) or any(part in (".", "..") for part in parts):
        raise ValueError(
            f"{text!r} is not an address: write hf://org/repo, hf://org/repo/file or hf://org/repo@revision"
        )
    return "/".join(parts[:2]), "/".join(parts[2:]) or None, revision or None


def fetch(
    repo: str,
    file: str | None = None,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    sha256: str | None = None,
    pin: bool = False,
) -> HubFile:
    """Download the weights of a repository, unless they are in the cache.

    Args:
        repo: "org/repo".
        file: of the weights; None: model.safetensors, else pytorch_model.bin, else the only file of weights.
        revision: branch, tag or commit; None: the main branch.
        endpoint: address of the Hub; None: huggingface_hub's.
        sha256: expected digest; None: the digest at the first download.
        pin: use the commit that this revision had at the first download.

    Raises:
        ValueError: there are no such weights, or they differ from the expected digest.
    """
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    commit = commit_of(repo, revision or "main", endpoint, pin)
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    snapshot = folder / "snapshots" / commit
    name = file or _find_weights([path.name for path in snapshot.glob("*")])
    if name is None or not (snapshot / name).exists():
        with friendly_errors(repo, endpoint, commit):
            there = HfApi(endpoint).model_info(repo, revision=commit, timeout=TIMEOUT).siblings or []
            listed = [sibling.rfilename for sibling in there]
            if outside := next((n for n in listed if set(n.split("/")) & {"", ".", ".."} or "\\" in n), None):
                raise ValueError(f"{repo} lists a path outside itself ({outside!r}): do not use it")
            name = file or _find_weights(listed)
            if name is None or name not in listed:
                what = file or f"one file of weights ({', '.join(WEIGHTS)})"
                raise ValueError(f"{repo} at {commit[:8]} has no {what}: it has {', '.join(listed[:8]) or 'nothing'}")
            for side in SIDE_FILES:
                if side in listed:
                    hf_hub_download(repo, side, revision=commit, endpoint=endpoint)
            _download(repo, name, commit, endpoint, folder)
    path = snapshot / name
    _check_inside(path, folder)
    return HubFile(path, commit, _checked_digest(path, f"{redact(endpoint)}/{repo}/{name}@{commit}", sha256))


def commit_of(repo: str, revision: str, endpoint: str, pin: bool = False) -> str:
    """The commit of a revision: from the Hub, or as last seen if the Hub is unreachable."""
    if COMMIT.fullmatch(revision):
        return revision
    key = f"{redact(endpoint)}/{repo}@{revision}"
    pinned = read_pin(key)
    if pin and pinned:
        return pinned
    try:
        with friendly_errors(repo, endpoint, revision):
            found = HfApi(endpoint).model_info(repo, revision=revision, timeout=TIMEOUT).sha
    except HubUnreachableError:
        if pinned:
            return pinned
        raise
    if found is None or not COMMIT.fullmatch(found):
        raise ValueError(f"{redact(endpoint)} does not state the commit of {repo}: give revision, a full commit sha")
    store_pin(key, found)
    return found


def _find_weights(names: list[str]) -> str | None:
    known = [name for name in WEIGHTS if name in names]
    others = [name for name in names if name.endswith(SUFFIXES)]
    return known[0] if known else others[0] if len(others) == 1 else None


def _download(repo: str, name: str, commit: str, endpoint: str, folder: Path) -> None:
    """Download a file into the cache; resume an interrupted download."""
    url = hf_hub_url(repo, name, revision=commit, endpoint=endpoint)
    meta = get_hf_file_metadata(url, timeout=TIMEOUT, token=None, endpoint=endpoint)
    etag = meta.etag or ""
    if meta.size is None or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", etag):
        raise ValueError(f"{redact(endpoint)} states no size or digest of {repo}/{name}: it cannot be verified")
    blob = folder / "blobs" / etag
    partial = blob.with_name(f"{etag}.partial")
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.parent / ".locks" / folder.name / f"{etag}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not blob.exists():
            _check_space(partial, meta.size, f"{repo}/{name}")
            _receive(url, partial, meta.size)
            if len(etag) == 64 and sha256_of(partial) != etag:
                partial.unlink()
                raise ValueError(f"{repo}/{name} was downloaded with a wrong sha256: pull it again")
            partial.replace(blob)
    hf_hub_download(repo, name, revision=commit, endpoint=endpoint)  # finds the content and makes the link


def _check_space(partial: Path, size: int, name: str) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    free = shutil.disk_usage(partial.parent).free
    if size - have > free:
        raise ValueError(
            f"{name} has {size:,} bytes according to the Hub, and {partial.parent} has {free:,} bytes free: free some "
            "space, or set HF_HOME to a folder on a larger disk"
        )


def _receive(url: str, partial: Path, size: int) -> None:
    """Append the rest of a file; reconnect after a broken connection, as long as enough data arrives.

    Raises:
        ValueError: fewer than `MIN_BYTES` arrived in `STALL_SECONDS`, over all connections.
    """
    meter = _Meter()
    with partial.open("ab") as file, tqdm(desc=partial.name[:8], total=size, unit="B", unit_scale=True) as bar:
        bar.update(file.tell())
        while file.tell() < size:
            start = file.tell()
            headers = build_hf_headers() | {"Accept-Encoding": "identity", "Range": f"bytes={start}-"}
            try:
                with get_session().stream(
                    "GET", url, headers=headers, follow_redirects=True, timeout=STALL_SECONDS
                ) as answer:
                    hf_raise_for_status(answer)
                    if answer.status_code != 206:  # the server sends the whole file
                        file.truncate(0)
                    for chunk in answer.iter_raw():
                        file.write(chunk)
                        meter.add(len(chunk), file.tell())
                        bar.update(len(chunk))
                        if file.tell() > size:
                            raise ValueError(
                                f"the Hub sent more than the {size:,} bytes it announced: pull again later"
                            )
            except Exception as error:
                if not is_network_error(error):
                    raise
                if file.tell() <= start:
                    if "Timeout" in type(error).__name__:
                        raise ValueError(_gave_up(0, start)) from None
                    raise
                meter.broken(file.tell() - start)
            else:
                return


class _Meter:
    """Ends a download that brings next to nothing, within a connection or over many short ones."""

    def __init__(self) -> None:
        self.since, self.received, self.short = time.monotonic(), 0, 0

    def add(self, received: int, total: int) -> None:
        """Count received bytes."""
        self.received += received
        if time.monotonic() - self.since < STALL_SECONDS:
            return
        if self.received < MIN_BYTES:
            raise ValueError(_gave_up(self.received, total))
        self.since, self.received = time.monotonic(), 0

    def broken(self, received: int) -> None:
        """Count a broken connection."""
        self.short = self.short + 1 if received < MIN_BYTES else 0
        if self.short == MAX_SHORT:
            raise ValueError(f"{MAX_SHORT} connections in a row broke before {MIN_BYTES:,} bytes arrived: {_KEPT}")


def _gave_up(received: int, total: int) -> str:
    return f"the Hub sent {received:,} bytes in {STALL_SECONDS} seconds, {total:,} in total: {_KEPT}"


def _check_inside(path: Path, folder: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} links out of the cache, to {path.resolve()}: delete it and pull again")


def _checked_digest(path: Path, key: str, expected: str | None) -> str:
    digest = sha256_of(path)
    known = expected or read_pin(key)
    if known and digest != known:
        raise ValueError(
            f"{path} has sha256 {digest}, and {'the table of checkpoints' if expected else 'the first download'} has "
            f"{known}: do not use it; delete it and pull again"
        )
    if not known:
        store_pin(key, digest)
    return digest
