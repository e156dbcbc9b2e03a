"""V-JEPA and V-JEPA 2: prediction of features instead of pixels.

Bardes, Garrido, Ponce, Chen, Rabbat, LeCun, Assran, Ballas, "Revisiting Feature Prediction for Learning Visual
Representations from Video", 2024, arXiv 2404.08471; Assran et al., "V-JEPA 2: Self-Supervised Video Models Enable
Understanding, Prediction and Planning", 2025, arXiv 2506.09985. With ``target="frozen"`` it is the second stage of SALT
(Li et al., 2025, arXiv 2509.24317), whose first is `VideoMAE` with ``masks="multi_block"``.

The encoder sees some tokens of a clip; the predictor predicts the features of the hidden tokens, given their positions;
the target encoder, a moving average of the encoder, computes these features from the whole clip. The target encoder is
evaluated.

Different from the official programs: masks have a fixed size, independent of the other clips of the batch (see
`vmae_zoo.masking.multi_block`); a skipped step does not update the target encoder; the regularizer of V-JEPA, whose
coefficient is 0 in every configuration, is left out; V-JEPA 2 has one mask token, where the official program has
several and trains the first.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens, V visible, M hidden; D = width.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmae_zoo.masking.block_layout import VJEPA_SETS, block_layout
from vmae_zoo.masking.multi_block import DROPS, multi_block_masks
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.models import encoders
from vmae_zoo.models.blocks import init_truncated
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.patchify import gather_tokens
from vmae_zoo.models.predictor import Predictor
from vmae_zoo.models.sizes import decoder_size
from vmae_zoo.setting_checks import check_choice
from vmae_zoo.training.momentum import MomentumEncoder, frozen_copy


@dataclass(frozen=True)
class LatentOutput:
    """What ``forward`` returns; lists have one entry per mask set.

    Args:
        loss: scalar, the mean over the sets.
        prediction: (B, M, D) each, in the order of ``predicted``.
        target: features of the target encoder, layer-normalized without affine parameters, in the same shapes.
    """

    loss: Tensor
    prediction: list[Tensor]
    target: list[Tensor]


class VJEPA(MaskedMethod):
    """Prediction of the features of hidden tokens.

    Args:
        size: size of the encoder: tiny, small, base (ours), large, huge, giant (22 heads, patches of 16: V-JEPA 2).
        frames: frames of a clip (16 in the papers; 64 in the cool-down of V-JEPA 2).
        image_size: rows and columns of a clip in pixels (224 in V-JEPA, 256 in V-JEPA 2).
        stride_frames: distance between the frames of a clip (4 in V-JEPA); saved with the weights.
        position: "rope" (V-JEPA 2) or "sincos_3d" (V-JEPA), see `vmae_zoo.models.positions.build_pos_embed`.
        rope_frequencies: "paired", or "tiled" for the released weights of V-JEPA 2, see `vmae_zoo.models.rotary`.
        mask_tokens: "shared" by the mask sets (V-JEPA 2) or one "per_set" (V-JEPA).
        drop: tokens that are left out to keep counts fixed, see `vmae_zoo.masking.multi_block`.
        loss_exponent: p of ``|prediction - target|^p / p`` (1 in the papers).
        predictor_width: width of the predictor (384 in the papers).
        predictor_depth: blocks of the predictor (12 in the papers).
        predictor_num_heads: attention heads of the predictor (as the encoder in V-JEPA, 12 in V-JEPA 2).
        scale_residuals: divide the residual branches of block i by sqrt(2 i) at initialization (V-JEPA 2).
        target: "momentum", the target encoder is a moving average; "frozen", it is ``teacher`` (SALT).
        momentum: initial momentum of the target encoder (0.998 in V-JEPA, 0.99925 in V-JEPA 2).
        momentum_end: final momentum, reached linearly (1.0 in V-JEPA); None for a constant one (V-JEPA 2).
        teacher: name or path of the frozen encoder; loaded by the command line, or set by `set_teacher`.
        teacher_encoder: plain settings of the teacher, saved with the weights; set by `set_teacher`.
        lr: learning rate, independent of the batch (5.25e-4 for 3,072 clips in V-JEPA 2).
        start_lr: learning rate at the start of the warm-up (1e-4 in V-JEPA 2, 2e-4 in V-JEPA).
        lr_decay: "constant" (first phase of V-JEPA 2), "linear" (its cool-down) or "cosine" (V-JEPA).
        min_lr: final learning rate of a decay.
        weight_decay: of AdamW (0.04 in the papers; V-JEPA raises it to 0.4).
        betas: of AdamW.
        **shared: encoder, initialization and training, see `vmae_zoo.methods.base.Method`.
    """

    first_step = 1

    def __init__(
        self,
        size: str = "large",
        frames: int = 16,
        image_size: int = 256,
        stride_frames: int = 4,
        position: str = "rope",
        rope_frequencies: str = "paired",
        mask_tokens: str = "shared",
        drop: str = "random",
        loss_exponent: float = 1.0,
        predictor_width: int | None = None,
        predictor_depth: int | None = None,
        predictor_num_heads: int | None = None,
        scale_residuals: bool = True,
        target: str = "momentum",
        momentum: float = 0.99925,
        momentum_end: float | None = None,
        teacher: str | None = None,
        teacher_encoder: dict[str, Any] | None = None,
        lr: float | None = 5.25e-4,
        start_lr: float = 1e-4,
        lr_decay: str = "constant",
        min_lr: float = 1e-6,
        weight_decay: float = 0.04,
        betas: tuple[float, float] = (0.9, 0.999),
        **shared: Any,
    ):
        schedule: dict[str, Any] = {"lr": lr, "start_lr": start_lr, "lr_decay": lr_decay, "min_lr": min_lr}
        super().__init__(size=size, **schedule, weight_decay=weight_decay, betas=betas, **shared)
        check_choice("mask_tokens", mask_tokens, ("shared", "per_set"))
        check_choice("drop", drop, DROPS)
        check_choice("target", target, ("momentum", "frozen"))
        if (target == "frozen") != (teacher is not None or teacher_encoder is not None):
            raise ValueError(f"target = {target}, teacher = {teacher}: give target = frozen and a teacher, or neither")
        self.encoder = encoders.vjepa(**self.hparams)
        self.grid = self.encoder.grid
        for blocks in VJEPA_SETS:
            block_layout(self.grid.height, self.grid.width, blocks)  # checks the grid before any data is read
        predictor = decoder_size(
            "vjepa", size, width=predictor_width, depth=predictor_depth, num_heads=predictor_num_heads
        )
        self.predictor = Predictor(
            self.grid,
            self.encoder.width,
            **vars(predictor),
            mask_tokens=len(VJEPA_SETS) if mask_tokens == "per_set" else 1,
            scale_residuals=scale_residuals,
            **self.encoder.position_settings,
        )
        self.target_encoder: Encoder = frozen_copy(self.encoder)
        self.momentum = MomentumEncoder((self.encoder,), (self.target_encoder,))
        if teacher_encoder:
            self.set_teacher(encoders.rebuild(**teacher_encoder))

    def set_teacher(self, teacher: Encoder) -> None:
        """Use a frozen encoder as the target encoder.

        Args:
            teacher: encoder of any width and depth, for clips of the same size and normalization.

        Raises:
            ValueError: the teacher takes other clips.
        """
        ours, theirs = self.encoder.preprocessing, teacher.preprocessing
        if teacher.grid != self.grid or (theirs.mean, theirs.std) != (ours.mean, ours.std):
            raise ValueError(
                f"the teacher takes clips of {teacher.grid.pixels} in cubes of {teacher.grid.cube}, and this model "
                f"{self.grid.pixels} in cubes of {self.grid.cube}: size, cubes, mean and std of both must be equal"
            )
        self.hparams["teacher_encoder"] = encoders.describe(teacher)
        self.target_encoder = teacher.requires_grad_(False).eval()
        if teacher.width != self.predictor.proj.out_features:
            self.predictor.proj = nn.Linear(self.predictor.proj.in_features, teacher.width)
            init_truncated(self.predictor.proj)

    def encoder_for_evaluation(self) -> Encoder:
        """The target encoder; the encoder itself if the target is frozen."""
        return self.encoder if self.hparams["target"] == "frozen" else self.target_encoder

    def momentum_branch(self) -> Encoder | None:
        """The target encoder, unless it is a frozen teacher."""
        return self.target_encoder if self.hparams["target"] == "momentum" else None

    def weights_loaded(self, names: Collection[str]) -> None:
        """Initialize the target encoder with the encoder, unless the weights have one."""
        if self.hparams["target"] == "momentum" and not any(name.startswith("target_encoder.") for name in names):
            self.momentum.reset()

    def restore_settings(self, hparams: dict[str, Any]) -> None:
        """Build the teacher of a record."""
        super().restore_settings(hparams)
        if hparams.get("teacher_encoder") and not self.hparams["teacher_encoder"]:
            self.set_teacher(encoders.rebuild(**hparams["teacher_encoder"]))

    def train(self, mode: bool = True) -> "VJEPA":
        """Set the mode of encoder and predictor; the target encoder is always in evaluation mode."""
        super().train(mode)
        self.target_encoder.eval()
        return self

    def sample_mask(self, batch: dict[str, Any]) -> list[TokenSplit]:
        """A short-range and a long-range mask for each clip; the aspect ratio of blocks depends on the step."""
        step = self.global_step if self.training else 0
        return multi_block_masks(batch["key"], self.grid, step, drop=self.hparams["drop"])

    def forward(self, video_BCTHW: Tensor, masks: list[TokenSplit]) -> LatentOutput:
        """Predict, for each mask set, features of hidden tokens of clips normalized by ``encoder.preprocessing``."""
        self.target_encoder.check_values = not self.training  # no step waits for the device
        with torch.no_grad():
            tokens_BND = self.target_encoder(video_BCTHW).float()
            tokens_BND = F.layer_norm(tokens_BND, tokens_BND.shape[-1:])
            targets = [gather_tokens(tokens_BND, split.predicted) for split in masks]
        predictions = [
            self.predictor(self.encoder(video_BCTHW, split.visible), split, number)
            for number, split in enumerate(masks)
        ]
        p = self.hparams["loss_exponent"]
        losses = [
            (prediction.float() - target).abs().pow(p).mean() / p
            for prediction, target in zip(predictions, targets, strict=True)
        ]
        return LatentOutput(torch.stack(losses).mean(), predictions, targets)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Log the loss of held-out clips, which does not compare runs: it is small too if features collapse."""
        out = self(*self.prepare_inputs(batch))
        self.log_mean("loss/val", out.loss, len(batch["key"]), prog_bar=True)

    def momentum_at(self, step: int, steps: int) -> float:
        """The momentum at a 0-based optimizer step."""
        start, end = self.hparams["momentum"], self.hparams["momentum_end"]
        if end is None:
            return start
        return start + (end - start) * step / int(steps * self.hparams["schedule_stretch"])

    def clipped_modules(self) -> Sequence[nn.Module]:
        """Encoder and predictor, as in V-JEPA."""
        return self.encoder, self.predictor

    def configure_optimizers(self) -> Any:
        """Update the target encoder after each step."""
        configured = super().configure_optimizers()
        if self.hparams["target"] == "momentum":
            steps = self.run_length().steps
            self.momentum.attach(configured["optimizer"], lambda: self.momentum_at(self.global_step, steps))
        return configured
