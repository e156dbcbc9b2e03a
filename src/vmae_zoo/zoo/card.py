"""The model card: what to know before using weights."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCardData

import vmae_zoo
from vmae_zoo.compose import settings_of
from vmae_zoo.methods.registry import CLASS_NAMES
from vmae_zoo.zoo.package import Package
from vmae_zoo.zoo.registry import is_non_commercial

FACTS = ("recipe", "steps", "epochs", "samples", "seconds", "device", "precision")  # of a run's summary
SETTINGS = ("base_lr", "lr", "min_lr", "weight_decay", "betas", "warmup_epochs", "warmup_steps", "mask_ratio")
REPLACED_BY = {"base_lr": "lr", "warmup_epochs": "warmup_steps"}  # which is used if both are there


def model_card(
    model: Package,
    repo: str,
    licence: str | None,
    recipe: Mapping[str, Any],
    summary: Mapping[str, Any],
    results: Mapping[str, Any],
    picture: str | None,
) -> str:
    """The README.md of a repository, including its front matter; what is empty or None is left out.

    Results ``name_low`` and ``name_high`` are the bounds of an interval.
    """
    class_name = model.record["method"].rpartition(".")[2]
    task = "encoder" if model.encoder_only else model.record["task"]
    sections = [
        f"# {repo.rpartition('/')[2]}",
        model_section(model, class_name, task),
        "## Use\n\n" + use_section(model, repo, task),
        "## Data\n\n" + data_section(recipe),
        "## Training\n\n" + training_section(model.record, recipe, summary),
        "## Results\n\n" + results_table(results),
        *([f"## Reconstructions\n\n![clips, masks and predictions]({picture})"] if picture else []),
        "## Licence\n\n" + licence_section(licence),
        f"Written by [vmae_zoo](https://pypi.org/project/vmae-zoo/) {vmae_zoo.__version__}.",
    ]
    front = ModelCardData(
        license=licence.lower() if licence else "unknown",
        library_name="vmae_zoo",
        tags=["video", "vmae_zoo", class_name.lower()],
        pipeline_tag="video-classification" if task == "classify" else None,
    )
    return f"---\n{front.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def model_section(model: Package, class_name: str, task: str) -> str:
    """Architecture, number of parameters and input."""
    encoder, expects = model.record["encoder"], model.record["preprocessing"]
    parameters = sum(value.numel() for value in model.weights.values())
    classes = model.record["hparams"].get("num_classes") if task == "classify" else None
    shape = f"The encoder has {encoder['depth']} blocks of width {encoder['width']}. " if encoder else ""
    at = f" at {expects['fps']:g} frames per second" if expects["sampling"] == "span" else ""
    mean, std = (", ".join(f"{value:g}" for value in expects[name]) for name in ("mean", "std"))
    return (
        f"{'The encoder of a ' if model.encoder_only else ''}{class_name}{f': {model.paper}' if model.paper else ''}"
        f"\n\n{shape}{parameters:,} parameters in total.{f' {classes} classes.' if classes else ''} "
        f"Input: clips of {expects['frames']} frames, {expects['stride_frames']} frames of the video apart{at} "
        f"({expects['sampling']} sampling), {expects['size']} x {expects['size']} pixels, RGB in [0, 1], normalized "
        f"with mean ({mean}) and standard deviation ({std})."
    )


def use_section(model: Package, repo: str, task: str) -> str:
    """How to load it."""
    expects, method = model.record["preprocessing"], model.record["method"]
    shape = f"(1, 3, {expects['frames']}, {expects['size']}, {expects['size']})"
    own_class = "" if method in CLASS_NAMES else f', method="{method}"'
    lines = [
        "import torch",
        "import vmae_zoo",
        "",
        f'encoder = vmae_zoo.load_pretrained("hf://{repo}")',
        f"clip = torch.zeros({shape})  # normalized as encoder.preprocessing states",
        "feature = encoder.pool(encoder(clip))",
    ]
    if not model.encoder_only:
        lines.append(f'model = vmae_zoo.load_pretrained("hf://{repo}", task="{task}"{own_class})')
    return "\n".join(["```python", *lines, "```"])


def data_section(recipe: Mapping[str, Any]) -> str:
    """The training data, according to the recipe."""
    data = settings_of(recipe.get("data"))
    if not data:
        return "Not stated."
    root = data.get("root")
    where = f"`{str(root).rstrip('/').rpartition('/')[2]}`" if root else "the clips embedded in vmae_zoo (demo)"
    names = ("layout", "split", "frames", "stride_frames", "size")
    settings = ", ".join(f"{name} {data[name]}" for name in names if data.get(name))
    return f"Trained on {where}{f': {settings}' if settings else ''}."


def training_section(record: Mapping[str, Any], recipe: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Whether labels were used, and the settings of the training."""
    hparams = record["hparams"]
    labels = "Labels were used." if record["task"] == "classify" else "No labels were used."

    def replaced(name: str) -> bool:
        return hparams.get(REPLACED_BY.get(name, "")) is not None

    start = f"`{hparams['init_from']}`" if hparams.get("init_from") else "random weights"
    lines = [
        *(f"- {name}: {summary[name]}" for name in FACTS if summary.get(name) is not None),
        *(f"- {name}: {hparams[name]}" for name in SETTINGS if hparams.get(name) is not None and not replaced(name)),
        *(["\nThe complete recipe is in `recipe.yaml`."] if recipe else []),
    ]
    return "\n".join([f"{labels} Started from {start}.", "", *lines]).rstrip()


def results_table(results: Mapping[str, Any]) -> str:
    """Numbers with their intervals."""
    numbers = flatten(results)
    rows = []
    for name, value in sorted(numbers.items()):
        if name.endswith(("_low", "_high")):
            continue
        low, high = (numbers.get(f"{name}{end}") for end in ("_low", "_high"))
        interval = f"{low:g} to {high:g}" if low is not None and high is not None else ""
        rows.append(f"| {name} | {value:g} | {interval} |")
    return "\n".join(["| metric | value | 95 % interval |", "|---|---|---|", *rows]) if rows else "None measured."


def flatten(results: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers in nested mappings, by the names on their path."""
    numbers: dict[str, float] = {}
    for name, value in results.items():
        numbers |= flatten(value, f"{prefix}{name} ") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return numbers


def licence_section(name: str | None) -> str:
    """Licence of the weights."""
    if name is None:
        return "Not stated: ask before using these weights."
    return f"{name}.{' Not for commercial use.' if is_non_commercial(name) else ''}"
