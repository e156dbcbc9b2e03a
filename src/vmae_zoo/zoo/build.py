"""From a described file to a model with its weights, and an account of where each tensor went."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vmae_zoo.masking import TokenGrid
from vmae_zoo.methods.base import Method
from vmae_zoo.methods.registry import resolve_method
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.preprocessing import Normalize, Preprocessing
from vmae_zoo.zoo.convert.spec import ModelSpec

LOG = logging.getLogger("vmae_zoo")

TASKS = {"encoder": "an encoder", "pretrain": "a pre-training method", "classify": "a classifier"}

MOST_TOKENS = 2**17  # of a clip: a bound on what settings that came with a file can make us allocate


@dataclass(frozen=True)
class LoadReport:
    """Where a model came from and what became of each tensor of its file.

    Args:
        source: name or path as given.
        layout: of the file.
        method: class that the weights belong to.
        hparams: plain arguments of its constructor.
        used: names of the tensors that the model took.
        left_out: names that belong to the method but not to what was asked for (the decoder, when it was the encoder).
        missing: names that the model has and the file has not; allowed by the caller.
        unexpected: names that the file has and the method has not; allowed by the caller.
        licence: of the weights; None where nothing says it.
        revision: commit of the Hub repository.
        sha256: of the file.
        positions: what was done to them, where the model takes clips of another size than the file's.
        note: what its reader has to say about the file.
    """

    source: str
    layout: str
    method: str
    hparams: dict[str, Any]
    used: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    licence: str | None = None
    revision: str | None = None
    sha256: str | None = None
    positions: str | None = None
    note: str = ""

    def line(self) -> str:
        """The account in one line."""
        parts = [f"{self.source} ({self.layout} layout): {len(self.used)} tensors used for {self.method}"]
        for what in ("left_out", "missing", "unexpected"):
            names = getattr(self, what)
            if names:
                parts.append(f"{len(names)} {what.replace('_', ' ')} ({', '.join(parts_of(names))})")
        if self.positions:
            parts.append(self.positions)
        if self.note:
            parts.append(self.note)
        return ", ".join(parts)


def resizing(old: TokenGrid, new: TokenGrid) -> str:
    """What becomes of positions, in words."""
    old_size, new_size = (" x ".join(map(str, grid.pixels)) for grid in (old, new))
    return f"positions resized from clips of {old_size} to {new_size}"


class SkipInit(TorchFunctionMode):
    """Writes zeros instead of random numbers into weights that are about to be overwritten: it is faster."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Zeros for what draws; they also lie within the bounds of truncated kinds, which would draw again."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_"):
            with torch.no_grad():
                return (args[0] if args else kwargs["tensor"]).zero_()
        return func(*args, **kwargs)


def construct(described: ModelSpec, where: str) -> Method:
    """The model with the weights of its random start; ``ValueError`` where the settings do not make one."""
    _check_settings(described, where)
    try:
        model = resolve_method(described.method)(**described.hparams)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{where} describes a {described.method} that this version cannot build: {error}") from None
    if described.preprocessing:
        for encoder in {model.encoder, model.encoder_for_evaluation()}:
            prepare(encoder, described.preprocessing)
    return model


def evaluated_part(described: ModelSpec) -> str:
    """The beginning of the names of the encoder that is evaluated: "encoder.", or "target_encoder." of V-JEPA."""
    return resolve_method(described.method).evaluated_part(described.hparams) + "."


def prepare(encoder: Encoder, settings: dict[str, Any]) -> None:
    """Make the encoder expect its input as the file says."""
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    known = {**vars(encoder.preprocessing), **plain}
    encoder.preprocessing = Preprocessing(**known)
    encoder.normalizer = Normalize(encoder.preprocessing)


def build(
    described: ModelSpec,
    *,
    task: str,
    source: str,
    layout: str,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
    **origin: Any,
) -> nn.Module:
    """The model that ``task`` asks for, in eval mode, gradients on, with its account as ``.loaded``.

    Args:
        described: the file.
        task: a key of `TASKS`.
        source: for errors and the account.
        layout: for the account.
        allow_missing: patterns of names ("decoder.*") that may keep their random start.
        allow_unexpected: patterns of names that may be left lying.
        **origin: licence, revision, sha256 for the account.

    Raises:
        ValueError: the file is of another kind than the task, or a tensor fits nowhere, or one is missing.
    """
    check_task(described, task, source)
    names, part = described.tensors, evaluated_part(described) if task == "encoder" else ""
    if allow_missing:
        model = construct(described, source)
    else:
        with SkipInit():
            model = construct(described, source)
    expected = model.state_dict()
    missing = sorted(name for name in expected if name.startswith(part) and name not in names)
    unexpected = sorted(name for name in names if name not in expected)
    _refuse(source, "lacks", missing, allow_missing, "allow_missing")
    _refuse(source, "also holds", unexpected, allow_unexpected, "allow_unexpected")
    used = sorted(name for name in names if name in expected and name.startswith(part))
    check_tensors(names, expected, source, described.method)
    with torch.no_grad():
        for name in used:
            expected[name].copy_(names[name])
    loaded = LoadReport(
        source=source,
        layout=layout,
        method=described.method,
        hparams=described.hparams,
        used=tuple(used),
        left_out=tuple(sorted(name for name in names if name in expected and not name.startswith(part))),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        note=described.note,
        **origin,
    )
    _tell(loaded, names)
    result: nn.Module = model.encoder_for_evaluation() if task == "encoder" else model
    result.loaded = loaded  # type: ignore[assignment]
    return result.eval()


