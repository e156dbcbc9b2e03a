"""Weights with their record, as they are written to a file."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

import vmae_zoo
from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.methods.base import Method
from vmae_zoo.methods.registry import CLASS_NAMES, METHODS
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.encoders import describe
from vmae_zoo.models.video_encoder import VideoEncoder


@dataclass(frozen=True)
class Package:
    """Weights and what they are.

    Args:
        weights: by name.
        record: see `vmae_zoo.methods.record`; in addition "part", the prefix of all names ("encoder." for an encoder
            alone, "" for a method), and the version of this package.
        inherited_licence: licence of the file that they were loaded from; None if not known.
    """

    weights: dict[str, Tensor]
    record: dict[str, Any]
    inherited_licence: str | None = None

    @property
    def encoder_only(self) -> bool:
        """Whether these are the weights of an encoder alone."""
        return self.record["part"] != ""

    @property
    def paper(self) -> str:
        """First line of the documentation of the module that defines the method; "" if it is not imported."""
        method = self.record["method"]
        if method in CLASS_NAMES:
            documentation = import_module(METHODS[CLASS_NAMES[method]].module).__doc__
        else:
            module = sys.modules.get(method.rpartition(".")[0])
            documentation = module.__doc__ if module else None
        return (documentation or "").partition("\n")[0]

    def save(self, folder: Path, licence: str | None) -> None:
        """Write ``model.safetensors``, which holds its record, and the record as ``config.json``."""
        record = {**self.record, "licence": licence}
        save_weights(self.weights, record, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(record, indent=2) + "\n")


def package(model: nn.Module) -> Package:
    """The weights and the record of a method, or of an encoder from `load_pretrained`; ``ValueError`` for others."""
    version = {"vmae_zoo": vmae_zoo.__version__}
    if isinstance(model, Method):
        record = {**version, **model.export_config(), "part": ""}
        return Package(dict(model.state_dict()), record, model.loaded.licence if model.loaded else None)
    if not isinstance(model, VideoEncoder) or model.loaded is None:
        raise ValueError(
            f"a {type(model).__name__} has no record of what it is: give a method, a classifier, an encoder from "
            "load_pretrained, or a checkpoint"
        )
    report = model.loaded
    prefix = f"{report.encoder_name}."
    record = {
        **version,
        "method": report.method,
        "hparams": report.hparams,
        "task": report.task,
        "preprocessing": asdict(model.preprocessing),
        "encoder_name": report.encoder_name,
        "encoder": describe(model) if type(model) is Encoder else None,
        "part": prefix,
    }
    return Package({prefix + name: value for name, value in model.state_dict().items()}, record, report.licence)


def save_weights(weights: Mapping[str, Tensor], record: Mapping[str, Any], path: Path) -> None:
    """Write a safetensors file that holds its record."""
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    with atomic_write(path) as partial:
        safetensors.torch.save_file(copies, partial, {"format": "pt", "vmae_zoo": json.dumps(record)})
