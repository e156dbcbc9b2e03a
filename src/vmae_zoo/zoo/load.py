"""``load_pretrained``: from a name, path or address to a model.

An encoder is loaded without importing Lightning or a method.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vmae_zoo.methods.registry import CLASS_NAMES, METHODS, import_path, resolve_method
from vmae_zoo.models.encoder import Encoder, resized
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.setting_checks import check_choice
from vmae_zoo.zoo import registry
from vmae_zoo.zoo.build import LOG, build, build_encoder, build_method
from vmae_zoo.zoo.convert import find_layout, layout, native
from vmae_zoo.zoo.convert.spec import VJEPA_2, LoadHints, ModelSpec
from vmae_zoo.zoo.resolve import TIMM, ResolvedFile, resolve
from vmae_zoo.zoo.safe_load import CheckpointData, read_json, read_weights

if TYPE_CHECKING:
    from vmae_zoo.methods.base import Method

TASKS = ("encoder", "pretrain", "classify")
WRAPPERS = ("module.", "_orig_mod.", "backbone.", "model.")


def load_pretrained(
    name_or_path: str | Path,
    *,
    task: str = "encoder",
    method: "str | type[Method] | None" = None,
    num_heads: int | None = None,
    decoder_num_heads: int | None = None,
    predictor_num_heads: int | None = None,
    image_size: int | None = None,
    frames: int | None = None,
    clip: tuple[int, int, int] | None = None,
    endpoint: str | None = None,
    revision: str | None = None,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> nn.Module:
    """Load weights into the model that they belong to.

    Args:
        name_or_path: a name in the table of checkpoints; a file or folder; ``hf://org/repo[/file][@revision]``; or
            "timm:NAME", an image transformer of timm.
        task: "encoder"; "pretrain" for the whole method, encoder and decoder; "classify" for a classifier.
        method: method that the weights belong to: a class of your own or its import path ("my_package.MyMAE"), which is
            imported; or videomae, videomae_v2 or mgmae for a file of their common layout, vjepa or vjepa2 for theirs. A
            class that a file names is used if it is imported already.
        num_heads: attention heads of the encoder, if its width is not a published one.
        decoder_num_heads: attention heads of the decoder, if its width is not a published one.
        predictor_num_heads: attention heads of V-JEPA's predictor, if its width is not a published one.
        image_size: rows and columns in pixels of the clips it was trained on, if the file does not state them (224).
        frames: frames of those clips, if the file does not state them (16).
        clip: (frames, rows, columns) of the clips that the encoder will be given, if they differ: its positions are
            resized, see `vmae_zoo.models.positions`.
        endpoint: address of the Hub; None: that of huggingface_hub.
        revision: branch, tag or commit on the Hub.
        allow_missing: patterns of names that the file may lack, for example ["decoder.*"]; they keep a random
            initialization.
        allow_unexpected: patterns of names that the file may hold in excess of the model.

    Returns:
        The model in eval mode with gradients enabled; its attribute ``loaded``, a
        `vmae_zoo.models.load_report.LoadReport`, lists what became of each tensor.

    Raises:
        ValueError: the file does not exist, is damaged, or does not hold this model.
    """
    check_choice("task", task, TASKS)
    if clip and task != "encoder":
        raise ValueError(f"clip = {clip} is for an encoder alone: train a {task} model for another clip size")
    stated = {"num_heads": num_heads, "image_size": image_size, "frames": frames}
    hints = make_hints(name_or_path, task, method, decoder_num_heads or predictor_num_heads, **stated)
    spec, origin = read_source(name_or_path, hints, endpoint=endpoint, revision=revision)
    model = build(spec, origin, task, allow_missing, allow_unexpected)
    if clip is None:
        return model
    if not isinstance(model, Encoder):
        raise ValueError(f"clip = {clip}: {type(model).__name__} is not an encoder of this package, which it resizes")
    other, report = resized(model, *clip), model.loaded
    assert report is not None
    other.loaded = replace(report, positions=describe_resize(model.grid.pixels, other.grid.pixels))
    return other


def load_full(name_or_path: str | Path, **hints: Any) -> "VideoEncoder | Method":
    """Everything that a file holds: a method, a classifier, or an encoder; arguments as for `load_pretrained`."""
    spec, origin = read_source(name_or_path, make_hints(name_or_path, "pretrain", **hints))
    return build(spec, origin, task="encoder" if spec.encoder_only else spec.task)


def load_untrained(name_or_path: str | Path, seed: int = 0, **hints: Any) -> VideoEncoder:
    """The encoder that `load_pretrained` loads, with random weights: the baseline for its pre-training.

    The global random state stays as it is; ``hints`` are arguments of `load_pretrained`.
    """
    spec, origin = read_source(name_or_path, make_hints(name_or_path, **hints))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if spec.method_class is not None:
            return build_method(spec, origin["source"]).encoder_for_evaluation().eval()
        if spec.method in CLASS_NAMES:  # the description of an encoder does not state its initialization
            spec = replace(spec, encoder=None)
        return build_encoder(spec, origin["source"]).eval()


def make_hints(
    name_or_path: str | Path,
    task: str = "encoder",
    method: "str | type[Method] | None" = None,
    decoder_num_heads: int | None = None,
    predictor_num_heads: int | None = None,
    **stated: Any,
) -> LoadHints:
    """The hints of a caller; a class of this package is not imported before it is needed."""
    hints = LoadHints(str(name_or_path), task, decoder_num_heads=decoder_num_heads or predictor_num_heads, **stated)
    if method is None or method == VJEPA_2:
        return hints.but(method=method)
    if isinstance(method, str) and CLASS_NAMES.get(method, method) in METHODS:
        return hints.but(method=CLASS_NAMES.get(method, method))
    return hints.but(method_class=resolve_method(method))


def describe_resize(old: tuple[int, int, int], new: tuple[int, int, int]) -> str:
    """How positions were adapted from one clip size to another, for a report."""
    sizes = (" x ".join(map(str, size)) for size in (old, new))
    return "positions resized from clips of {} to {}".format(*sizes)


def read_source(
    name_or_path: str | Path, hints: LoadHints, *, endpoint: str | None = None, revision: str | None = None
) -> tuple[ModelSpec, dict[str, Any]]:
    """Find and read weights: what they are, and their origin (source, layout, licence, revision, sha256)."""
    if str(name_or_path).startswith(TIMM):
        from vmae_zoo.zoo.timm_models import read_timm

        if endpoint or revision:
            raise ValueError(f"{name_or_path}: timm chooses the address and revision: set HF_ENDPOINT to change it")
        return read_timm(str(name_or_path), hints)
    resolved = resolve(name_or_path, task=hints.task, endpoint=endpoint, revision=revision)
    spec, layout_name, licence = read(resolved, hints.but(where=resolved.name))
    origin = {"source": resolved.name, "layout": layout_name, "licence": licence}
    return spec, origin | {"revision": resolved.commit, "sha256": resolved.sha256}


def read(resolved: ResolvedFile, hints: LoadHints) -> tuple[ModelSpec, str, str | None]:
    """Contents of a file, the name of its layout, and its licence if it is stated."""
    config = read_json(resolved.file.parent / "config.json")
    processor = read_json(resolved.file.parent / "preprocessor_config.json")
    hints = hints.but(config=config | {"processor": processor})
    data, entry = read_weights(resolved.file), resolved.entry
    spec, layout_name = describe_weights(data, with_entry(hints, entry) if entry else hints)
    if entry:
        _check_entry(spec, entry, resolved.file)
        spec = replace(spec, preprocessing={**spec.preprocessing, **entry.preprocessing})
    licence = entry.licence if entry else data.record.get("licence") or config.get("licence")
    licence = licence if isinstance(licence, str) else None
    if licence and registry.is_non_commercial(licence):
        LOG.warning("%s: licence %s, not for commercial use", resolved.name, licence)
    return spec, layout_name, licence


def with_entry(hints: LoadHints, entry: registry.Entry) -> LoadHints:
    """The hints, completed by what the table of checkpoints states."""
    encoder_heads, decoder_heads = entry.num_heads
    foreign = entry.layout != "vmae_zoo"
    return hints.but(
        method=hints.method or (entry.method if foreign and entry.method in (*METHODS, VJEPA_2) else None),
        num_heads=hints.num_heads or encoder_heads,
        decoder_num_heads=hints.decoder_num_heads or decoder_heads,
        image_size=hints.image_size or entry.architecture.get("image_size"),
        frames=hints.frames or entry.architecture.get("frames"),
    )


def _check_entry(spec: ModelSpec, entry: registry.Entry, file: Path) -> None:
    """``ValueError`` if the file is of another model than its entry in the table."""
    if spec.method != entry.model:
        raise ValueError(f"{file} holds a {spec.method}, {entry.name} is a {entry.model}: it is not that file")
    part = f"{spec.encoder_name}." if entry.task == "encoder" else ""
    count = sum(value.numel() for name, value in spec.tensors.items() if name.startswith(part))
    if count != entry.parameters:
        raise ValueError(
            f"{file} holds {count:,} parameters, {entry.name} has {entry.parameters:,}: it is not that file"
        )


def describe_weights(data: CheckpointData, hints: LoadHints) -> tuple[ModelSpec, str]:
    """What weights are, and the name of their layout."""
    record = data.record or (hints.config if "vmae_zoo" in hints.config else {})
    if "method" in record:
        return native.read(record, data.tensors, hints), "vmae_zoo"
    tensors = strip_wrappers(data.tensors, hints.where)
    name = find_layout(tensors, hints.where)
    try:
        spec = layout(name).read(tensors, hints)
    except (KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{hints.where} looks like the {name} layout but is damaged or incomplete: {error!r}"
        ) from None
    user_class = hints.method_class
    if user_class is None:
        return spec, name
    if not issubclass(user_class, resolve_method(spec.method)):
        raise ValueError(f"{hints.where} holds a {spec.method}, from which {user_class.__name__} does not derive")
    return replace(spec, method=import_path(user_class), method_class=user_class), name


def strip_wrappers(tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """The weights without the prefixes of DistributedDataParallel, torch.compile and wrapper classes."""
    names = {name: name.replace("_orig_mod.", "") for name in tensors}
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in names.values())), None):
        names = {name: short.removeprefix(wrapper) for name, short in names.items()}
    if len(set(names.values())) < len(names):
        raise ValueError(f"{where} holds some weights twice, with and without a prefix: keep one set")
    return {names[name]: value for name, value in tensors.items()}
