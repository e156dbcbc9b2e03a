"""``load_pretrained``: from a name, a path or an address to a model that is ready to use."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vmae_zoo.methods.registry import CLASS_NAMES, METHODS
from vmae_zoo.models.encoder import resized
from vmae_zoo.zoo import registry
from vmae_zoo.zoo.build import LOG, TASKS, build, evaluated_part, resizing
from vmae_zoo.zoo.convert import layout_of
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec
from vmae_zoo.zoo.resolve import ResolvedFile, locate
from vmae_zoo.zoo.safe_load import CheckpointData, read_json, read_weights

WRAPPERS = ("module.", "_orig_mod.", "backbone.", "model.")


def load_pretrained(
    name_or_path: str | Path,
    *,
    task: str = "encoder",
    method: str | None = None,
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
    """Load weights into the model they belong to.

    Args:
        name_or_path: a name in the table of checkpoints; a file or folder; or "hf://org/repo[/file][@revision]".
        task: "encoder"; "pretrain" for the whole method, encoder and decoder; "classify" for a classifier.
        method: whose weights they are, where a file fits several: videomae, videomae_v2 or mgmae; vjepa or vjepa2.
        num_heads: attention heads of the encoder, where its width is not a published one.
        decoder_num_heads: of the decoder, likewise.
        predictor_num_heads: of V-JEPA's predictor, likewise.
        image_size: rows and columns in pixels of the clips it was trained on, where the file does not say; 224 without
            it.
        frames: frames of those clips, likewise; 16 without it.
        clip: (frames, rows, columns) of the clips that the encoder shall take, where they are others: its positions are
            resized by the policy of `vmae_zoo.models.positions`.
        endpoint: address of the Hub; None: the usual one.
        revision: branch, tag or commit on the Hub.
        allow_missing: patterns of names that the file may lack, for example ["decoder.*"]; they keep a random start.
        allow_unexpected: patterns of names that the file may have beyond the model.

    Returns:
        The model in eval mode, gradients on; ``.loaded`` tells what became of each tensor of the file.

    Raises:
        ValueError: in one sentence, why this file does not make this model.
    """
    if task not in TASKS:
        raise ValueError(f"task = {task!r} is not known: choose one of {', '.join(TASKS)}")
    if clip and task != "encoder":
        raise ValueError(f"clip = {clip} is for an encoder alone: a {task} model is trained anew for another size")
    if method is not None and method not in (*METHODS, "vjepa2"):
        raise ValueError(f"method = {method!r} is not known: choose one of {', '.join(METHODS)}, vjepa2")
    located = locate(name_or_path, task=task, endpoint=endpoint, revision=revision)
    heads = decoder_num_heads or predictor_num_heads
    told = LoadHints(located.name, task, method, num_heads, heads, image_size, frames)
    described, layout, licence = read(located, told)
    model: Any = build(
        described,
        task=task,
        source=located.name,
        layout=layout,
        allow_missing=allow_missing,
        allow_unexpected=allow_unexpected,
        licence=licence,
        revision=located.commit,
        sha256=located.sha256,
    )
    if clip is None:
        return model
    other: Any = resized(model, *clip)
    other.loaded = replace(model.loaded, positions=resizing(model.grid, other.grid))
    return other


def read(located: ResolvedFile, told: LoadHints) -> tuple[ModelSpec, str, str | None]:
    """What a file is, the name of its layout, and its licence where something says it."""
    config = read_json(located.file.parent / "config.json")
    processor = read_json(located.file.parent / "preprocessor_config.json")
    told = told.but(config=config | {"processor": processor})
    entry = located.entry
    if entry:
        told = with_entry(told, entry)
    contents = read_weights(located.file)
    described, layout = describe(contents, told)
    if entry:
        if described.method != entry.model:
            raise ValueError(
                f"{located.file} holds a {described.method}, {entry.name} is a {entry.model}: it is not that file"
            )
        part = evaluated_part(described) if entry.task == "encoder" else ""
        count = sum(value.numel() for name, value in described.tensors.items() if name.startswith(part))
        if count != entry.parameters:
            raise ValueError(
                f"{located.file} holds {count:,} parameters, {entry.name} has {entry.parameters:,}: it is not that file"
            )
        described = replace(described, preprocessing={**described.preprocessing, **entry.preprocessing})
    licence = entry.licence if entry else contents.record.get("licence") or config.get("licence")
    if isinstance(licence, str) and registry.is_non_commercial(licence):
        LOG.warning("%s: licence %s, not for commercial use", located.name, licence)
    return described, layout, licence if isinstance(licence, str) else None


def with_entry(told: LoadHints, entry: registry.Entry) -> LoadHints:
    """What the table says where the caller says nothing."""
    encoder, decoder = entry.heads
    return told.but(
        method=told.method or (entry.method if entry.method in (*METHODS, "vjepa2") else None),
        num_heads=told.num_heads or encoder,
        decoder_num_heads=told.decoder_num_heads or decoder,
        image_size=told.image_size or entry.architecture.get("image_size"),
        frames=told.frames or entry.architecture.get("frames"),
    )


def describe(contents: CheckpointData, told: LoadHints) -> tuple[ModelSpec, str]:
    """What a file is, and the name of its layout."""
    record = contents.record or (told.config if "vmae_zoo" in told.config else {})
    if "method" in record:
        return own(record, contents.tensors, told), "vmae_zoo"
    tensors = unwrapped(contents.tensors, told.where)
    layout = layout_of(tensors, told.where)
    try:
        return layout.read(tensors, told), layout.NAME
    except (KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{told.where} looks like the {layout.NAME} layout but is damaged or incomplete: {error!r}"
        ) from None


def own(record: dict[str, Any], tensors: dict[str, Tensor], told: LoadHints) -> ModelSpec:
    """A file that this package wrote: it says itself what it is."""
    method, hparams, preprocessing = (record.get(name) for name in ("method", "hparams", "preprocessing"))
    if method not in CLASS_NAMES or not isinstance(hparams, dict):
        raise ValueError(
            f"{told.where} says it is a {method!r} of vmae_zoo, which this version does not know: upgrade vmae_zoo"
        )
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in hparams.items()}
    return ModelSpec(str(method), plain, tensors, preprocessing if isinstance(preprocessing, dict) else {})


def unwrapped(tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """The names without what DistributedDataParallel, torch.compile and wrapper classes put before them."""
    names = {name: name.replace("_orig_mod.", "") for name in tensors}
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in names.values())), None):
        names = {name: short.removeprefix(wrapper) for name, short in names.items()}
    if len(set(names.values())) < len(names):
        raise ValueError(f"{where} holds some weights twice, once with a prefix and once without: keep one set")
    return {names[name]: value for name, value in tensors.items()}
