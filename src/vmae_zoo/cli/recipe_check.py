"""``vmae-zoo recipes check``: every recipe parses, builds and takes a step.

A recipe's model is built in full on the meta device (no memory, only shapes), which counts its parameters. Then `fit`
runs one training and one validation batch of it in a shrunken form: embedded clips of at most 16 x 224 x 224, two of
them a step, one CPU process, and a width of 48 with two blocks; patch, masks, decoder depth and everything else stay
the recipe's.
"""

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

from vmae_zoo.cli.errors import report_errors
from vmae_zoo.cli.signatures import parameters
from vmae_zoo.cli.trainer_settings import LINKS, ONE_CPU
from vmae_zoo.compose import compose, settings_of
from vmae_zoo.resources import resource

WIDTHS = {"width": 48, "depth": 2, "num_heads": 2, "decoder_width": 32, "decoder_num_heads": 2, "projection_width": 64}
CLIP = {"frames": 16, "size": 224}  # largest: attention over V-JEPA 2's 18,432 tokens takes minutes on a CPU
ANY_MACHINE = {
    "data.root": "synthetic:demo_small",
    "data.sources": "null",
    "data.layout": "null",
    "data.split": "null",
    "data.batch_size": "2",
    "data.global_batch": "2",
    "data.workers": "0",
    "data.pin_memory": "false",
    **ONE_CPU,
    "trainer.fast_dev_run": "true",
    "trainer.enable_progress_bar": "false",
}


def count_parameters(recipe: Path) -> tuple[int, list[str]]:
    """Number of parameters of a recipe's model, and the names of its arguments."""
    import torch

    from vmae_zoo.methods.registry import resolve_method

    keys = compose(recipe)
    model = keys.get("model") or {}
    if "class_path" not in model:
        raise ValueError(f"{recipe} names no model: add `model: {{class_path: VideoMAE}}`")
    method = resolve_method(model["class_path"].removeprefix("vmae_zoo.methods."))
    settings: dict[str, Any] = dict(model.get("init_args", {}))
    known = parameters(f"{method.__module__}.{method.__qualname__}") or []
    for source, target in LINKS.items():
        value = settings_of(keys.get("data")).get(source.partition(".")[2])
        if target in known and value is not None:
            settings.setdefault(target, value)
    settings.pop("init_from", None)
    with torch.device("meta"):
        built = method(**settings)
    return sum(parameter.numel() for parameter in built.parameters()), known


def check(recipe: Path) -> dict[str, Any]:
    """Build and try one recipe: its name, parameters, and ``error``, None or what went wrong."""
    from vmae_zoo.cli.trainer import run

    home, file = resource("recipes"), recipe.absolute()
    name = f"recipes/{file.relative_to(home)}" if file.is_relative_to(home) else str(recipe)
    row: dict[str, Any] = {"recipe": name, "parameters": None}
    try:
        row["parameters"], known = count_parameters(recipe)
    except (ValueError, TypeError, AttributeError) as error:
        return {**row, "error": " ".join(str(error).split())}
    shrunk = {f"model.{name}": str(value) for name, value in WIDTHS.items() if name in known}
    if "init_from" in known:
        shrunk["model.init_from"] = "null"
    data = settings_of(compose(recipe).get("data"))
    shrunk |= {f"data.{name}": str(most) for name, most in CLIP.items() if data.get(name, 0) > most}
    overrides = [f"--{name}={value}" for name, value in {**shrunk, **ANY_MACHINE}.items()]
    output, lightning = io.StringIO(), logging.getLogger("lightning.pytorch")
    level = lightning.level
    lightning.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = report_errors(lambda: run(["fit", "-c", str(recipe), *overrides]))
    finally:
        lightning.setLevel(level)
    last = output.getvalue().strip().splitlines()[-1:] or ["no output"]
    return {**row, "error": None if code == 0 else last[0]}
