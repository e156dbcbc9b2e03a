"""What all methods share.

A method defines ``forward`` (the arithmetic); a masked one also ``sample_mask`` (what is hidden from the encoder).
Nothing here distinguishes one method from another.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning
import torch
from torch import Tensor

from vmae_zoo.aliases import rename_callback_states
from vmae_zoo.data.clip_spec import ClipConsumer
from vmae_zoo.data.interfaces import data_of
from vmae_zoo.lightning_internals import scales_loss
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.methods.record import make_record
from vmae_zoo.models.blocks import BlockStack
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.load_report import LoadReport
from vmae_zoo.models.patchify import patchify
from vmae_zoo.models.positions import SinCosPosEmbed, trained_shape
from vmae_zoo.models.targets import cube_values, normalized_cubes, normalized_patches
from vmae_zoo.training.fsdp2 import shard
from vmae_zoo.training.nulls import null_predictions
from vmae_zoo.training.parameter_groups import parameter_groups
from vmae_zoo.training.schedules import RunLength, Schedule, run_length

RECOMPILE_LIMIT = 64


@dataclass(frozen=True)
class Output:
    """What ``forward`` returns.

    Args:
        loss: scalar.
        prediction: (B, M, values of a cube), in the order of ``split.predicted``; None where a method predicts no
            pixels.
        target: the same shape.
        weight: (B, M), how much each predicted token counts in the loss; None: all alike.
    """

    loss: Tensor
    prediction: Tensor | None = None
    target: Tensor | None = None
    weight: Tensor | None = None


def weighted_mse(prediction_BMK: Tensor, target_BMK: Tensor, weight_BM: Tensor | None = None) -> Tensor:
    """Mean square error per token, averaged over tokens: plainly, or as sum(weight * error) / sum(weight)."""
    error_BM = (prediction_BMK.float() - target_BMK).square().mean(-1)
    return error_BM.mean() if weight_BM is None else (weight_BM * error_BM).sum() / weight_BM.sum()


class Method(lightning.LightningModule, ClipConsumer):
    """Base of all methods: sizes, optimizer and schedule, and what a checkpoint says of the model.

    Args:
        size: of the encoder and, where there is one, the decoder, see `vmae_zoo.models.sizes`.
        width: of the encoder; this and the following override ``size``.
        depth: blocks of the encoder.
        num_heads: of the encoder.
        mlp_ratio: hidden width of the MLPs over the width.
        patch: side of a patch in pixels.
        trained_image_size: rows and columns in pixels of the clips that the weights were trained on before, where they
            differ: fixed positions are resized from it, see `vmae_zoo.models.positions`. Starting weights set it.
        trained_frames: frames of those clips, where they differ. Starting weights set it.
        base_lr: learning rate per 256 clips of the global batch (repeats not counted), as papers state it.
        lr: the rate itself; given, ``base_lr`` is not used.
        min_lr: rate at the end, per 256 clips like ``base_lr``.
        weight_decay: AdamW's; not on biases, norms and other 1-D parameters.
        betas: AdamW's.
        warmup_epochs: loader epochs in which the rate rises from 0.
        warmup_steps: the same in optimiser steps; given, ``warmup_epochs`` is not used.
        start_lr: rate at the beginning of the warm-up, stated like ``lr`` or ``base_lr``, whichever counts.
        lr_decay: after the warm-up: "cosine", "linear" or "constant", see `vmae_zoo.training.schedules.Schedule`.
        weight_decay_end: weight decay at the end, reached by half a cosine; None: ``weight_decay`` throughout.
        schedule_stretch: schedules are laid out for so many times the run (1.25 in V-JEPA).
        clip_from_epoch: first loader epoch, from 0, in which gradients are clipped, if the trainer clips them.
        gradient_checkpointing: recompute activations in the backward pass: less memory, about a third more time.
        compile: compile each block.
        init_from: name or path of weights to start from; put in by the command line.

    Attributes:
        task: "pretrain" or "classify", as `vmae_zoo.load_pretrained` takes it.
        loaded: where the weights came from; None if `vmae_zoo.load_pretrained` did not load them.
    """

    encoder: Encoder
    grid: TokenGrid
    task = "pretrain"
    loaded: LoadReport | None = None
    no_decay: frozenset[str] = frozenset()  # last parts of parameter names
    first_step = 0  # number of the first optimizer step in schedules
    decay_all = False  # True: weight decay on biases, norms and other 1-D parameters too

    def __init__(
        self,
        size: str = "base",
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float | None = None,
        patch: int | None = None,
        trained_image_size: int | None = None,
        trained_frames: int | None = None,
        base_lr: float = 1.5e-4,
        lr: float | None = None,
        min_lr: float = 1e-5,
        weight_decay: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.95),
        warmup_epochs: float = 40,
        warmup_steps: int | None = None,
        start_lr: float = 0.0,
        lr_decay: str = "cosine",
        weight_decay_end: float | None = None,
        schedule_stretch: float = 1.0,
        clip_from_epoch: int = 0,
        gradient_checkpointing: bool = False,
        compile: bool = False,
        init_from: str | None = None,
    ):
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        self.save_hyperparameters()
        self.training_settings = given  # hparams lack what a derived class does not take itself

    def normalize(self, video_BCTHW: Tensor) -> Tensor:
        """uint8 clips as the encoder expects them."""
        return self.encoder.normalizer(video_BCTHW)

    def encoder_for_evaluation(self) -> Encoder:
        """The encoder that probes, `load_pretrained` and exports take."""
        return self.encoder

    def momentum_branch(self) -> Encoder | None:
        """The moving average of the encoder that targets come from; None if the method has none."""
        return None

    def warmup_steps(self, trainer: lightning.Trainer) -> int:
        """Optimizer steps of the warm-up in this run."""
        settings = self.training_settings
        return run_length(trainer, settings["warmup_epochs"], settings["warmup_steps"]).warmup_steps

    def weights_loaded(self, names: Collection[str]) -> None:
        """Called after weights with these names were put in as a start for training."""

    def prepare_inputs(self, batch: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments of ``forward`` for a batch."""
        raise NotImplementedError

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One batch: prepare inputs, forward, log."""
        out = self(*self.prepare_inputs(batch))
        self.log("loss/train", out.loss, prog_bar=True, batch_size=len(batch["key"]))
        return out.loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same loss on held-back clips and its ratio to each null."""
        inputs = self.prepare_inputs(batch)
        out = self(*inputs)
        settings: dict[str, Any] = {"batch_size": len(batch["key"]), "sync_dist": True}
        self.log("loss/val", out.loss, prog_bar=True, **settings)
        for name, null_loss in self.null_losses(out, *inputs).items():
            self.log(f"loss/val_over_{name}", out.loss / null_loss, **settings)

    def null_losses(self, out: Output, *inputs: Any) -> dict[str, Tensor]:
        """Losses of predictions that take no learning, by name, for a batch of ``forward``; none here."""
        return {}

    def on_fit_start(self) -> None:
        """Keep with the encoder which frames the data makes clips of: it is evaluated on the same."""
        self.export_config()  # raises before training if no checkpoint can hold it
        clip = data_of(self.trainer).clip
        if clip is not None:
            for encoder in {self.encoder, self.encoder_for_evaluation()}:
                encoder.preprocessing = replace(encoder.preprocessing, sampling=clip.sampling, fps=clip.fps[0])

    def configure_model(self) -> None:
        """Checkpointing, compilation and sharding, once the weights are there."""
        for part in self.modules():
            if isinstance(part, BlockStack):
                part.gradient_checkpointing = self.training_settings["gradient_checkpointing"]
        if self.training_settings["compile"]:
            # one program per sequence length and gradient mode, counted over all blocks: V-JEPA has nine
            torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, RECOMPILE_LIMIT)
            for block in self.blocks():
                block.compile()
        if self.device_mesh is not None:
            shard(self, self.blocks(), self.device_mesh)

    def export_config(self) -> dict[str, Any]:
        """What it takes to build this model again, in plain values: it goes into every file of its weights."""
        return make_record(self)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as the trainer says: Lightning itself refuses fused optimisers under bf16-mixed, for no reason."""
        if self.current_epoch < self.training_settings["clip_from_epoch"]:
            return
        if scales_loss(self.trainer):
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val and gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif gradient_clip_val:
            for part in self.clipped_parts():
                torch.nn.utils.clip_grad_norm_(part.parameters(), gradient_clip_val)

    def clipped_parts(self) -> Sequence[torch.nn.Module]:
        """What gradients are clipped of, each by a norm of its own."""
        return (self,)

    def resize_positions(self, trained_image_size: int | None, trained_frames: int | None = None) -> None:
        """Take fixed positions from those of weights trained on clips of this size, now and when loaded again."""
        self.hparams.update(trained_image_size=trained_image_size, trained_frames=trained_frames)
        trained = trained_frames, trained_image_size
        for part in self.modules():
            if isinstance(part, SinCosPosEmbed):
                part.resize_from(trained_shape(part.grid, trained))
            elif isinstance(part, Encoder):
                part.settings["trained"] = trained

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the record into the checkpoint."""
        checkpoint["vmae_zoo"] = self.export_config()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over where the checkpoint's positions come from: a recipe does not say it."""
        rename_callback_states(checkpoint)
        hparams = checkpoint.get("vmae_zoo", {}).get("hparams", {})
        side, frames = hparams.get("trained_image_size"), hparams.get("trained_frames")
        if side or frames:
            self.resize_positions(side, frames)

    def blocks(self) -> list[torch.nn.Module]:
        """Transformer blocks of encoder and decoder: what is compiled and sharded one by one."""
        return [block for part in self.modules() if isinstance(part, BlockStack) for block in part.blocks]

    def optimizer(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Fused AdamW."""
        return torch.optim.AdamW(groups, lr=lr, betas=tuple(self.training_settings["betas"]), fused=True)

    def lr_factor(self, step: int, run: RunLength, schedule: Schedule) -> float:
        """Share of the full learning rate at a 0-based step of a run."""
        return schedule.rate(step)

    def configure_optimizers(self) -> Any:
        """AdamW with the published groups; rate and weight decay follow a `Schedule` step by step."""
        settings = self.training_settings
        run = run_length(self.trainer, settings["warmup_epochs"], settings["warmup_steps"])
        lr, min_lr, start_lr = settings["lr"], settings["min_lr"], settings["start_lr"]
        if lr is None:
            if run.global_batch is None:
                raise ValueError(
                    "base_lr needs the global batch, which only ClipDataModule tells: give lr, the rate itself"
                )
            lr, min_lr, start_lr = (rate * run.global_batch / 256 for rate in (settings["base_lr"], min_lr, start_lr))
        groups = parameter_groups(
            self,
            settings["weight_decay"],
            lr=lr,
            exempt=self.no_decay,
            layer_decay=self.hparams.get("layer_decay", 1.0),
            depth=len(self.encoder.blocks),
            decay_all=self.decay_all,
        )
        optimizer = self.optimizer(groups, lr)
        schedule = Schedule(
            run.steps,
            run.warmup_steps,
            start_lr / lr if lr else 0.0,
            min_lr / lr if lr else 0.0,
            settings["lr_decay"],
            settings["schedule_stretch"],
            self.first_step,
        )
        if settings["weight_decay_end"] is not None:
            optimizer.register_step_pre_hook(lambda made, *_: self._set_weight_decay(made, schedule))
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.lr_factor(step, run, schedule))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def _set_weight_decay(self, optimizer: torch.optim.Optimizer, schedule: Schedule) -> None:
        """Set the step's weight decay on the groups that decay."""
        start, end = self.training_settings["weight_decay"], self.training_settings["weight_decay_end"]
        for group in optimizer.param_groups:
            if group["weight_decay"]:
                group["weight_decay"] = schedule.weight_decay(self.global_step, start, end)


class MaskedMethod(Method):
    """A method that hides a part of each clip from its encoder and predicts it.

    Attributes:
        targets: what the predictions are of: "pixels" in [0, 1], the network's own "input", or None if of neither.
    """

    targets: str | None = None

    @property
    def target_grid(self) -> TokenGrid:
        """The tokens over the predicted frames."""
        return self.grid

    @property
    def target_frames(self) -> Tensor | None:
        """Ids of the predicted frames; None if all are predicted."""
        return None

    @torch.no_grad()
    def make_targets(self, video_BCTHW: Tensor, ids_BM: Tensor | None = None) -> Tensor:
        """The values (B, M, K) to predict of the tokens with these ids; of all tokens without ids."""
        if self.target_frames is not None:
            video_BCTHW = video_BCTHW.index_select(2, self.target_frames)
        cubes, normalized = patchify(video_BCTHW, self.target_grid, ids_BM), self.hparams["normalise_target"]
        if self.targets == "input":
            return normalized_patches(cubes) if normalized else cube_values(cubes)
        pixels = self.encoder.normalizer.pixels(cubes, channel_dim=2)
        return normalized_cubes(pixels) if normalized else cube_values(pixels)

    @torch.no_grad()
    def null_predictions(self, video_BCTHW: Tensor, split: Any) -> dict[str, Tensor]:
        """What `vmae_zoo.training.nulls.null_predictions` predicts, in the order of the method's own predictions."""
        targets_BNK = self.make_targets(video_BCTHW)
        return null_predictions(targets_BNK, split.visible, split.predicted, self.grid, split.weight)

    def null_losses(self, out: Output, *inputs: Any) -> dict[str, Tensor]:
        """Losses of predicting zero and of `null_predictions`, as the method's own loss counts."""
        if self.targets is None:
            return {}
        assert out.target is not None
        nulls = {"zero": torch.zeros_like(out.target), **self.null_predictions(*inputs)}
        return {name: weighted_mse(null.expand_as(out.target), out.target, out.weight) for name, null in nulls.items()}

    def sample_mask(self, batch: dict[str, Any]) -> Any:
        """What the encoder sees of each clip, as an argument of ``forward``: a function of ``batch["key"]``."""
        raise NotImplementedError

    def prepare_inputs(self, batch: dict[str, Any]) -> tuple[Any, ...]:
        """Normalized clips and their masks."""
        return self.normalize(batch["video"]), self.sample_mask(batch)
