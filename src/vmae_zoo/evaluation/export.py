"""Export of encoders and classifiers to ``torch.export`` (.pt2) and ONNX, compared with the model.

The exported program takes float clips, normalized as the model's preprocessing states, and returns one feature per clip
(an encoder: pooled) or logits (a classifier). Its batch size is dynamic.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.models.video_encoder import VideoEncoder

FORMATS = ("pt2", "onnx")
TOLERANCE = 1e-4  # largest difference allowed, relative to the largest output


class ExportWrapper(nn.Module):
    """A model whose only input is ``video`` and whose output is one row per clip.

    Args:
        model: an encoder, whose tokens are pooled, or a classifier.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> Tensor:
        """(B, C, T, H, W) -> features (B, D) or logits (B, K)."""
        out = self.model(video)
        return self.model.pool(out) if isinstance(self.model, VideoEncoder) else out


def export(model: nn.Module, file: Path) -> float:
    """Write the program, load it again and compare it with the model on batches of 1, 2 and 3 clips.

    Args:
        model: an encoder, or a classifier whose classes are known.
        file: file to write; its suffix, .pt2 or .onnx, is the format. A .json of the same stem holds the preprocessing.

    Returns:
        The largest difference, relative to the largest output.

    Raises:
        ValueError: the suffix is not known, the model is neither kind, or the program differs from the model.
        ModuleNotFoundError: ONNX needs packages that are not installed.
    """
    form = check_suffix(file)
    encoder, classes = _encoder_and_classes(model)
    program = ExportWrapper(model.cpu().eval())
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(count, 3, *encoder.clip_shape, generator=generator) for count in (2, 1, 3)]
    dynamic = {"video": {0: torch.export.Dim("batch", min=1, max=4096)}}
    file.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        exported = torch.export.export(program, (batches[0],), dynamic_shapes=dynamic)
        if form == "pt2":
            torch.export.save(exported, file)
            loaded: Any = torch.export.load(file).module()
            outputs = [loaded(batch) for batch in batches]
        else:
            outputs = _onnx(exported, file, batches)
        expected = [program(batch) for batch in batches]
    pairs = list(zip(outputs, expected, strict=True))
    largest = max(theirs.abs().max().item() for _, theirs in pairs)
    difference = max((ours - theirs).abs().max().item() for ours, theirs in pairs) / max(largest, 1e-12)
    if difference > TOLERANCE:
        file.unlink()
        raise ValueError(f"the exported program differs from the model by {difference:.1e} of its largest output")
    description = {
        "output": "feature" if model is encoder else "logits",
        "classes": classes,
        "input": ["batch", 3, *encoder.clip_shape],
        "preprocessing": asdict(encoder.preprocessing),
        "largest_difference": difference,
    }
    file.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n")
    return difference


def check_suffix(file: Path) -> str:
    """The format that a file name states; ``ValueError`` if it is not known."""
    form = file.suffix.lstrip(".")
    if form not in FORMATS:
        raise ValueError(f"{file}: the suffix must be .pt2 or .onnx")
    return form


def _encoder_and_classes(model: nn.Module) -> tuple[VideoEncoder, list[str]]:
    if isinstance(model, VideoEncoder):
        return model, []
    from vmae_zoo.methods.classifier import Classifier  # imports Lightning, which an encoder does not need

    if not isinstance(model, Classifier):
        raise ValueError(f"{type(model).__name__} is neither an encoder nor a classifier: export its encoder")
    return model.encoder, model.classes


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
