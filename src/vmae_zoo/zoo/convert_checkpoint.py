"""Writing a model's weights into the layout of another program."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import vmae_zoo
from vmae_zoo.zoo.build import LoadReport
from vmae_zoo.zoo.convert import LAYOUTS, hugging_face, jepa
from vmae_zoo.zoo.upload import method_of, plain_record, save_weights, whole

FITS = {  # layout: classes that it can hold
    "videomae": ("VideoMAE", "VideoMAEv2", "MGMAE", "Classifier"),
    "transformers": ("VideoMAE", "VideoMAEv2", "MGMAE", "MAE", "VJEPA", "Classifier"),
    "vjepa": ("VJEPA",),
    "mae": ("MAE",),
    "mae_st": ("MAEST", "Classifier"),
    "timesformer": ("Classifier",),
    "timm": ("Classifier",),
}

POSITIONS: dict[tuple[str, str | None], tuple[str, ...]] = {  # what the programs of a layout compute, not in the file
    ("videomae", None): ("sincos_1d",),
    ("vjepa", None): ("sincos_3d", "rope"),
    ("transformers", "VideoMAE"): ("sincos_1d",),
    ("transformers", "VideoMAEv2"): ("sincos_1d",),
    ("transformers", "MGMAE"): ("sincos_1d",),
    ("transformers", "Classifier"): ("sincos_1d", "separable"),
}


def rewrite(source: str | Path, target: Path, layout: str, **told: Any) -> LoadReport:
    """Read ``source`` and write it as ``layout`` to ``target``; nothing that is there is overwritten.

    Args:
        source: what `vmae_zoo.load_pretrained` takes.
        target: a folder for "vmae_zoo" and "transformers", a .pth or .safetensors file for the others.
        layout: "vmae_zoo" or a key of `vmae_zoo.zoo.convert.LAYOUTS`.
        **told: what the source does not say, as for `vmae_zoo.load_pretrained`.

    Returns:
        The account of what was read.

    Raises:
        ValueError: the layout has no place for this model, or the target is taken.
    """
    folder = layout in ("vmae_zoo", "transformers")
    if target.exists() or target.is_symlink():
        raise ValueError(f"{target} is there already: give another target")
    if not folder and target.suffix not in (".pth", ".safetensors"):
        raise ValueError(f"{target}: the {layout} layout is one file, a name ending in .pth or .safetensors")
    model = whole(source, **told)
    method, part = method_of(model)
    loaded: Any = model.loaded
    kind = type(method).__name__
    if layout != "vmae_zoo" and (part or kind not in FITS[layout]):
        what = "an encoder alone" if part else f"a {kind}"
        raise ValueError(f"{source} is {what}: the {layout} layout holds {', '.join(FITS[layout])}")
    check_position(method, layout)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        made = Path(temporary) / target.name
        if folder:
            made.mkdir()
        if layout == "vmae_zoo":
            record = {"vmae_zoo": vmae_zoo.__version__, **plain_record(method), "part": part}
            record["licence"] = loaded.licence
            weights = {name: value for name, value in method.state_dict().items() if name.startswith(part)}
            save_weights(weights, record, made / "model.safetensors")
            (made / "config.json").write_text(json.dumps(record, indent=2) + "\n")
        else:
            write_foreign(method, made, layout)
        made.rename(target)
    return loaded


def check_position(method: Any, layout: str) -> None:
    """Refuse positions that the programs of this layout would not compute: the weights would be read wrongly."""
    known = POSITIONS.get((layout, type(method).__name__), POSITIONS.get((layout, None)))
    kind = method.encoder.positions.kind
    if known and kind not in known:
        raise ValueError(
            f"this {type(method).__name__} has position = {kind}, and readers of the {layout} layout compute "
            f"{' or '.join(known)}: convert it to vmae_zoo, which keeps the kind"
        )


def write_foreign(method: Any, made: Path, layout: str) -> None:
    """Write a file, or for transformers a folder."""
    weights = {name: value.detach().contiguous().clone() for name, value in LAYOUTS[layout].write(method).items()}
    if layout == "transformers":
        expects = method.encoder.preprocessing
        side = {"height": expects.size, "width": expects.size}
        processor = {"image_mean": expects.mean, "image_std": expects.std, "do_normalize": True, "crop_size": side}
        save_file(weights, made / "model.safetensors", {"format": "pt"})
        (made / "config.json").write_text(json.dumps(hugging_face.config_of(method), indent=2) + "\n")
        (made / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    elif made.suffix == ".safetensors":
        save_file(weights, made, {"format": "pt"})
    else:
        torch.save(jepa.packed(weights) if layout == "vjepa" else {"model": weights}, made)
