"""What a method makes of the cubes it does not see, beside the clip and beside a prediction of zero.

Methods predict normalised values: with a cube's true mean and deviation put back, even a prediction of zero shows the
right colour in every cube. So each picture and each number stands beside the same one from a zero prediction: what is
nearer to the clip than that, the method has learnt.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens of the grid, M predicted; p, q, r = sides of a cube.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vmae_zoo.masking.clusters import ClusterOrder
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.base import MaskedMethod
from vmae_zoo.models.patchify import patchify, unpatchify
from vmae_zoo.models.targets import cubes_of_values, undo_normalised_cubes, undo_normalised_patches
from vmae_zoo.viz.picture import Panel, chosen_frames

GREY = 0.5  # of cubes that are neither seen nor predicted


@dataclass(frozen=True)
class Reconstruction:
    """Clips as a method sees and completes them; videos are float32 (B, C, T, H, W) in [0, 1] on the CPU.

    Args:
        clip: the frames that predictions are of (every frame but in space-time MAE, which predicts one of each cube).
        visible: what the encoder sees, the rest grey.
        ours: what the encoder sees, and the predictions with the true mean and deviation of each cube put back.
        zero: the same of a prediction that is zero everywhere.
        mse: float32 (B,), mean square error of ``ours`` over the predicted cubes that the encoder does not see.
        zero_mse: float32 (B,), that of ``zero``.
    """

    clip: Tensor
    visible: Tensor
    ours: Tensor
    zero: Tensor
    mse: Tensor
    zero_mse: Tensor

    def numbers(self) -> dict[str, float]:
        """Errors over all clips; PSNR in decibels."""
        ours, zero = float(self.mse.mean()), float(self.zero_mse.mean())
        return {
            "mse": ours,
            "zero_mse": zero,
            "mse_over_zero": ours / max(zero, 1e-12),
            "psnr": psnr(ours),
            "zero_psnr": psnr(zero),
        }


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio of pixels in [0, 1], in decibels."""
    return float(-10 * torch.tensor(max(mse, 1e-12), dtype=torch.float64).log10())


def reconstructs(module: nn.Module) -> bool:
    """Whether this is a method that hides tokens and predicts pixels."""
    return isinstance(module, MaskedMethod) and module.targets is not None


def check_method(module: nn.Module) -> MaskedMethod:
    """The same module; ``ValueError`` unless it hides tokens and predicts pixels."""
    if not isinstance(module, MaskedMethod) or not reconstructs(module):
        raise ValueError(f"{type(module).__name__} hides no tokens and predicts no pixels: there is nothing to show")
    return module


@torch.no_grad()
def reconstruct(module: nn.Module, batch: dict[str, Any]) -> Reconstruction:
    """Hide, predict and put together.

    Args:
        module: a method that predicts pixels; its mode and the random state stay as they are.
        batch: as from the data module, on the method's device.

    Raises:
        ValueError: the method predicts no pixels.
    """
    method = check_method(module)
    with eval_mode(method), torch.compiler.set_stance("force_eager"):  # a few clips are not worth compiling for
        video_BCTHW, split = method.prepare_inputs(batch)
        prediction_BMK = method(video_BCTHW, split).prediction.float()
    pixels_BCTHW, inputs_BCTHW = batch["video"].float() / 255, video_BCTHW.float()
    grid, frames = method.target_grid, method.target_frames
    if frames is not None:
        pixels_BCTHW, inputs_BCTHW = pixels_BCTHW[:, :, frames], inputs_BCTHW[:, :, frames]

    seen_BN, given_BN, predicted_BM = parts(method, split)
    truth_BNCpqr = patchify(pixels_BCTHW, grid)
    counted_BN = token_mask(predicted_BM, grid) & ~given_BN

    def complete(values_BMK: Tensor) -> tuple[Tensor, Tensor]:
        cubes = torch.full_like(truth_BNCpqr, GREY)
        rows = torch.arange(len(cubes), device=cubes.device)[:, None]
        cubes[rows, predicted_BM] = predicted_pixels(
            method, values_BMK, patchify(inputs_BCTHW, grid, predicted_BM)
        ).clamp(0, 1)
        cubes = torch.where(_over_cubes(given_BN), truth_BNCpqr, cubes)
        error_BN = (cubes - truth_BNCpqr).square().mean(dim=(2, 3, 4, 5))
        return unpatchify(cubes, grid).cpu(), ((error_BN * counted_BN).sum(1) / counted_BN.sum(1)).cpu()

    ours, mse = complete(prediction_BMK)
    zero, zero_mse = complete(torch.zeros_like(prediction_BMK))
    visible = unpatchify(torch.where(_over_cubes(seen_BN), truth_BNCpqr, GREY), grid).cpu()
    return Reconstruction(pixels_BCTHW.cpu(), visible, ours, zero, mse, zero_mse)


