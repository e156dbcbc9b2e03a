"""V-JEPA and V-JEPA 2: prediction of features instead of pixels.

Bardes, Garrido, Ponce, Chen, Rabbat, LeCun, Assran, Ballas, "Revisiting Feature Prediction for Learning Visual
Representations from Video", 2024, arXiv 2404.08471; Assran et al., "V-JEPA 2: Self-Supervised Video Models Enable
Understanding, Prediction and Planning", 2025, arXiv 2506.09985. With ``target="frozen"`` it is the second stage of SALT
(Li et al., 2025, arXiv 2509.24317), whose first is `VideoMAE` with ``masks="multi_block"``.

The context encoder sees some tokens of a clip; the predictor, given where the hidden tokens lie, predicts their
features; the target encoder, a moving average of the context encoder, makes these from the whole clip. The target
encoder is the one to evaluate.

Different from the official programs: masks have a fixed size and depend on no other clip (see
`vmae_zoo.masking.multi_block`); a skipped step does not move the target encoder; V-JEPA's regularizer, whose
coefficient is 0 in every configuration, is left out; V-JEPA 2 has one mask token where the official program allots
several and trains the first.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens, V visible, M hidden; D = width.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmae_zoo.masking.multi_block import DROPS, VJEPA_SETS, layouts_of, multi_block_masks
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.base import MaskedMethod
from vmae_zoo.models import encoders
from vmae_zoo.models.blocks import init_truncated, scale_residual_branches
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.patchify import gather_tokens
from vmae_zoo.models.predictor import Predictor
from vmae_zoo.models.sizes import decoder_size
from vmae_zoo.training.momentum import MomentumEncoder, frozen_copy
from vmae_zoo.training.schedules import run_length


@dataclass(frozen=True)
class LatentOutput:
    """What ``forward`` returns; lists have one entry a mask set.

    Args:
        loss: scalar, the mean over the sets.
        prediction: (B, M, D) each, in the order of ``predicted``.
        target: the same shapes: features of the target encoder, layer-normed without affine parameters.
    """

    loss: Tensor
    prediction: list[Tensor]
    target: list[Tensor]


class VJEPA(MaskedMethod):
    """Prediction of the features of hidden tokens.

    Args:
        size: of the encoder: tiny, small, base (ours), large, huge, giant (22 heads and patches of 16, as V-JEPA 2).
        frames: frames of a clip (16 in the papers; 64 in V-JEPA 2's cool-down).
        image_size: rows and columns of a clip in pixels (224 in V-JEPA, 256 in V-JEPA 2).
        stride_frames: from one frame of the clip to the next (4 in V-JEPA); kept with the weights.
        position: "rope" (V-JEPA 2) or "sincos_3d" (V-JEPA), see `vmae_zoo.models.positions.positions`.
        rope_frequencies: "paired", or "tiled" for the released weights of V-JEPA 2, see `vmae_zoo.models.rotary`.
        mask_tokens: "shared" by the mask sets (V-JEPA 2) or one "per_set" (V-JEPA).
        drop: which tokens are left out to keep counts fixed, see `vmae_zoo.masking.multi_block`.
        loss_exponent: p of ``|prediction - target|^p / p`` (1 in the papers).
        predictor_width: of the predictor (384 in the papers).
        predictor_depth: blocks of the predictor (12 in the papers).
        predictor_num_heads: of the predictor (the encoder's in V-JEPA, 12 in V-JEPA 2).
        scale_residuals: start block i's residual branches divided by sqrt(2 i) (V-JEPA 2; not in V-JEPA).
        target: "momentum", the target encoder follows the encoder; "frozen", it is ``teacher`` and stays (SALT).
        momentum: of the target encoder at the start (0.998 in V-JEPA, 0.99925 in V-JEPA 2).
        momentum_end: at the end, reached linearly (1.0 in V-JEPA); None: the same throughout (V-JEPA 2).
        teacher: name or path of the frozen encoder; put in by the command line, or by `set_teacher`.
        teacher_encoder: plain settings of the teacher's encoder, kept with the weights; `set_teacher` sets it.
        lr: learning rate, whatever the batch (5.25e-4 for 3,072 clips in V-JEPA 2).
        start_lr: rate at the beginning of the warm-up (1e-4 in V-JEPA 2, 2e-4 in V-JEPA).
        lr_decay: "constant" (V-JEPA 2's first phase), "linear" (its cool-down) or "cosine" (V-JEPA).
        min_lr: rate that a decay ends at.
        weight_decay: AdamW's (0.04 in the papers; V-JEPA raises it to 0.4).
        betas: AdamW's.
        **shared: sizes of the encoder, starting weights and training, see `vmae_zoo.methods.base.Method`.
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
        num_heads: int | None = None,
        patch: int | None = None,
        lr: float | None = 5.25e-4,
        start_lr: float = 1e-4,
        lr_decay: str = "constant",
        min_lr: float = 1e-6,
        weight_decay: float = 0.04,
        betas: tuple[float, float] = (0.9, 0.999),
        **shared: Any,
    ):
        super().__init__(
            size=size,
            num_heads=num_heads,
            patch=patch,
            lr=lr,
            start_lr=start_lr,
            lr_decay=lr_decay,
            min_lr=min_lr,
            weight_decay=weight_decay,
            betas=betas,
            **shared,
        )
        self.save_hyperparameters()
        for name, value, known in (
            ("mask_tokens", mask_tokens, ("shared", "per_set")),
            ("drop", drop, DROPS),
            ("target", target, ("momentum", "frozen")),
        ):
            if value not in known:
                raise ValueError(f"{name} = {value!r} is not known: choose {' or '.join(known)}")
        if (target == "frozen") != (teacher is not None or teacher_encoder is not None):
            raise ValueError("target = frozen and teacher belong together: give both, or neither")
        self.encoder = encoders.vjepa(**self.hparams)
        self.grid = self.encoder.grid
        for blocks in VJEPA_SETS:
            layouts_of(self.grid.height, self.grid.width, blocks)  # a grid too small is refused before data is read
        predictor = decoder_size(
            "vjepa", size, width=predictor_width, depth=predictor_depth, num_heads=predictor_num_heads
        )
        self.predictor = Predictor(
            self.grid,
            self.encoder.width,
            self.encoder.width,
            **vars(predictor),
            mask_tokens=len(VJEPA_SETS) if mask_tokens == "per_set" else 1,
            position=position,
            rope_frequencies=rope_frequencies,
            trained=self.encoder.settings["trained"],
        )
        self.predictor.apply(init_truncated)
        if scale_residuals:
            scale_residual_branches(self.predictor.blocks)
        self.target_encoder: Encoder = frozen_copy(self.encoder)
        self.momentum = MomentumEncoder((self.encoder,), (self.target_encoder,))
        if teacher_encoder:
            self.set_teacher(encoders.rebuild(**teacher_encoder))

    def set_teacher(self, teacher: Encoder) -> None:
        """Take a frozen encoder as the target encoder.

        Args:
            teacher: for clips of the same size and normalisation; it may be of another width and depth.

        Raises:
            ValueError: it takes other clips.
        """
        ours, theirs = self.encoder.preprocessing, teacher.preprocessing
        if teacher.grid != self.grid or (theirs.mean, theirs.std) != (ours.mean, ours.std):
            raise ValueError(
                f"the teacher takes clips of {teacher.grid.pixels} in cubes of {teacher.grid.cube}, this model "
                f"{self.grid.pixels} in cubes of {self.grid.cube}; size, cubes, mean and std of both must be the same"
            )
        self.hparams["teacher_encoder"] = encoders.describe(teacher)
        self.target_encoder = teacher.requires_grad_(False).eval()
        if teacher.width != self.predictor.proj.out_features:
            self.predictor.proj = nn.Linear(self.predictor.proj.in_features, teacher.width)
            init_truncated(self.predictor.proj)

    def encoder_for_evaluation(self) -> Encoder:
        """The target encoder; the encoder itself if it learned from a frozen teacher."""
        return self.encoder if self.hparams["target"] == "frozen" else self.target_encoder

    def momentum_branch(self) -> Encoder | None:
        """The target encoder, unless it is a frozen teacher."""
        return self.target_encoder if self.hparams["target"] == "momentum" else None

    def weights_loaded(self, names: Collection[str]) -> None:
        """Start the target encoder from the encoder, unless the weights hold one."""
        if self.hparams["target"] == "momentum" and not any(name.startswith("target_encoder.") for name in names):
            self.momentum.reset()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make room for the checkpoint's teacher."""
        super().on_load_checkpoint(checkpoint)
        settings = checkpoint.get("vmae_zoo", {}).get("hparams", {}).get("teacher_encoder")
        if settings and not self.hparams["teacher_encoder"]:
            self.set_teacher(encoders.rebuild(**settings))

    def train(self, mode: bool = True) -> "VJEPA":
        """Train the encoder and the predictor; the target encoder always computes as in evaluation."""
        super().train(mode)
        self.target_encoder.eval()
        return self

    def sample_mask(self, batch: dict[str, Any]) -> list[TokenSplit]:
        """A short-range and a long-range mask per clip; the blocks' aspect ratio follows the optimizer step."""
        step = self.global_step if self.training else 0
        return multi_block_masks(batch["key"], self.grid, step, drop=self.hparams["drop"])

    def forward(self, video_BCTHW: Tensor, masks: list[TokenSplit]) -> LatentOutput:
        """Predict the features of each set's hidden tokens from those of its visible ones.

        Args:
            video_BCTHW: float, normalised as ``encoder.preprocessing`` says.
            masks: one split a mask set.
        """
        with torch.no_grad():
            tokens_BND = self.target_encoder(video_BCTHW).float()
            tokens_BND = F.layer_norm(tokens_BND, tokens_BND.shape[-1:])
            targets = [gather_tokens(tokens_BND, split.predicted) for split in masks]
        predictions = [
            self.predictor(self.encoder(video_BCTHW, split.visible), split, place) for place, split in enumerate(masks)
        ]
        p = self.hparams["loss_exponent"]
        losses = [
            (prediction.float() - target).abs().pow(p).mean() / p
            for prediction, target in zip(predictions, targets, strict=True)
        ]
        return LatentOutput(torch.stack(losses).mean(), predictions, targets)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same loss on held-back clips. It compares no two runs: it is also small where features collapse."""
        out = self(*self.prepare_inputs(batch))
        self.log("loss/val", out.loss, prog_bar=True, batch_size=len(batch["key"]), sync_dist=True)

    def momentum_at(self, step: int, steps: int) -> float:
        """The momentum of a 0-based optimizer step of a run."""
        start, end = self.hparams["momentum"], self.hparams["momentum_end"]
        if end is None:
            return start
        return start + (end - start) * step / int(steps * self.training_settings["schedule_stretch"])

    def clipped_parts(self) -> Sequence[nn.Module]:
        """Encoder and predictor are clipped each by its own norm, as in V-JEPA."""
        return self.encoder, self.predictor

    def configure_optimizers(self) -> Any:
        """Let the target encoder follow each step."""
        configured = super().configure_optimizers()
        if self.hparams["target"] == "momentum":
            steps = run_length(self.trainer, 0).steps
            self.momentum.attach(configured["optimizer"], lambda: self.momentum_at(self.global_step, steps))
        return configured
