"""``precision: auto`` of `recipes/trainer/auto.yaml`: what this machine's device computes with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmae_zoo.cli.recipe_arguments import as_options, named_recipes
from vmae_zoo.recipe_yaml import read_recipe


def resolve_auto(trainer: Mapping[str, Any], accelerator: str | None = None) -> dict[str, Any]:
    """Settings of a trainer with "auto" replaced by bf16-mixed on a CUDA device that has it, else by 32-true.

    With it, ``accelerator: auto`` is a CUDA device or the CPU: other devices (MPS) must be named. Settings without
    ``precision: auto`` are returned as they are; the ``accelerator`` of the command line wins over theirs.
    """
    if trainer.get("precision") != "auto":
        return dict(trainer)
    import torch

    wanted = accelerator or trainer.get("accelerator", "auto")
    cuda = wanted in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    precision = "bf16-mixed" if cuda and torch.cuda.is_bf16_supported() else "32-true"
    return {
        **trainer,
        "accelerator": ("gpu" if cuda else "cpu") if wanted == "auto" else wanted,
        "precision": precision,
    }


def with_auto_trainer(arguments: list[str], accelerator: str | None = None) -> list[str]:
    """The arguments with the settings of a ``--trainer FILE`` that has ``precision: auto``, as options."""
    found = list(arguments)
    for place, prefix, option, name in reversed([*named_recipes(arguments)]):
        if option == "--trainer" and (keys := read_recipe(Path(name))).get("precision") == "auto":
            found[place if prefix else place - 1 : place + 1] = as_options("trainer", resolve_auto(keys, accelerator))
    return found
