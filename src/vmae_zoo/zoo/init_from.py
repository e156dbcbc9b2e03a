"""``start_from``: weights to start a training from."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vmae_zoo.data.clip_spec import DEFAULT_CLIP
from vmae_zoo.methods.base import Method
from vmae_zoo.methods.registry import import_path
from vmae_zoo.methods.vjepa import VJEPA
from vmae_zoo.models.encoder import Encoder, resized
from vmae_zoo.models.load_report import LoadReport, part_names
from vmae_zoo.models.positions import SeparablePosEmbed, SinCosPosEmbed, resize_learned
from vmae_zoo.models.rotary import RotaryPosEmbed
from vmae_zoo.training.fsdp2 import unwrapped_type
from vmae_zoo.zoo.build import LOG, build_encoder, check_tensors, copy_tensors
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec
from vmae_zoo.zoo.load import describe_resize, load_pretrained, read_source

NEW_PARTS = ("encoder.fc_norm.", "head.")  # of a classifier: initialized if the file has none


def start_from(model: Method, name_or_path: str | Path, **where: Any) -> LoadReport:
    """Copy weights into a model that is about to be trained; parts that the file does not hold stay as initialized.

    The same method takes everything, a classifier of other classes everything but the head. Another method takes the
    encoder, without the final norm if it has none: a classifier initializes its norm, as the official fine-tuning does,
    and its head. If the clips of the file have another size, positions are resized, see `vmae_zoo.models.positions`;
    learned positions are left out by a model whose positions are fixed. Divided attention over time starts as a copy of
    that over space, behind a linear map that starts at zero, as TimeSformer does from an image transformer.

    Args:
        model: as constructed.
        name_or_path: see `vmae_zoo.load_pretrained`.
        **where: endpoint and revision.

    Raises:
        ValueError: the encoder in the file is not that of the model.
    """
    spec, origin, before = _read(model, name_or_path, where)
    source, kind = origin["source"], unwrapped_type(model)
    same = spec.method == import_path(kind)
    given, positions = spec.tensors, None
    if not same:  # its encoder takes the place of ours
        prefix = f"{spec.encoder_name}."
        given = {f"encoder.{name.removeprefix(prefix)}": v for name, v in given.items() if name.startswith(prefix)}
    if before is not None:
        check_positions(before, model, source)
        check_heads_and_normalization(before, spec, model, source)
        given, positions = _adapt_positions(model, before, given)
        if model.encoder.attention == "divided":
            given = copy_space_to_time(given)
    expected = model.state_dict()
    heads = {weights["head.weight"].shape for weights in (given, expected) if "head.weight" in weights}
    if len(heads) == 2:  # of other classes
        given = {name: value for name, value in given.items() if not name.startswith("head.")}
    wanted = [name for name in expected if same or name.startswith("encoder.")]
    used = [name for name in wanted if name in given]
    missing = [n for n in wanted if n not in given and not n.startswith(NEW_PARTS) and ".temporal_fc." not in n]
    encoder_names = (n for n in given if n.startswith("encoder.") and not n.startswith("encoder.norm."))
    unexpected = [n for n in encoder_names if n not in expected]
    if missing or unexpected or not used:
        problem = f"its weights lack {missing[0]}" if missing else f"the model has no {(unexpected or ['encoder'])[0]}"
        raise ValueError(f"{source} ({spec.method}) does not start this {kind.__name__}: {problem}")
    check_tensors({name: given[name] for name in used}, expected, source, kind.__name__)
    copy_tensors(given, expected, used)
    model.weights_loaded(used)
    new = tuple(name for name in expected if name not in used)
    report = LoadReport(
        method=spec.method,
        hparams=spec.hparams,
        used=tuple(used),
        left_out=tuple(name for name in spec.tensors if name not in used),
        missing=new,
        unexpected=(),
        task=spec.task,
        encoder_name=spec.encoder_name,
        positions=positions,
        **origin,
    )
    LOG.info("%s; initialized: %s", report.line(), ", ".join(part_names(new)) or "nothing")
    return report


def _read(model: Method, name_or_path: str | Path, where: dict[str, Any]) -> tuple[ModelSpec, dict[str, Any], Any]:
    """The weights, their origin, and their encoder with shapes only; None if either encoder is not of this package."""
    encoder = model.encoder
    if type(encoder) is not Encoder:
        spec, origin = read_source(name_or_path, LoadHints(str(name_or_path)), **where)
        return spec, origin, None
    hints = LoadHints(
        str(name_or_path), num_heads=encoder.settings["num_heads"], image_size=model.hparams["trained_image_size"]
    )
    spec, origin = read_source(name_or_path, hints, **where)
    before = encoder_on_meta(spec, origin["source"])
    if before is not None and before.grid.time == 1 and before.grid.cube != encoder.grid.cube:
        spec, origin = read_source(name_or_path, hints.but(frames=encoder.grid.pixels[0]), **where)  # inflated to clips
        before = encoder_on_meta(spec, origin["source"])
    return spec, origin, before


def encoder_arguments(name_or_path: str | Path) -> dict[str, Any]:
    """The arguments of a `Classifier` with the encoder of these weights; {} if that is of a class of one's own."""
    hints = LoadHints(str(name_or_path))
    spec, origin = read_source(name_or_path, hints)
    encoder = encoder_on_meta(spec, origin["source"])
    if encoder is not None and encoder.grid.time == 1:  # of images, which are inflated to clips
        spec, origin = read_source(name_or_path, hints.but(frames=DEFAULT_CLIP.frames))
        encoder = encoder_on_meta(spec, origin["source"])
    if encoder is None:
        return {}
    names = ("width", "depth", "num_heads", "mlp_ratio", "position", "rope_frequencies", "bias", "cls_token")
    stated = {**vars(encoder.preprocessing), **spec.preprocessing}
    return {
        **{name: encoder.settings[name] for name in names},
        "cube_frames": encoder.grid.cube[0],
        "patch": encoder.grid.cube[1],
        "mean": list(stated["mean"]),
        "std": list(stated["std"]),
    }


