"""Conversion of a checkpoint to the layout of another program, or to that of this package."""

import json
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from vmae_zoo.methods.base import Method
from vmae_zoo.methods.registry import CLASS_NAMES, import_path, resolve_method
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.load_report import LoadReport
from vmae_zoo.zoo.build import build_method
from vmae_zoo.zoo.convert import hugging_face, jepa, layout
from vmae_zoo.zoo.convert.spec import LoadHints
from vmae_zoo.zoo.load import load_full, load_pretrained
from vmae_zoo.zoo.package import Package, package
from vmae_zoo.zoo.publishable import public_record

CLASSES = {  # layout: methods that it can hold
    "videomae": ("VideoMAE", "Classifier"),
    "transformers": ("VideoMAE", "MAE", "VJEPA", "Classifier"),
    "vjepa": ("VJEPA",),
    "mae": ("MAE",),
    "mae_st": ("MAEST", "Classifier"),
    "timesformer": ("Classifier",),
    "timm": ("Classifier",),
}
POSITIONS: dict[tuple[str, str | None], tuple[str, ...]] = {  # what programs of a layout compute; None: of any class
    ("videomae", None): ("sincos_1d",),
    ("vjepa", None): ("sincos_3d", "rope"),
    ("transformers", "VideoMAE"): ("sincos_1d",),
    ("transformers", "VideoMAEv2"): ("sincos_1d",),
    ("transformers", "MGMAE"): ("sincos_1d",),
    ("transformers", "Classifier"): ("sincos_1d", "separable"),
}
MAX_ERROR = 1e-3  # of the output of what was written, relative to its largest value
FOLDERS = ("vmae_zoo", "transformers")  # layouts that are a folder


def convert(source: str | Path, target: Path, to: str, **hints: Any) -> LoadReport:
    """Read ``source`` and write it in the layout ``to``; an existing target is never overwritten.

    Args:
        source: what `vmae_zoo.load_pretrained` takes.
        target: a folder for "vmae_zoo" and "transformers", a .pth or .safetensors file for the others.
        to: "vmae_zoo" or a key of `vmae_zoo.zoo.convert.LAYOUTS`.
        **hints: what the source does not state, as for `vmae_zoo.load_pretrained`.

    Returns:
        Report of what was read.

    Raises:
        ValueError: the layout cannot hold this model, or the target exists.
    """
    if target.exists() or target.is_symlink():
        raise ValueError(f"{target} exists already: give another target")
    if to not in FOLDERS and target.suffix not in (".pth", ".safetensors"):
        raise ValueError(f"{target}: the {to} layout is one file, a name ending in .pth or .safetensors")
    model = load_full(source, **hints)
    assert model.loaded is not None
    if to != "vmae_zoo":
        check_class(model, to, str(source))
        check_position(model, to)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        partial = Path(temporary) / target.name
        if to in FOLDERS:
            partial.mkdir()
        if to == "vmae_zoo":
            made = package(model)
            Package(made.weights, public_record(made.record)).save(partial, model.loaded.licence)
        else:
            write_foreign(model, partial, to)
        check_written(model, partial, to, hints)
        partial.rename(target)
    return model.loaded


def check_written(model: Any, path: Path, to: str, hints: dict[str, Any]) -> None:
    """Read what was written and compare its output for a random clip with the model's.

    Raises:
        ValueError: they differ: the layout does not hold something that the model computes with.
    """
    encoder = model.encoder_for_evaluation() if isinstance(model, Method) else model
    if type(encoder) is not Encoder:
        return  # of a class outside this package, which other programs do not read
    classify = isinstance(model, Method) and model.task == "classify" and model.head is not None
    stated: dict[str, Any] = {"method": type(model) if import_path(type(model)) not in CLASS_NAMES else None}
    if to not in FOLDERS:
        frames, side, _ = encoder.grid.pixels
        stated |= {"num_heads": encoder.settings["num_heads"], "image_size": side}
        stated |= {"frames": frames} if frames > 1 else {}
        stated |= {
            name: hints[name] for name in ("method", "decoder_num_heads", "predictor_num_heads") if name in hints
        }
    clip = torch.randn(1, 3, *encoder.grid.pixels, generator=torch.Generator().manual_seed(0))
    other = load_pretrained(path, task="classify" if classify else "encoder", **stated).eval()
    with torch.inference_mode():
        before, after = (part.eval()(clip) for part in (model if classify else encoder, other))
    if before.shape != after.shape:
        raise ValueError(f"the {to} layout does not hold this {type(model).__name__}: convert it to vmae_zoo")
    error = float((after - before).abs().max() / before.abs().max().clamp_min(1e-6))
    if not error <= MAX_ERROR:
        raise ValueError(
            f"the {to} layout does not hold all that this {type(model).__name__} computes with: read back, its output "
            f"for a random clip differs by {100 * error:.2g} % (were its positions resized from other clips?): convert "
            "it to vmae_zoo"
        )


def check_class(model: Any, to: str, source: str) -> None:
    """``ValueError`` unless the layout can hold this model."""
    known = tuple(resolve_method(name) for name in CLASSES[to])
    if not isinstance(model, known):
        what = f"a {type(model).__name__}" if isinstance(model, Method) else "an encoder alone"
        raise ValueError(f"{source} is {what}: the {to} layout holds {', '.join(CLASSES[to])}")
    if import_path(type(model)) in CLASS_NAMES:
        return
    hints = LoadHints(source, num_heads=model.encoder.settings["num_heads"])
    spec = layout(to).read(layout(to).write(model), hints)
    with torch.device("meta"):
        other = build_method(spec, source).state_dict().keys() ^ spec.tensors.keys()
    if other:
        raise ValueError(
            f"{source}: a {type(model).__name__} has weights that the {to} layout does not hold ({sorted(other)[0]}): "
            "convert it to vmae_zoo"
        )


def check_position(model: Any, to: str) -> None:
    """``ValueError`` if programs of this layout compute other positions, and so would read the weights wrongly."""
    known = POSITIONS.get((to, type(model).__name__), POSITIONS.get((to, None)))
    if to == "transformers" and model.hparams.get("pool") == "attentive":
        known = ("rope",)
    kind = model.encoder.positions.kind
    if known and kind not in known:
        raise ValueError(
            f"this {type(model).__name__} has position = {kind}, and readers of the {to} layout compute "
            f"{' or '.join(known)}: convert it to vmae_zoo, which keeps the kind"
        )


def write_foreign(model: Any, path: Path, to: str) -> None:
    """Write a file, or a folder for transformers."""
    weights = {name: value.detach().contiguous().clone() for name, value in layout(to).write(model).items()}
    if to == "transformers":
        config, expects = hugging_face.config_of(model), model.encoder.preprocessing
        side = {"height": expects.size, "width": expects.size}
        size = side if config.get("model_type") == "vit_mae" else {"shortest_edge": expects.size}
        processor = {"image_mean": expects.mean, "image_std": expects.std, "do_normalize": True}
        processor |= {"do_resize": True, "size": size, "do_center_crop": True, "crop_size": side}
        safetensors.torch.save_file(weights, path / "model.safetensors", {"format": "pt"})
        (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (path / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    elif path.suffix == ".safetensors":
        safetensors.torch.save_file(weights, path, {"format": "pt"})
    else:
        torch.save(jepa.packed(weights) if to == "vjepa" else {"model": weights}, path)
