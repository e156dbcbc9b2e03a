"""Base class of methods that hide a part of each clip, see ``sample_mask``, from the encoder and predict it."""

from typing import Any

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.methods.base import Method
from vmae_zoo.methods.output import Output, weighted_mse
from vmae_zoo.models.patchify import patchify
from vmae_zoo.models.preprocessing import Normalize
from vmae_zoo.models.targets import cube_values, normalized_cubes, normalized_patches
from vmae_zoo.models.uint8_clips import UInt8Clips
from vmae_zoo.training.nulls import null_predictions


def cube_targets(
    video_BCTHW: Tensor,
    grid: TokenGrid,
    ids_BM: Tensor | None,
    normalizer: Normalize,
    kind: str | None,
    normalize: bool,
) -> Tensor:
    """Targets (B, M, K) of the tokens with these ids (None: all) of uint8 or normalized clips; see `MaskedMethod`."""
    cubes, uint8 = patchify(video_BCTHW, grid, ids_BM), video_BCTHW.dtype == torch.uint8
    if kind == "input":
        cubes = normalizer(cubes, channel_dim=2) if uint8 else cubes
        return normalized_patches(cubes) if normalize else cube_values(cubes)
    pixels = cubes / 255 if uint8 else normalizer.pixels(cubes, channel_dim=2)
    return normalized_cubes(pixels) if normalize else cube_values(pixels)


class MaskedMethod(Method):
    """A method that hides a part of each clip from its encoder and predicts it.

    Attributes:
        targets: what is predicted: "pixels" in [0, 1], the normalized "input" of the network, or None if neither.
    """

    targets: str | None = None

    @property
    def normalizes_target(self) -> bool:
        """Whether each cube of the targets is normalized: the argument ``normalise_target``; False without it."""
        return bool(self.hparams.get("normalise_target", False))

    @property
    def target_grid(self) -> TokenGrid:
        """The tokens over the predicted frames."""
        return self.grid

    @property
    def target_frames(self) -> Tensor | None:
        """Indices of the predicted frames; None if all are predicted."""
        return None

    def normalize(self, video_BCTHW: Tensor) -> Tensor:
        """uint8 clips as input of the encoder; their values are computed where they are read."""
        return UInt8Clips(video_BCTHW, self.encoder.normalizer)

    @torch.no_grad()
    def make_targets(self, video_BCTHW: Tensor, ids_BM: Tensor | None = None) -> Tensor:
        """Values to predict (B, M, K) of the tokens with these ids; None for all tokens."""
        if self.target_frames is not None:
            video_BCTHW = video_BCTHW.index_select(2, self.target_frames)
        if isinstance(video_BCTHW, UInt8Clips):
            video_BCTHW = video_BCTHW.pixels
        settings = self.encoder.normalizer, self.targets, self.normalizes_target
        return self.compiled(cube_targets)(video_BCTHW, self.target_grid, ids_BM, *settings)

    def reconstruction_output(
        self, prediction_BMK: Tensor, video_BCTHW: Tensor, ids_BM: Tensor, weight_BM: Tensor | None = None
    ) -> Output:
        """The output for a prediction of these tokens: its weighted mean square error."""
        target_BMK = self.make_targets(video_BCTHW, ids_BM)
        return Output(weighted_mse(prediction_BMK, target_BMK, weight_BM), prediction_BMK, target_BMK, weight_BM)

    @torch.no_grad()
    def null_predictions(self, video_BCTHW: Tensor, split: Any) -> dict[str, Tensor]:
        """Predictions of `vmae_zoo.training.nulls.null_predictions`, in the order of those of the method."""
        targets_BNK = self.make_targets(video_BCTHW)
        return null_predictions(targets_BNK, split.visible, split.predicted, self.grid, split.weight)

    def null_losses(self, out: Output, *inputs: Any) -> dict[str, Tensor]:
        """Losses of predicting zero and of `null_predictions`, weighted as the loss of the method."""
        if self.targets is None:
            return {}
        assert out.target is not None
        nulls = {"zero": torch.zeros_like(out.target), **self.null_predictions(*inputs)}
        return {name: weighted_mse(null.expand_as(out.target), out.target, out.weight) for name, null in nulls.items()}

    def sample_mask(self, batch: dict[str, Any]) -> Any:
        """The mask of each clip, an argument of ``forward``; a function of ``batch["key"]``."""
        raise NotImplementedError

    def prepare_inputs(self, batch: dict[str, Any]) -> tuple[Any, ...]:
        """Normalized clips and their masks."""
        return self.normalize(batch["video"]), self.sample_mask(batch)
