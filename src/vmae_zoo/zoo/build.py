"""From a `ModelSpec` to a model with its weights, and a `LoadReport` of what became of each tensor."""

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vmae_zoo.methods.registry import CLASS_NAMES, METHODS, resolve_method
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.encoders import FAMILIES, rebuild
from vmae_zoo.models.load_report import LoadReport, part_names
from vmae_zoo.models.preprocessing import Normalize, Preprocessing
from vmae_zoo.models.sizes import ENCODERS
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.zoo.convert.spec import ModelSpec
from vmae_zoo.zoo.resolve import check_task

if TYPE_CHECKING:
    from vmae_zoo.methods.base import Method

LOG = logging.getLogger("vmae_zoo")

MAX_SIZE = 2**16  # of any dimension that settings beside weights state
MAX_TOKENS = 2**17  # of a clip: limits what such settings can allocate
MAX_TABLE = 2**28  # tokens x width: of a table of positions, 1 GB
DEPTHS = ("depth", "decoder_depth", "predictor_depth")
SIZES = (  # settings that determine how much memory a model takes
    *(*DEPTHS, "width", "decoder_width", "predictor_width", "projection_width", "projection_dim", "num_classes"),
    *("mlp_ratio", "frames", "trained_frames", "image_size", "trained_image_size", "patch"),
)


class SkipInit(TorchFunctionMode):
    """Writes zeros instead of random numbers into weights that are about to be overwritten, which is faster."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Zeros are also within the bounds of truncated distributions, which would otherwise be sampled again."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_"):
            with torch.no_grad():
                return (args[0] if args else kwargs["tensor"]).zero_()
        return func(*args, **kwargs)


def build(
    spec: ModelSpec,
    origin: Mapping[str, Any],
    task: str,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> "VideoEncoder | Method":
    """The model for a task, in eval mode with gradients enabled; its attribute ``loaded`` is the `LoadReport`.

    Args:
        spec: contents of the file.
        origin: source, layout, licence, revision and sha256 of the file, for the report.
        task: "encoder", "pretrain" or "classify".
        allow_missing: patterns of names ("decoder.*") that may keep their random initialization.
        allow_unexpected: patterns of names that may be ignored.

    Raises:
        ValueError: the file is of another kind than the task, or a tensor is missing, unexpected or of another shape.
    """
    source = origin["source"]
    check_task(source, "encoder" if spec.encoder_only else spec.task, task)
    prefix = f"{spec.encoder_name}." if task == "encoder" else ""
    model: VideoEncoder | Method
    make = build_encoder if task == "encoder" else build_method
    given = {name: value for name, value in spec.tensors.items() if name.startswith(prefix)}

    def compared(expected: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
        missing, unexpected = sorted(expected.keys() - given.keys()), sorted(given.keys() - expected.keys())
        _check_names(source, "lacks", missing, allow_missing, "allow_missing")
        _check_names(source, "also holds", unexpected, allow_unexpected, "allow_unexpected")
        check_tensors(given, expected, source, spec.method)
        return missing, unexpected

    if spec.method in CLASS_NAMES:  # names and shapes first, without memory for a model that the file may not hold
        with torch.device("meta"):
            compared({prefix + name: value for name, value in make(spec, source).state_dict().items()})
    with nullcontext() if allow_missing else SkipInit():
        model = make(spec, source)
    expected = {prefix + name: value for name, value in model.state_dict().items()}
    missing, unexpected = compared(expected)
    used = sorted(given.keys() & expected.keys())
    copy_tensors(given, expected, used)
    report = LoadReport(
        method=spec.method,
        hparams=spec.hparams,
        used=tuple(used),
        left_out=tuple(sorted(spec.tensors.keys() - given.keys())),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        task=spec.task,
        encoder_name=spec.encoder_name,
        note=", ".join(filter(None, (spec.note, _depth_note(spec, origin["layout"])))),
        **origin,
    )
    _log_report(report, spec.tensors)
    model.loaded = report
    return model.eval()


def build_encoder(spec: ModelSpec, source: str) -> VideoEncoder:
    """The encoder of a method, without the method if it is of a class of this package."""
    if spec.encoder is None and spec.method not in CLASS_NAMES:
        return build_method(spec, source).encoder_for_evaluation()
    _check_sizes(spec, source)
    try:
        if spec.encoder is not None:
            encoder = rebuild(**spec.encoder)
        else:
            encoder = FAMILIES[METHODS[CLASS_NAMES[spec.method]].encoder](**spec.hparams)
    except (ValueError, TypeError, ArithmeticError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{source} describes an encoder that this version cannot build: {error}") from None
    if spec.preprocessing:
        set_preprocessing(encoder, spec.preprocessing, source)
    if spec.method not in CLASS_NAMES and spec.method_class is None:
        LOG.warning("%s was trained by %s, which is not imported: its encoder alone is loaded", source, spec.method)
    return encoder


def build_method(spec: ModelSpec, source: str) -> "Method":
    """The method with random weights; ``ValueError`` if its class is not known or does not accept the arguments."""
    from vmae_zoo.methods.record import build_from  # imports Lightning, which an encoder does not need

    _check_sizes(spec, source)
    found = resolve_method(spec.method) if spec.method in CLASS_NAMES else spec.method_class
    if found is None:
        raise ValueError(
            f"{source} was trained by {spec.method}, which is not imported: "
            f"name it by method={spec.method!r}, --method {spec.method} on the command line"
        )
    try:
        model = build_from(found, spec.hparams)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{source} describes a {spec.method} that cannot be built: {error}") from None
    if spec.preprocessing:
        for encoder in {model.encoder, model.encoder_for_evaluation()}:
            set_preprocessing(encoder, spec.preprocessing, source)
    return model


def set_preprocessing(encoder: VideoEncoder, settings: Mapping[str, Any], source: str) -> None:
    """Set what an encoder expects of its input; ``ValueError`` if no encoder can."""
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    try:
        encoder.preprocessing = Preprocessing(**{**vars(encoder.preprocessing), **changes})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source} states a preprocessing that no encoder can have: {error}") from None
    if isinstance(encoder, Encoder):
        encoder.normalizer = Normalize(encoder.preprocessing)


def check_tensors(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str, method: str) -> None:
    """``ValueError`` if tensors have another shape or kind than the model's, or values that are not finite."""
    for name in given.keys() & expected.keys():
        tensor, own = given[name], expected[name]
        if tensor.shape != own.shape:
            raise ValueError(
                f"{source}: {name} is {tuple(tensor.shape)}, and this {method} needs {tuple(own.shape)}: "
                "give num_heads, frames or image_size as it was trained, or take another file"
            )
        if tensor.is_floating_point() != own.is_floating_point():
            raise ValueError(f"{source}: {name} is {tensor.dtype}, weights are floating point: convert the file again")
        if tensor.is_floating_point() and own.device.type != "meta" and not bool(tensor.isfinite().all()):
            raise ValueError(f"{source}: {name} holds NaN or infinite values: take an earlier checkpoint")


