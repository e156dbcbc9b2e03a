"""The model card: what to know before using weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import ModelCardData

import vmae_zoo
from vmae_zoo.methods.registry import CLASS_NAMES
from vmae_zoo.zoo.registry import is_non_commercial

NOT_STATED = "Not stated."


@dataclass(frozen=True)
class CardData:
    """Contents of a card; empty or None if not known.

    Args:
        repo: target, "org/repo".
        record: of the method, see `vmae_zoo.methods.record`.
        paper: first line of the documentation of the method's module.
        parameters: number of parameters of the weights.
        encoder_only: the weights are those of the encoder alone.
        licence: of the weights.
        recipe: the recipe of the run.
        summary: the run's ``summary.json``.
        results: numbers by name; ``name_low`` and ``name_high`` are the bounds of an interval.
        picture: file name of a picture in the repository.
    """

    repo: str
    record: Mapping[str, Any]
    paper: str = ""
    parameters: int = 0
    encoder_only: bool = False
    licence: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    picture: str | None = None

    @property
    def class_name(self) -> str:
        """Name of the method's class, without its module."""
        return self.record["method"].rpartition(".")[2]

    @property
    def task(self) -> str:
        """What the weights are: "encoder", "pretrain" or "classify"."""
        return "encoder" if self.encoder_only else self.record["task"]


def model_card(card: CardData) -> str:
    """The README.md of a repository, including its front matter."""
    picture = f"## Reconstructions\n\n![clips, masks and predictions]({card.picture})"
    sections = [
        f"# {card.repo.rpartition('/')[2]}",
        model_section(card),
        "## Use\n\n" + use_section(card),
        "## Data\n\n" + data_section(card.recipe),
        "## Training\n\n" + training_section(card),
        "## Results\n\n" + results_table(card.results),
        *([picture] if card.picture else []),
        "## Licence\n\n" + licence_section(card.licence),
        f"Written by [vmae_zoo](https://pypi.org/project/vmae-zoo/) {vmae_zoo.__version__}.",
    ]
    front = ModelCardData(
        license=card.licence.lower() if card.licence else "unknown",
        library_name="vmae_zoo",
        tags=["video", "vmae_zoo", card.class_name.lower()],
        pipeline_tag="video-classification" if card.task == "classify" else None,
    )
    return f"---\n{front.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def model_section(card: CardData) -> str:
    """Architecture, number of parameters and input."""
    encoder, expects = card.record["encoder"], card.record["preprocessing"]
    classes = card.record["hparams"].get("num_classes") if card.task == "classify" else None
    shape = f"The encoder has {encoder['depth']} blocks of width {encoder['width']}. " if encoder else ""
    at = f" at {expects['fps']:g} frames per second" if expects["sampling"] == "span" else ""
    return (
        f"{'The encoder of a ' if card.encoder_only else ''}{card.class_name}{f': {card.paper}' if card.paper else ''}"
        f"\n\n{shape}{card.parameters:,} parameters in total.{f' {classes} classes.' if classes else ''} "
        f"Input: clips of {expects['frames']} frames, every {_ordinal(expects['stride_frames'])} of the video{at} "
        f"({expects['sampling']} sampling), {expects['size']} x {expects['size']} pixels, RGB in [0, 1], normalized "
        f"with mean {_tuple(expects['mean'])} and standard deviation {_tuple(expects['std'])}."
    )


def use_section(card: CardData) -> str:
    """How to load it."""
    expects, method = card.record["preprocessing"], card.record["method"]
    shape = f"(1, 3, {expects['frames']}, {expects['size']}, {expects['size']})"
    own_class = "" if method in CLASS_NAMES else f', method="{method}"'
    lines = [
        "import torch",
        "import vmae_zoo",
        "",
        f'encoder = vmae_zoo.load_pretrained("hf://{card.repo}")',
        f"clip = torch.zeros({shape})  # normalized as encoder.preprocessing states",
        "feature = encoder.pool(encoder(clip))",
    ]
    if not card.encoder_only:
        lines.append(f'model = vmae_zoo.load_pretrained("hf://{card.repo}", task="{card.task}"{own_class})')
    return "\n".join(["```python", *lines, "```"])


def data_section(recipe: Mapping[str, Any]) -> str:
    """The training data, according to the recipe."""
    data = recipe.get("data")
    data = data.get("init_args", data) if isinstance(data, Mapping) else {}
    if not data:
        return NOT_STATED
    root = data.get("root")
    where = f"`{str(root).rstrip('/').rpartition('/')[2]}`" if root else "the clips embedded in vmae_zoo (demo)"
    names = ("layout", "split", "frames", "stride_frames", "size")
    settings = ", ".join(f"{name} {data[name]}" for name in names if data.get(name))
    return f"Trained on {where}{f': {settings}' if settings else ''}."


def training_section(card: CardData) -> str:
    """Whether labels were used, and the settings of the training."""
    hparams, summary = card.record["hparams"], card.summary
    labels = "Labels were used." if card.record["task"] == "classify" else "No labels were used."
    start = hparams.get("init_from")
    facts = ("recipe", "steps", "epoch", "samples", "seconds", "device", "precision")
    settings = ("base_lr", "lr", "min_lr", "weight_decay", "betas", "warmup_epochs", "mask_ratio")
    lines = [
        *(f"- {name}: {summary[name]}" for name in facts if summary.get(name) is not None),
        *(f"- {name}: {hparams[name]}" for name in settings if hparams.get(name) is not None),
        *(["\nThe complete recipe is in `recipe.yaml`."] if card.recipe else []),
    ]
    return "\n".join([f"{labels} Started from {f'`{start}`' if start else 'random weights'}.", "", *lines]).rstrip()


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
        if isinstance(value, Mapping):
            numbers |= flatten(value, f"{prefix}{name} ")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers[f"{prefix}{name}"] = value
    return numbers


def licence_section(name: str | None) -> str:
    """Licence of the weights."""
    if name is None:
        return "Not stated: ask before using these weights."
    return f"{name}.{' Not for commercial use.' if is_non_commercial(name) else ''}"


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"


def _tuple(numbers: tuple[float, ...]) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"
