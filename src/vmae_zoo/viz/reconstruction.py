"""Reconstructions of hidden cubes, compared with the clip and with a prediction of zero.

Methods predict normalized values. Once the true mean and standard deviation of a cube are restored, even a prediction
of zero has the right color in every cube, so each picture and number is given for a prediction of zero too: a method
has learned something if its error is smaller.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens of the grid, M predicted; p, q, r = sides of a cube.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from vmae_zoo.masking.clusters import ClusterOrder
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.arvideo import ARVideo
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.models.eval_mode import eval_mode
from vmae_zoo.models.patchify import patchify, unpatchify
from vmae_zoo.models.targets import cubes_of_values, undo_normalized_cubes, undo_normalized_patches
from vmae_zoo.viz.picture import Panel, spread_indices

GRAY = 0.5  # of cubes that are neither visible nor predicted


@dataclass(frozen=True)
class Reconstruction:
    """Reconstructed clips; videos are float32 (B, C, T, H, W) in [0, 1] on the CPU.

    Args:
        clip: the predicted frames (all frames; in space-time MAE one per cube).
        visible: the visible cubes; the others are gray.
        ours: the visible cubes, and the predictions with the true mean and standard deviation of each cube restored.
        zero: the same for a prediction of zero everywhere.
        mse: float32 (B,), mean square error of ``ours`` over the predicted cubes that the encoder does not see.
        zero_mse: float32 (B,), that of ``zero``.
        null: the same of the best null, see `vmae_zoo.training.nulls`.
        null_name: of the best null: "clip_mean", "place_mean" or "copy".
        null_mse: float32 (B,), that of ``null``.
    """

    clip: Tensor
    visible: Tensor
    ours: Tensor
    zero: Tensor
    mse: Tensor
    zero_mse: Tensor
    null: Tensor
    null_name: str
    null_mse: Tensor

    def numbers(self) -> dict[str, float]:
        """Errors over all clips; PSNR in decibels."""
        ours, zero, null = float(self.mse.mean()), float(self.zero_mse.mean()), float(self.null_mse.mean())
        return {
            "mse": ours,
            "zero_mse": zero,
            "mse_over_zero": ours / max(zero, 1e-12),
            "psnr": psnr(ours),
            "zero_psnr": psnr(zero),
            "null_mse": null,
            "mse_over_null": ours / max(null, 1e-12),
        }


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio of pixels in [0, 1], in decibels."""
    return -10 * math.log10(max(mse, 1e-12))


def reconstructs(module: nn.Module) -> TypeGuard[MaskedMethod]:
    """Whether this is a masked method that predicts pixels."""
    return isinstance(module, MaskedMethod) and module.targets is not None


def check_method(module: nn.Module) -> MaskedMethod:
    """The same module; ``ValueError`` unless it is a masked method that predicts pixels."""
    if not reconstructs(module):
        raise ValueError(f"{type(module).__name__} is not a masked method that predicts pixels: it cannot be shown")
    return module


@torch.no_grad()
def reconstruct(module: nn.Module, batch: dict[str, Any], split: Any = None) -> Reconstruction:
    """Mask clips, predict the hidden cubes and assemble the result.

    Args:
        module: a method that predicts pixels; its mode and the random state do not change.
        batch: as from the data module, on the method's device.
        split: masks for the method's ``forward``; None: its own.

    Raises:
        ValueError: the method predicts no pixels.
    """
    method = check_method(module)
    with eval_mode(method), torch.compiler.set_stance("force_eager"):  # compiling is not worth it for a few clips
        if split is None:
            split = method.sample_mask(batch)
        video_BCTHW = method.normalize(batch["video"])
        prediction_BMK = method(video_BCTHW, split).prediction.float()
        predictions = method.null_predictions(video_BCTHW, split)
    pixels_BCTHW, inputs_BCTHW = batch["video"].float() / 255, video_BCTHW.float()
    grid, frames = method.target_grid, method.target_frames
    if frames is not None:
        pixels_BCTHW, inputs_BCTHW = pixels_BCTHW[:, :, frames], inputs_BCTHW[:, :, frames]

    seen_BN, given_BN, predicted_BM = token_masks(method, split)
    truth_BNCpqr = patchify(pixels_BCTHW, grid)
    counted_BN = ids_to_mask(predicted_BM, grid) & ~given_BN

    def complete(values_BMK: Tensor) -> tuple[Tensor, Tensor]:
        cubes = torch.full_like(truth_BNCpqr, GRAY)
        rows = torch.arange(len(cubes), device=cubes.device)[:, None]
        cubes[rows, predicted_BM] = predicted_pixels(
            method, values_BMK, patchify(inputs_BCTHW, grid, predicted_BM)
        ).clamp(0, 1)
        cubes = torch.where(_over_cubes(given_BN), truth_BNCpqr, cubes)
        error_BN = (cubes - truth_BNCpqr).square().mean(dim=(2, 3, 4, 5))
        return unpatchify(cubes, grid).cpu(), ((error_BN * counted_BN).sum(1) / counted_BN.sum(1)).cpu()

    ours, mse = complete(prediction_BMK)
    zero, zero_mse = complete(torch.zeros_like(prediction_BMK))
    nulls = {name: complete(null.expand_as(prediction_BMK)) for name, null in predictions.items()}
    best = min(nulls, key=lambda name: float(nulls[name][1].mean()))
    visible = unpatchify(torch.where(_over_cubes(seen_BN), truth_BNCpqr, GRAY), grid).cpu()
    return Reconstruction(pixels_BCTHW.cpu(), visible, ours, zero, mse, zero_mse, nulls[best][0], best, nulls[best][1])