def check_task(described: ModelSpec, task: str, source: str) -> None:
    """Refuse to make one kind of model out of a file of another kind."""
    if task not in TASKS:
        raise ValueError(f"task = {task!r} is not known: choose one of {', '.join(TASKS)}")
    has_head = described.method == "Classifier" and "head.weight" in described.tensors
    has_decoder = described.method != "Classifier" and any(
        not n.startswith(evaluated_part(described)) for n in described.tensors
    )
    if task == "pretrain" and has_head:
        raise ValueError(f"{source} is a fine-tuned classifier, without a decoder: load it with task='classify'")
    if task == "pretrain" and not has_decoder:
        raise ValueError(f"{source} is an encoder alone, without a decoder: load it with task='encoder'")
    if task == "classify" and not has_head:
        raise ValueError(f"{source} has no classification head: load it with task='encoder' and train one on top")


def _check_settings(described: ModelSpec, where: str) -> None:
    """Settings beside weights are a stranger's: bound what they make us allocate before anything is built."""
    hparams = described.hparams
    frames, side, patch = (hparams.get(name) or 1 for name in ("frames", "image_size", "patch"))
    deep = [hparams.get(name) or 0 for name in ("depth", "decoder_depth")]
    wide = [hparams.get(name) or 0 for name in ("width", "decoder_width", "num_classes", "projection_width")]
    sane = all(isinstance(number, int) and 0 <= number <= 2**16 for number in (frames, side, patch, *deep, *wide))
    if not sane or frames * (side // max(patch, 8)) ** 2 > MOST_TOKENS or max(deep) > len(described.tensors):
        raise ValueError(f"{where} describes a model that its weights cannot be of: {hparams}")


def check_tensors(given: dict[str, Tensor], expected: dict[str, Tensor], source: str, method: str) -> None:
    """Refuse tensors of another shape or kind than their place, and numbers that are none."""
    for name in given.keys() & expected.keys():
        tensor, place = given[name], expected[name]
        if tensor.shape != place.shape:
            raise ValueError(
                f"{source}: {name} is {tuple(tensor.shape)}, and this {method} needs {tuple(place.shape)}: "
                "give num_heads, frames or image_size as it was trained, or take another file"
            )
        if tensor.is_floating_point() != place.is_floating_point():
            raise ValueError(f"{source}: {name} is {tensor.dtype}, weights are floating point: convert the file again")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{source}: {name} holds NaN or infinite values: take an earlier checkpoint")


def _refuse(source: str, what: str, names: list[str], allowed: Sequence[str], argument: str) -> None:
    left = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in allowed)]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise ValueError(
            f"{source} {what} {', '.join(left[:3])}{more}: if that is meant, name them, "
            f"for example {argument}={[_part(left[0]) + '*']}"
        )


def _tell(loaded: LoadReport, tensors: dict[str, Tensor]) -> None:
    told = LOG.warning if loaded.missing or loaded.unexpected else LOG.info
    told(loaded.line())
    biases = [name for name in loaded.used if name.endswith(("attn.q_bias", "attn.v_bias"))]
    if loaded.layout != "vmae_zoo" and biases and not any(bool(tensors[name].any()) for name in biases):
        LOG.warning(
            "%s: every query and value bias is zero, as transformers 5 wrote them before its fix of 2026-09: "
            "unless this model was never trained, its features are wrong; take the weights from their first source",
            loaded.source,
        )


def parts_of(names: Sequence[str]) -> list[str]:
    """The parts of a model that these tensors belong to."""
    return sorted({_part(name) for name in names})


def _part(name: str) -> str:
    """The part of the model that a tensor belongs to: "decoder." of "decoder.blocks.0.norm1.weight"."""
    head, dot, _ = name.partition(".")
    return head + dot
