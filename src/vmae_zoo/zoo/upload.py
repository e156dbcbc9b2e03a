"""``push``: weights, settings, recipe, numbers and a card, to a repository on a Hugging Face Hub."""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import save_file
from torch import Tensor, nn

import vmae_zoo
from vmae_zoo.methods.base import Method
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.zoo import registry
from vmae_zoo.zoo.build import LoadReport, SkipInit, build, construct, evaluated_part
from vmae_zoo.zoo.card import CardData, model_card
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec
from vmae_zoo.zoo.hub_errors import explained
from vmae_zoo.zoo.load import read
from vmae_zoo.zoo.resolve import locate

SCORES = ("loss", "top1", "top5")  # what of a run's numbers is a result; the rest is speed and settings
PATHS = re.compile(r"(?<![\w.:/])(?:~|\.\.)?/(?:[^\s:'\",\[\]{}]+/)*(?=[^\s:'\",\[\]{}/])")


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
) -> str | None:
    """Put a model on the Hub, readable by `load_pretrained` and by people.

    Args:
        model_or_checkpoint: a method, a classifier, an encoder from `load_pretrained`, or what `load_pretrained` takes.
            The checkpoint of a run brings the run's recipe, summary and newest picture along.
        repo: "org/repo"; it is made where there is none.
        endpoint: address of the Hub; None: the usual one.
        private: a new repository is visible to its owners only.
        tag: name this state.
        dry_run: show what would go, and send nothing.
        branch: other than the main one.
        licence: of the weights, an SPDX name; None: that of the weights it started from.
        metrics: numbers by name for the card; ``name_low`` and ``name_high`` beside a ``name`` make an interval.
        recipe: a recipe file, where the checkpoint lies in no run folder.
        picture: an image for the card, likewise.

    Returns:
        The commit's sha; None after a dry run.

    Raises:
        ValueError: in one sentence, why nothing was sent.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(model_or_checkpoint, repo, folder, licence, metrics, recipe, picture)
        if dry_run:
            print(preview(folder, repo))
            return None
        endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        with explained(repo, endpoint, branch):
            api = HfApi(endpoint)
            try:
                api.create_repo(repo, private=private)
            except HfHubHTTPError as error:  # it may be there; exist_ok fails on other hubs than Hugging Face's
                if error.response.status_code != 409:
                    raise
            if branch:
                api.create_branch(repo, branch=branch, exist_ok=True)
            sent = api.upload_folder(
                repo_id=repo, folder_path=folder, revision=branch, commit_message=f"vmae_zoo {vmae_zoo.__version__}"
            )
            if tag:
                api.create_tag(repo, tag=tag, revision=sent.oid, exist_ok=False)
        return sent.oid


def prepare(
    model_or_checkpoint: nn.Module | str | Path,
    repo: str,
    folder: Path,
    licence: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    recipe: str | Path | None = None,
    picture: str | Path | None = None,
) -> None:
    """Write everything that goes into ``folder``."""
    run = None
    if not isinstance(model_or_checkpoint, nn.Module):
        file = locate(model_or_checkpoint).file
        run = file.parent.parent if file.parent.name == "checkpoints" else None
        model_or_checkpoint = whole(model_or_checkpoint)
    method, part = method_of(model_or_checkpoint)
    licence = licence_of(method, model_or_checkpoint, licence)
    record = {"vmae_zoo": vmae_zoo.__version__, **plain_record(method), "part": part, "licence": licence}
    weights = {name: value for name, value in method.state_dict().items() if name.startswith(part)}
    save_weights(weights, record, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(record, indent=2) + "\n")

    recipe = Path(recipe) if recipe else run / "recipe.yaml" if run and (run / "recipe.yaml").is_file() else None
    told = public(recipe.read_text()) if recipe else None
    if told:
        (folder / "recipe.yaml").write_text(told)
    summary = json.loads((run / "summary.json").read_text()) if run and (run / "summary.json").is_file() else {}
    measured = {name: value for name, value in summary.get("metrics", {}).items() if name.split("/")[0] in SCORES}
    results = {**measured, **(metrics or {})}
    (folder / "metrics.json").write_text(json.dumps({"summary": summary, "results": results}, indent=2) + "\n")
    pictures = sorted((run / "pictures").glob("*.png"), key=lambda path: path.stat().st_mtime) if run else []
    picture = Path(picture) if picture else pictures[-1] if pictures else None
    if picture:
        shutil.copyfile(picture, folder / f"picture{picture.suffix}")
    story = CardData(
        repo=repo,
        part=part.rstrip("."),
        licence=licence,
        recipe=yaml.safe_load(told) if told else {},
        summary=summary,
        results=results,
        picture=f"picture{picture.suffix}" if picture else None,
    )
    (folder / "README.md").write_text(model_card(method, story))


def whole(checkpoint: str | Path, **told: Any) -> nn.Module:
    """All that a file holds: a classifier, a method, or an encoder; ``told`` as for `load_pretrained`."""
    located = locate(checkpoint)
    heads = told.pop("predictor_num_heads", None)  # a predictor takes the place of a decoder
    told = {**told, "decoder_num_heads": told.get("decoder_num_heads") or heads}
    described, layout, licence = read(located, LoadHints(located.name, **told))
    outside = [name for name in described.tensors if not name.startswith(evaluated_part(described))]
    task = "classify" if described.method == "Classifier" and outside else "pretrain" if outside else "encoder"
    return build(
        described,
        task=task,
        source=located.name,
        layout=layout,
        licence=licence,
        revision=located.commit,
        sha256=located.sha256,
    )


def method_of(model: nn.Module) -> tuple[Method, str]:
    """The method that a model is, or is the encoder of, and the beginning of the names that go: "" or "encoder."."""
    if isinstance(model, Method):
        return model, ""
    loaded = getattr(model, "loaded", None)
    if isinstance(model, Encoder) and isinstance(loaded, LoadReport):
        described = ModelSpec(loaded.method, loaded.hparams, dict(model.named_parameters()))
        with SkipInit():
            method = construct(described, loaded.source)
        part = method.evaluated_part(method.hparams)
        setattr(method, part, model)
        return method, f"{part}."
    raise ValueError(
        f"a {type(model).__name__} cannot be pushed: give a method, a classifier, an encoder from load_pretrained, or "
        "a checkpoint"
    )


def licence_of(method: Method, model: nn.Module, given: str | None) -> str | None:
    """The licence to state: as given, else that of the weights it was made from.

    Raises:
        ValueError: those forbid commercial use and the given one does not.
    """
    inherited = getattr(getattr(model, "loaded", None), "licence", None)
    start = method.hparams.get("init_from")
    if start in registry.table():
        inherited = registry.table()[start].licence
    if inherited == registry.UNKNOWN:
        inherited = None
    if given and inherited and registry.is_non_commercial(inherited) and not registry.is_non_commercial(given):
        raise ValueError(
            f"these weights come from ones under {inherited}, not for commercial use: licence cannot be {given}"
        )
    return given or inherited


def plain_record(method: Method) -> dict[str, Any]:
    """The method's record, fit for others' eyes: a path that it started from loses its folders."""
    record = method.export_config()
    paths = {name: record["hparams"].get(name) for name in ("init_from", "teacher")}
    plain = {name: public(str(path)) for name, path in paths.items() if path}
    return {**record, "hparams": record["hparams"] | plain}


def save_weights(weights: dict[str, Tensor], record: Mapping[str, Any], path: Path) -> None:
    """Write a file that says itself what it is."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    save_file(plain, path, {"format": "pt", "vmae_zoo": json.dumps(record)})


def public(recipe: str) -> str:
    """A recipe without the folders of the machine it ran on: of a path only the last part stays."""
    return PATHS.sub("", recipe)


def preview(folder: Path, repo: str) -> str:
    """What would go, file by file, and the card."""
    files = [f"  {path.name:<20} {path.stat().st_size:>14,} bytes" for path in sorted(folder.iterdir())]
    return "\n".join([f"would go to {repo}:", *files, "", (folder / "README.md").read_text()])
