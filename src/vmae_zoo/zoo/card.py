"""The model card: what somebody should know before using weights."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import ModelCardData

import vmae_zoo
from vmae_zoo.methods.base import Method
from vmae_zoo.zoo.registry import is_non_commercial

NOT_STATED = "not stated"


@dataclass(frozen=True)
class CardData:
    """What is told beside the weights; {} and None where nothing is known.

    Args:
        repo: where it goes, "org/repo".
        part: "encoder" where only that goes, else "".
        licence: of the weights.
        recipe: the saved recipe.
        summary: the run's ``summary.json``.
        results: numbers by name; a ``name_low`` and a ``name_high`` make an interval.
        picture: file name of a picture in the folder.
    """

    repo: str
    part: str = ""
    licence: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    picture: str | None = None


def model_card(model: Method, story: CardData) -> str:
    """README.md of a repository, front matter included."""
    kind = type(model).__name__
    sections = [
        f"# {story.repo.rpartition('/')[2]}",
        what(model, story),
        "## Use\n\n" + use(model, story),
        "## Data\n\n" + data(story.recipe),
        "## Training\n\n" + training(model, story),
        "## Results\n\n" + results_table(story.results),
        *([f"## What it predicts\n\n![clips, masks and predictions]({story.picture})"] if story.picture else []),
        "## Licence\n\n" + licence(story.licence),
        f"Written by [vmae_zoo](https://pypi.org/project/vmae-zoo/) {vmae_zoo.__version__}.",
    ]
    front = ModelCardData(
        license=spdx(story.licence),
        library_name="vmae_zoo",
        tags=["video", "vmae_zoo", kind.lower()],
        pipeline_tag="video-classification" if kind == "Classifier" and not story.part else None,
    )
    return f"---\n{front.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def what(model: Method, story: CardData) -> str:
    """One paragraph: which model, how large, for which input."""
    encoder = model.encoder_for_evaluation()
    expects = encoder.preprocessing
    weights = encoder if story.part else model
    count = sum(parameter.numel() for parameter in weights.parameters())
    kind = type(model).__name__
    paper = (sys.modules[type(model).__module__].__doc__ or "").splitlines()[0]
    head = None if story.part else getattr(model, "head", None)
    classes = f" It tells {head.out_features} classes apart." if head is not None else ""
    at = f" at {expects.fps:g} frames a second" if expects.sampling == "span" else ""
    return (
        f"{'The encoder of a ' if story.part else ''}{kind}: {paper}\n\n"
        f"{len(encoder.blocks)} blocks of width {encoder.width} in the encoder, {count:,} parameters in all.{classes} "
        f"Input: clips of {expects.frames} frames, every {_th(expects.stride_frames)} of the video{at} "
        f"({expects.sampling} sampling), {expects.size} x {expects.size} pixels, RGB in [0, 1], normalised with mean "
        f"{_list(expects.mean)} and deviation {_list(expects.std)}."
    )


def use(model: Method, story: CardData) -> str:
    """How to load it."""
    task = "" if story.part else ', task="classify"' if type(model).__name__ == "Classifier" else ', task="pretrain"'
    expects = model.encoder.preprocessing
    shape = f"(1, 3, {expects.frames}, {expects.size}, {expects.size})"
    return (
        "```python\nimport torch\nimport vmae_zoo\n\n"
        f'encoder = vmae_zoo.load_pretrained("hf://{story.repo}")\n'
        f"clip = torch.zeros({shape})  # normalised as encoder.preprocessing says\n"
        "feature = encoder.pool(encoder(clip))\n"
        + (f'whole = vmae_zoo.load_pretrained("hf://{story.repo}"{task})\n' if task else "")
        + "```"
    )


def data(recipe: Mapping[str, Any]) -> str:
    """What it was trained on, as the recipe says."""
    found = recipe.get("data")
    found = found.get("init_args", found) if isinstance(found, Mapping) else {}
    if not found:
        return "Not stated."
    root = found.get("root")
    where = f"`{str(root).rstrip('/').rpartition('/')[2]}`" if root else "the clips embedded in vmae_zoo (demo)"
    told = [
        f"{name} {found[name]}" for name in ("layout", "split", "frames", "stride_frames", "size") if found.get(name)
    ]
    return f"Trained on {where}{': ' + ', '.join(told) if told else ''}."


def training(model: Method, story: CardData) -> str:
    """How it was trained, and what it has seen."""
    hparams, summary = model.hparams, story.summary
    labels = "Labels were seen." if type(model).__name__ == "Classifier" else "No labels were seen."
    start = hparams.get("init_from")
    lines = [f"{labels} {f'Started from `{start}`.' if start else 'Started from random weights.'}"]
    facts = [
        f"{name.replace('_', ' ')}: {summary[name]}"
        for name in ("recipe", "steps", "epoch", "samples", "seconds", "device", "precision")
        if summary.get(name) is not None
    ]
    settings = [
        f"{name}: {hparams[name]}"
        for name in ("base_lr", "lr", "min_lr", "weight_decay", "betas", "warmup_epochs", "mask_ratio")
        if hparams.get(name) is not None
    ]
    lines += [f"- {line}" for line in (*facts, *settings)]
    if story.recipe:
        lines.append("\nThe whole recipe is in `recipe.yaml`.")
    return "\n".join([lines[0], "", *lines[1:]]) if len(lines) > 1 else lines[0]


def results_table(results: Mapping[str, Any]) -> str:
    """Numbers with their intervals."""
    rows = []
    for name, value in sorted(flat(results).items()):
        if name.endswith(("_low", "_high")):
            continue
        low, high = (flat(results).get(f"{name}{end}") for end in ("_low", "_high"))
        interval = f"{low:g} to {high:g}" if low is not None and high is not None else ""
        rows.append(f"| {name} | {value:g} | {interval} |")
    return "\n".join(["| what | value | 95 % interval |", "|---|---|---|", *rows]) if rows else "None measured."


def flat(results: Mapping[str, Any], above: str = "") -> dict[str, float]:
    """The numbers in nested mappings, by path."""
    found: dict[str, float] = {}
    for name, value in results.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{name} ")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[f"{above}{name}"] = value
    return found


def licence(name: str | None) -> str:
    """One line, and what follows from it."""
    if name is None:
        return "Not stated: ask before using these weights."
    return f"{name}.{' Not for commercial use.' if is_non_commercial(name) else ''}"


def spdx(name: str | None) -> str:
    """The Hub's word for a licence."""
    return name.lower() if name else "unknown"


def _th(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"


def _list(numbers: tuple[float, ...]) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"
