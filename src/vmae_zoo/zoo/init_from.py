"""``start_from``: weights put into a model that is about to be trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vmae_zoo.methods.base import Method
from vmae_zoo.methods.vjepa import VJEPA
from vmae_zoo.models.encoder import resized
from vmae_zoo.models.positions import resize_learnt
from vmae_zoo.models.rotary import RotaryPosEmbed
from vmae_zoo.zoo.build import LOG, LoadReport, check_tensors, construct, evaluated_part, parts_of, resizing
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec
from vmae_zoo.zoo.load import load_pretrained, read
from vmae_zoo.zoo.resolve import locate

AFRESH = ("encoder.fc_norm.", "head.")  # a classifier's own, where the weights have none


def start_from(model: Method, name_or_path: str | Path, **where: Any) -> LoadReport:
    """Put weights into a model that is about to be trained: what fits by name is taken, the rest keeps its start.

    The same method takes everything, a classifier of other classes all but the head. Another takes the encoder, without
    the final norm where it has none of its own: a classifier starts its norm, as the official fine-tuning does, and its
    head afresh. Where the model takes clips of another size than the weights did, positions are resized by the policy
    of `vmae_zoo.models.positions`. Divided attention over time starts as that over space, behind a map that starts at
    zero, as TimeSformer does from an image transformer.

    Args:
        model: as constructed.
        name_or_path: see `load_pretrained`.
        **where: endpoint and revision.

    Raises:
        ValueError: a tensor of the encoder has no place in the model, or one of the model's encoder is not in the file.
    """
    located = locate(name_or_path, task="encoder", **where)
    block: Any = model.encoder.blocks[0]
    told = LoadHints(located.name, num_heads=block.attn.heads, image_size=model.hparams["trained_image_size"])
    described, layout, licence = read(located, told)
    before = to_meta(described, located.name)
    if before.grid.cube != model.grid.cube and before.grid.time == 1:  # an image encoder is inflated to clips
        described, layout, licence = read(located, told.but(frames=model.grid.pixels[0]))
        before = to_meta(described, located.name)
    expected, given, positions = model.state_dict(), described.tensors, None
    if before.grid.cube == model.grid.cube and before.grid != model.grid:
        given, positions = resize_learnt(given, before.grid, model.grid), resizing(before.grid, model.grid)
    check_positions(before, model, located.name)
    side = before.hparams["trained_image_size"] or before.grid.pixels[1]
    frames = before.hparams["trained_frames"] or before.grid.pixels[0]
    if (frames, side) != model.grid.pixels[:2]:
        model.resize_positions(side, frames)
    if model.encoder.attention == "divided":
        given = with_time(given)
    heads = {weights["head.weight"].shape for weights in (given, expected) if "head.weight" in weights}
    if len(heads) == 2:  # of other classes
        given = {name: value for name, value in given.items() if not name.startswith("head.")}
    same, part = described.method == type(model).__name__, evaluated_part(described)
    if not same and part != "encoder.":
        given = {f"encoder.{name.removeprefix(part)}": v for name, v in given.items() if name.startswith(part)}
    wanted = [name for name in expected if same or name.startswith("encoder.")]
    used = [name for name in wanted if name in given]
    lacking = [n for n in wanted if n not in given and not n.startswith(AFRESH) and ".temporal_fc." not in n]
    astray = [n for n in given if n.startswith("encoder.") and n not in expected and not n.startswith("encoder.norm.")]
    if lacking or astray or not used:
        raise ValueError(
            f"{located.name} ({described.method}) does not start this {type(model).__name__}: "
            f"{'its weights lack ' + lacking[0] if lacking else 'the model has no place for ' + (astray or ['any'])[0]}"
        )
    check_tensors({name: given[name] for name in used}, expected, located.name, type(model).__name__)
    with torch.no_grad():
        for name in used:
            expected[name].copy_(given[name])
    model.weights_loaded(used)
    fresh = tuple(name for name in expected if name not in used)
    left_out = tuple(name for name in described.tensors if name not in used)
    loaded = LoadReport(
        located.name,
        layout,
        described.method,
        described.hparams,
        tuple(used),
        left_out,
        fresh,
        (),
        licence,
        located.commit,
        positions=positions,
    )
    LOG.info("%s; fresh: %s", loaded.line(), ", ".join(parts_of(fresh)) or "nothing")
    return loaded


def load_teacher(model: VJEPA, **where: Any) -> LoadReport:
    """Put the frozen teacher that ``model.hparams`` names into a V-JEPA, with positions for the model's clips.

    Args:
        model: as constructed with ``target="frozen"``.
        **where: endpoint and revision.
    """
    frames, height, width = model.grid.pixels
    teacher: Any = load_pretrained(model.hparams["teacher"], **where)
    if teacher.grid.pixels != model.grid.pixels:
        loaded, teacher = teacher.loaded, resized(teacher, frames, height, width)
        teacher.loaded = loaded
    model.set_teacher(teacher)
    return teacher.loaded


def check_positions(before: Method, model: Method, where: str) -> None:
    """Refuse weights whose positions are of another kind than the model's: they would mean other places."""
    old, new = before.encoder.positions, model.encoder.positions
    if old.kind != new.kind:
        raise ValueError(
            f"{where} was trained with position = {old.kind}, this {type(model).__name__} has {new.kind}: "
            f"set model.position={old.kind}"
        )
    if isinstance(old, RotaryPosEmbed) and isinstance(new, RotaryPosEmbed) and old.frequencies != new.frequencies:
        raise ValueError(
            f"{where} was trained with rope_frequencies = {old.frequencies}, this {type(model).__name__} has "
            f"{new.frequencies}: set model.rope_frequencies={old.frequencies}"
        )


def to_meta(described: ModelSpec, where: str) -> Method:
    """The model that a file is of, shapes only."""
    with torch.device("meta"):
        return construct(described, where)


def with_time(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an encoder, with attention over time like that over space where they have none over time."""
    renames = ((".norm1.", ".temporal_norm1."), (".attn.", ".temporal_attn."))
    copies = {
        name.replace(space, time): value
        for name, value in given.items()
        for space, time in renames
        if name.startswith("encoder.blocks.") and space in name
    }
    return {**copies, **given}