def predicted_pixels(method: MaskedMethod, values_BMK: Tensor, inputs_BMCpqr: Tensor) -> Tensor:
    """Predicted values as pixels (B, M, C, p, q, r): undo the normalization of this method's targets."""
    denormalize = method.encoder.normalizer.pixels
    normalized = method.normalizes_target
    if method.targets == "pixels":
        pixels = denormalize(inputs_BMCpqr, channel_dim=2)
        return undo_normalized_cubes(values_BMK, pixels) if normalized else cubes_of_values(values_BMK, pixels)
    undo = undo_normalized_patches if normalized else cubes_of_values
    return denormalize(undo(values_BMK, inputs_BMCpqr), channel_dim=2)


def token_masks(method: MaskedMethod, split: TokenSplit | ClusterOrder) -> tuple[Tensor, Tensor, Tensor]:
    """Visible tokens, bool (B, N); tokens shown unchanged, bool (B, N); ids of predicted tokens, int64 (B, M).

    An autoregressive method sees tokens of every cluster but the last, and predicts each cluster before it sees any of
    it: only the first visited one is shown unchanged.
    """
    if isinstance(split, ClusterOrder):
        tokens_Kn = cluster_tokens(method)
        seen_BN = ids_to_mask(split.kept[:, :-1].flatten(1), method.grid)
        return seen_BN, ids_to_mask(split.kept[:, 0], method.grid), tokens_Kn[split.order[:, 1:]].flatten(1)
    seen_BN = ids_to_mask(split.visible, method.grid)
    return seen_BN, seen_BN, split.predicted


def cluster_tokens(method: MaskedMethod) -> Tensor:
    """Token ids (K, n) of each cluster of a method that visits clusters."""
    if not isinstance(method, ARVideo):
        raise ValueError(f"{type(method).__name__} samples a ClusterOrder: derive it from ARVideo, so that it is shown")
    return method.cluster_tokens


def ids_to_mask(ids_BM: Tensor, grid: TokenGrid) -> Tensor:
    """Bool (B, N), True at these ids."""
    mask = torch.zeros(len(ids_BM), grid.tokens, dtype=torch.bool, device=ids_BM.device)
    return mask.scatter(1, ids_BM, True)


def _over_cubes(mask_BN: Tensor) -> Tensor:
    return mask_BN[:, :, None, None, None, None]


def panels(result: Reconstruction, columns: int = 8, names: Sequence[str] = ()) -> list[Panel]:
    """Panels with rows from the clip to the best null: one panel per clip, or one for all images."""
    rows = {
        "clip": result.clip,
        "visible": result.visible,
        "reconstruction": result.ours,
        "zero prediction": result.zero,
        f"best null: {result.null_name.replace('_', ' ')}": result.null,
    }
    frames = {label: as_frames(video) for label, video in rows.items()}  # (B, T, H, W, C)
    if result.clip.shape[2] == 1:
        images = {label: video[:columns, 0] for label, video in frames.items()}
        title = ", ".join(filter(None, names[:columns]))
        return [Panel(title, images, caption(result))]
    shown = spread_indices(result.clip.shape[2], columns)
    return [
        Panel(
            names[clip] if names else "",
            {label: video[clip, shown] for label, video in frames.items()},
            caption(result, clip),
        )
        for clip in range(len(result.clip))
    ]


def caption(result: Reconstruction, clip: int | None = None) -> str:
    """The errors of one clip, or of all of them, in words."""
    shown = slice(None) if clip is None else slice(clip, clip + 1)
    errors = {
        "mean square error of hidden cubes": result.mse,
        "zero prediction": result.zero_mse,
        f"best null ({result.null_name.replace('_', ' ')})": result.null_mse,
    }
    means = {name: float(error[shown].mean()) for name, error in errors.items()}
    return ", ".join(f"{name} {mean:.5f} ({psnr(mean):.2f} dB)" for name, mean in means.items())


def as_frames(video_BCTHW: Tensor) -> np.ndarray:
    """Videos in [0, 1] as uint8 frames (B, T, H, W, C)."""
    return (video_BCTHW.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 4, 1).numpy()
