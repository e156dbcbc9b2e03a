"""Encoders and classifiers as programs of their own: ``torch.export`` (.pt2) and ONNX, checked against the model.

The program takes float clips, normalised as the model's preprocessing says, and gives features (an encoder: pooled) or
logits (a classifier). Its batch size is free.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FORMATS = ("pt2", "onnx")


class ExportWrapper(nn.Module):
    """What is exported: clips to logits, or clips to one feature each."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.classifies = hasattr(model, "head")

    def forward(self, video: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, K) or (B, D)."""
        return self.model(video) if self.classifies else self.model.pool(self.model(video))


def export(model: Any, file: Path, tolerance: float = 1e-4) -> float:
    """Write the program, load it again and compare it with the model on batches of 1 and 3.

    Args:
        model: an encoder, or a classifier that has its classes.
        file: where to; its ending, .pt2 or .onnx, says what. A .json of the same stem tells the preprocessing.
        tolerance: largest difference allowed, relative to the largest output.

    Returns:
        The largest difference found, relative to the largest output.

    Raises:
        ValueError: the ending is not known, or the program differs from the model.
        ModuleNotFoundError: ONNX needs packages that are not installed.
    """
    form = file.suffix.lstrip(".")
    if form not in FORMATS:
        raise ValueError(f"{file} names no format: let it end in .pt2 or .onnx")
    encoder = model.encoder if hasattr(model, "head") else model
    program = ExportWrapper(model.cpu().eval())
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(count, 3, *encoder.grid.pixels, generator=generator) for count in (2, 1, 3)]
    dynamic = {"video": {0: torch.export.Dim("batch", min=1, max=4096)}}
    file.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        exported = torch.export.export(program, (batches[0],), dynamic_shapes=dynamic)
        if form == "pt2":
            torch.export.save(exported, file)
            again: Any = torch.export.load(file).module()
            outputs = [again(batch) for batch in batches]
        else:
            outputs = _onnx(exported, file, batches)
        expected = [program(batch) for batch in batches]
    pairs = list(zip(outputs, expected, strict=True))
    largest = max(theirs.abs().max().item() for _, theirs in pairs)
    difference = max((ours - theirs).abs().max().item() for ours, theirs in pairs) / max(largest, 1e-12)
    if difference > tolerance:
        file.unlink()
        raise ValueError(f"the exported program differs from the model by {difference:.1e} of its largest output")
    about = {
        "output": "logits" if program.classifies else "feature",
        "classes": getattr(model, "classes", []),
        "input": ["batch", 3, *encoder.grid.pixels],
        "preprocessing": asdict(encoder.preprocessing),
        "largest_difference": difference,
    }
    file.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    return difference


def _onnx(exported: Any, file: Path, batches: list[Tensor]) -> list[Tensor]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"ONNX needs {error.name}, which is not installed: pip install 'vmae-zoo[export]'"
        ) from None
    torch.onnx.export(exported, f=str(file), dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [torch.from_numpy(session.run(None, {name: batch.numpy()})[0]) for batch in batches]