def predicted_pixels(method: MaskedMethod, values_BMK: Tensor, inputs_BMCpqr: Tensor) -> Tensor:
    """Predicted values as pixels (B, M, C, p, q, r): the normalisation of this method's targets undone.

    Args:
        method: says what its targets are.
        values_BMK: predictions.
        inputs_BMCpqr: the true cubes of the network's own input.
    """
    denormalise = method.encoder.normalizer.pixels
    normalized = method.hparams["normalise_target"]
    if method.targets == "pixels":
        pixels = denormalise(inputs_BMCpqr, channel_dim=2)
        return undo_normalised_cubes(values_BMK, pixels) if normalized else cubes_of_values(values_BMK, pixels)
    undo = undo_normalised_patches if normalized else cubes_of_values
    return denormalise(undo(values_BMK, inputs_BMCpqr), channel_dim=2)


def parts(method: MaskedMethod, split: TokenSplit | ClusterOrder) -> tuple[Tensor, Tensor, Tensor]:
    """What the encoder sees, bool (B, N); what is shown as it is, bool (B, N); what is predicted, int64 (B, M).

    An autoregressive method sees tokens of every cluster but the last, and predicts each before it sees any of it: only
    the first one visited is given.
    """
    if isinstance(split, ClusterOrder):
        tokens_Kn = method.get_buffer("cluster_tokens")
        seen_BN = token_mask(split.kept[:, :-1].flatten(1), method.grid)
        return seen_BN, token_mask(split.kept[:, 0], method.grid), tokens_Kn[split.order[:, 1:]].flatten(1)
    seen_BN = token_mask(split.visible, method.grid)
    return seen_BN, seen_BN, split.predicted


def token_mask(ids_BM: Tensor, grid: TokenGrid) -> Tensor:
    """Bool (B, N), True at these ids."""
    mask = torch.zeros(len(ids_BM), grid.tokens, dtype=torch.bool, device=ids_BM.device)
    return mask.scatter(1, ids_BM, True)


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, every part's own mode given back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _over_cubes(mask_BN: Tensor) -> Tensor:
    return mask_BN[:, :, None, None, None, None]


def panels(result: Reconstruction, columns: int = 8, names: Sequence[str] = ()) -> list[Panel]:
    """The rows of the picture: clip, visible, reconstruction, zero prediction; a panel per clip, or per eight images.

    Args:
        result: of `reconstruct`.
        columns: frames of a clip that are shown.
        names: titles of the clips.
    """
    rows = {
        "clip": result.clip,
        "visible": result.visible,
        "reconstruction": result.ours,
        "zero prediction": result.zero,
    }
    frames = {label: as_frames(video) for label, video in rows.items()}  # (B, T, H, W, C)
    if result.clip.shape[2] == 1:
        images = {label: video[:columns, 0] for label, video in frames.items()}
        title = ", ".join(filter(None, names[:columns]))
        return [Panel(title, images, caption(result.mse.mean(), result.zero_mse.mean()))]
    shown = chosen_frames(result.clip.shape[2], columns)
    return [
        Panel(
            names[clip] if names else "",
            {label: video[clip, shown] for label, video in frames.items()},
            caption(result.mse[clip], result.zero_mse[clip]),
        )
        for clip in range(len(result.clip))
    ]


def caption(mse: Tensor, zero_mse: Tensor) -> str:
    """The numbers of a picture in words."""
    ours, zero = float(mse), float(zero_mse)
    return (
        f"mean square error of hidden cubes {ours:.5f} ({psnr(ours):.2f} dB), "
        f"zero prediction {zero:.5f} ({psnr(zero):.2f} dB)"
    )


def as_frames(video_BCTHW: Tensor) -> np.ndarray:
    """Videos in [0, 1] as uint8 frames (B, T, H, W, C)."""
    return (video_BCTHW.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 4, 1).numpy()