@torch.no_grad()
def copy_tensors(given: Mapping[str, Tensor], into: Mapping[str, Tensor], names: Collection[str]) -> None:
    """Copy tensors by name, in place."""
    for name in names:
        into[name].copy_(given[name])


def _check_sizes(spec: ModelSpec, source: str) -> None:
    """``ValueError`` if settings in a file, which are untrusted, describe a model that its weights cannot be of."""
    described = [spec.hparams] if spec.method in CLASS_NAMES else []
    if spec.encoder is not None:
        (frames, *sides), trained = spec.encoder["clip"], spec.encoder.get("trained", (None, None))
        clip = {"frames": frames, "image_size": max(sides), "patch": spec.encoder["cube"][1]}
        described.append({**spec.encoder, **clip, "trained_frames": trained[0], "trained_image_size": trained[1]})
    for settings in described:
        size = {name: settings.get(name) or 0 for name in SIZES}
        valid = all(isinstance(value, int | float) and 0 <= value <= MAX_SIZE for value in size.values())
        if valid:
            side = max(size["image_size"], size["trained_image_size"]) // max(size["patch"] or 1, 8)
            tokens = max(size["frames"], size["trained_frames"], 1) * side**2
            depth = max(size[name] for name in DEPTHS)
            known = {length for value in spec.tensors.values() if value.numel() for length in value.shape}
            valid = size.get("width", 0) in {0, *known} and tokens * (size.get("width") or 1) <= MAX_TABLE
            valid = valid and tokens <= MAX_TOKENS and depth <= len(spec.tensors) and size["mlp_ratio"] < 64
        if not valid:
            raise ValueError(f"{source} describes a model that its weights cannot belong to: {settings}")


def _check_names(source: str, problem: str, names: list[str], allowed: Sequence[str], argument: str) -> None:
    left = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in allowed)]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise ValueError(
            f"{source} {problem} {', '.join(left[:3])}{more}: if that is intended, allow it, "
            f"for example {argument}={[part_names(left)[0] + '*']}"
        )


def _depth_note(spec: ModelSpec, layout: str) -> str:
    """A note if a file of another program has fewer blocks than the published encoder of its width."""
    width, depth = spec.hparams.get("width"), spec.hparams.get("depth")
    published = {size.width: size.depth for name, size in ENCODERS.items() if name != "tiny"}.get(width or 0)
    if layout == "vmae_zoo" or not published or not depth or depth >= published:
        return ""
    return f"{depth} blocks, where the published encoder of width {width} has {published}"


def _log_report(report: LoadReport, tensors: Mapping[str, Tensor]) -> None:
    log = LOG.warning if report.missing or report.unexpected or " blocks, where " in report.note else LOG.info
    log(report.line())
    biases = [name for name in report.used if name.endswith(("attn.q_bias", "attn.v_bias"))]
    if report.layout != "vmae_zoo" and biases and not any(bool(tensors[name].any()) for name in biases):
        LOG.warning(
            "%s: every query and value bias is zero, as written by transformers 5 before its fix of 2026-09: "
            "unless this model was never trained, its features are wrong; take the weights from their first source",
            report.source,
        )