def encoder_on_meta(spec: ModelSpec, source: str) -> Encoder | None:
    """The encoder of a file, shapes only; None if it is of a class outside this package."""
    with torch.device("meta"):
        encoder = build_encoder(replace(spec, preprocessing={}), source)
    return encoder if type(encoder) is Encoder else None


def _adapt_positions(
    model: Method, before: Encoder, given: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], str | None]:
    """The weights with positions for the clips of the model, and how they were adapted."""
    grid, notes, given = model.grid, [], dict(given)
    learned = [name for name in given if ".positions." in name]
    if (
        learned
        and isinstance(model.encoder.positions, SinCosPosEmbed)
        and not isinstance(before.positions, SinCosPosEmbed)
    ):
        given = {name: value for name, value in given.items() if name not in learned}
        notes.append("its learned positions are left out: this model's are fixed")
    elif before.grid.cube == grid.cube and before.grid != grid:
        given = resize_learned(given, before.grid, grid)
        notes.append(describe_resize(before.grid.pixels, grid.pixels))
    trained_frames, trained_side = before.settings["trained"]
    frames, side = trained_frames or before.grid.pixels[0], trained_side or before.grid.pixels[1]
    if (frames, side) != grid.pixels[:2] and isinstance(before.positions, SinCosPosEmbed):
        model.resize_positions(side, frames)
    return given, ", ".join(notes) or None


def load_teacher(model: VJEPA, **where: Any) -> LoadReport:
    """Load the frozen teacher that ``model.hparams`` names into a V-JEPA, with positions for the model's clips."""
    teacher: Any = load_pretrained(model.hparams["teacher"], **where)
    report = teacher.loaded
    if teacher.grid.pixels != model.grid.pixels:
        teacher = resized(teacher, *model.grid.pixels)
    model.set_teacher(teacher)
    return report


def check_positions(before: Encoder, model: Method, source: str) -> None:
    """Refuse weights whose fixed positions are of another kind than the model's."""
    old, new = before.positions, model.encoder.positions
    learned = isinstance(old, SeparablePosEmbed)
    if old.kind != new.kind and not learned:
        raise ValueError(
            f"{source} was trained with position = {old.kind}, this {type(model).__name__} has {new.kind}: "
            f"set model.position={old.kind}"
        )
    if isinstance(old, RotaryPosEmbed) and isinstance(new, RotaryPosEmbed) and old.frequencies != new.frequencies:
        raise ValueError(
            f"{source} was trained with rope_frequencies = {old.frequencies}, this {type(model).__name__} has "
            f"{new.frequencies}: set model.rope_frequencies={old.frequencies}"
        )


def check_heads_and_normalization(before: Encoder, spec: ModelSpec, model: Method, source: str) -> None:
    """Compare what no shape shows: attention heads and normalization of the input.

    Raises:
        ValueError: the model has others and can be given those of the file.
    """
    now, name = model.encoder, type(model).__name__
    if before.settings["num_heads"] != now.settings["num_heads"]:
        raise ValueError(
            f"{source} was trained with {before.settings['num_heads']} attention heads, this {name} has "
            f"{now.settings['num_heads']}: set model.num_heads={before.settings['num_heads']}"
        )
    stated = {**vars(before.preprocessing), **spec.preprocessing}
    old, new = ([tuple(pre[key]) for key in ("mean", "std")] for pre in (stated, vars(now.preprocessing)))
    if old != new and "mean" in model.hparams:
        mean, std = (list(values) for values in old)
        raise ValueError(
            f"{source} was trained on pixels normalized by mean {mean} and std {std}, this {name} takes mean "
            f"{list(new[0])} and std {list(new[1])}: set model.mean='{mean}' and model.std='{std}'"
        )
    if old != new:
        line = "%s was trained on pixels normalized by mean %s and std %s; this %s takes %s and %s"
        LOG.warning(line, source, *old, name, *new)


def copy_space_to_time(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an encoder; attention over time is a copy of that over space if the file has none over time."""
    renames = ((".norm1.", ".temporal_norm1."), (".attn.", ".temporal_attn."))
    copies = {
        name.replace(space, time): value
        for name, value in given.items()
        for space, time in renames
        if name.startswith("encoder.blocks.") and space in name
    }
    return {**copies, **given}
