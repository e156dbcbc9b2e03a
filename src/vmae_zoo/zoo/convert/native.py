"""The layout of this package: weights with a record of what they are (see `vmae_zoo.methods.record`)."""

from typing import Any

from torch import Tensor

from vmae_zoo.methods.registry import CLASS_NAMES, METHODS, find_imported, import_path
from vmae_zoo.zoo.convert.spec import VJEPA_2, LoadHints, ModelSpec


def read(record: dict[str, Any], tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """A file written by this package, from its record."""
    method, hparams, preprocessing = (record.get(name) for name in ("method", "hparams", "preprocessing"))
    if not isinstance(method, str) or not (method in CLASS_NAMES or "." in method) or not isinstance(hparams, dict):
        raise ValueError(f"{hints.where} holds a method {method!r}, which this version does not know: upgrade vmae_zoo")
    if hints.method:
        method = METHODS["vjepa" if hints.method == VJEPA_2 else hints.method].class_name
    elif hints.method_class:
        method = import_path(hints.method_class)
    user_class = hints.method_class or (None if method in CLASS_NAMES else find_imported(method))
    part, task = record.get("part"), "classify" if method == "Classifier" else "pretrain"
    return ModelSpec(
        method,
        _plain(hparams),
        tensors,
        preprocessing if isinstance(preprocessing, dict) else {},
        task=user_class.task if user_class else str(record.get("task", task)),
        encoder_name=str(record.get("encoder_name", "encoder")),
        encoder=_encoder_settings(record.get("encoder"), hints.where),
        part=part if isinstance(part, str) else None,
        method_class=user_class,
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists for the tuples of arguments."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _encoder_settings(settings: Any, where: str) -> dict[str, Any] | None:
    if not isinstance(settings, dict):
        return None
    settings = _plain(settings)
    for name in ("clip", "cube"):
        value = settings.get(name)
        if not isinstance(value, tuple) or len(value) != 3 or not all(isinstance(n, int) and n > 0 for n in value):
            raise ValueError(f"{where} describes an encoder with {name} = {value!r}: expected three positive numbers")
    trained = settings.get("trained", (None, None))
    if not isinstance(trained, tuple) or len(trained) != 2:
        raise ValueError(f"{where} describes an encoder with trained = {trained!r}: expected two numbers")
    return settings
