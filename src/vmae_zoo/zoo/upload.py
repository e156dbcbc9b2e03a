"""``push``: weights, record, recipe, results and a model card to a repository on a Hugging Face Hub."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from torch import nn

import vmae_zoo
from vmae_zoo.compose import compose
from vmae_zoo.resources import find_recipe
from vmae_zoo.run_record import RECIPE, read_summary, run_of
from vmae_zoo.zoo import registry
from vmae_zoo.zoo.card import model_card
from vmae_zoo.zoo.hub_errors import friendly_errors
from vmae_zoo.zoo.load import load_full
from vmae_zoo.zoo.package import Package, package
from vmae_zoo.zoo.publishable import SUMMARY, keep_numbers, public_record, publishable
from vmae_zoo.zoo.resolve import resolve

UNREACHABLE = (
    ": check the connection and HF_HUB_OFFLINE, and push again; for a Hub without Xet storage, set HF_HUB_DISABLE_XET=1"
)
RESULTS = ("loss", "top1", "top5")  # metrics of a run that belong in its results; the others are speed and settings


def push(
    model_or_checkpoint: nn.Module | str | Path,
    repo: str,
    *,
    endpoint: str | None = None,
    private: bool = False,
    tag: str | None = None,
    dry_run: bool = False,
    branch: str | None = None,
    licence: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    recipe: str | Path | None = None,
    picture: str | Path | None = None,
    method: Any = None,
) -> str | None:
    """Upload a model to the Hub; `vmae_zoo.load_pretrained` loads it from there.

    Args:
        model_or_checkpoint: a method, a classifier, an encoder from `load_pretrained`, or what `load_pretrained` takes.
            The checkpoint of a run is uploaded with the run's recipe, summary and newest picture.
        repo: "org/repo"; created if it does not exist.
        endpoint: address of the Hub; None: that of huggingface_hub.
        private: a new repository is visible to its owners only.
        tag: tag for this commit.
        dry_run: print the contents and upload nothing.
        branch: branch to upload to; None: the main branch.
        licence: of the weights, an SPDX name; None: that of the weights it started from.
        metrics: numbers by name for the card; ``name_low`` and ``name_high`` are the bounds of an interval.
        recipe: a recipe file, or the name of a packaged one, if the checkpoint is in no run folder.
        picture: an image for the card, if the checkpoint is in no run folder.
        method: class of the checkpoint, if it is your own, see `load_pretrained`.

    Returns:
        The sha of the commit; None after a dry run.

    Raises:
        ValueError: the model, the repository or the licence prevents the upload, or the Hub cannot be reached.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = None
        if not isinstance(model_or_checkpoint, nn.Module):
            file = resolve(model_or_checkpoint).file
            run = run_of(file)
            model_or_checkpoint = load_full(model_or_checkpoint, method=method)
        write_repo(package(model_or_checkpoint), repo, folder, run, licence, metrics or {}, recipe, picture)
        if dry_run:
            print(preview(folder, repo))
            return None
        endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        with friendly_errors(repo, endpoint, branch, UNREACHABLE):
            api = HfApi(endpoint)
            try:
                api.create_repo(repo, private=private)
            except HfHubHTTPError as error:  # exists already: exist_ok fails on hubs other than Hugging Face's
                if error.response.status_code != 409:
                    raise
            if branch:
                api.create_branch(repo, branch=branch, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo, folder_path=folder, revision=branch, commit_message=f"vmae_zoo {vmae_zoo.__version__}"
            )
            if tag:
                api.create_tag(repo, tag=tag, revision=commit.oid, exist_ok=False)
        return commit.oid


def write_repo(
    model: Package,
    repo: str,
    folder: Path,
    run: Path | None,
    licence: str | None,
    metrics: Mapping[str, Any],
    recipe: str | Path | None,
    picture: str | Path | None,
) -> None:
    """Write the contents of the repository to ``folder``; ``run`` is the run's folder, the others as for `push`."""
    record = public_record(model.record)
    model, licence = Package(model.weights, record), choose_licence(model, licence)
    model.save(folder, licence)
    summary: dict[str, Any] = {}
    if run:
        recipe = recipe or next(run.glob(RECIPE), None)
        picture = picture or max((run / "pictures").glob("*.png"), key=lambda path: path.stat().st_mtime, default=None)
        stated = read_summary(run)
        summary = {name: publishable(stated[name], name) for name in SUMMARY if name in stated}
    measured = {name: value for name, value in summary.get("metrics", {}).items() if name.split("/")[0] in RESULTS}
    results = keep_numbers(measured | dict(metrics))
    (folder / "metrics.json").write_text(json.dumps({"summary": summary, "results": results}, indent=2) + "\n")
    settings = publishable(compose(find_recipe(recipe))) if recipe else {}
    if settings:
        (folder / "recipe.yaml").write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    image = f"picture{Path(picture).suffix}" if picture else None
    if picture and image:
        shutil.copyfile(picture, folder / image)
    (folder / "README.md").write_text(model_card(model, repo, licence, settings, summary, results, image))


def choose_licence(model: Package, given: str | None) -> str | None:
    """The licence to state: the given one, or that of the weights it started from.

    Raises:
        ValueError: the weights it started from forbid commercial use, and the given licence does not.
    """
    start = registry.entries().get(model.record["hparams"].get("init_from") or "")
    inherited = start.licence if start else model.inherited_licence
    if inherited == registry.UNKNOWN:
        inherited = None
    if given and inherited and registry.is_non_commercial(inherited) and not registry.is_non_commercial(given):
        raise ValueError(
            f"these weights derive from weights under {inherited}, not for commercial use: licence cannot be {given}"
        )
    return given or inherited


def preview(folder: Path, repo: str) -> str:
    """The list of files and the card."""
    files = [f"  {path.name:<20} {path.stat().st_size:>14,} bytes" for path in sorted(folder.iterdir())]
    return "\n".join([f"contents of {repo}:", *files, "", (folder / "README.md").read_text()])
