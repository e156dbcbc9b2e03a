"""Base class of all methods: training and validation steps, execution, the evaluated encoder, checkpoints.

A method defines ``forward``, the arithmetic of its paper, and ``prepare_inputs``; see also
`vmae_zoo.methods.masked.MaskedMethod`. Nothing here distinguishes one method from another.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import torch
from torch import Tensor, distributed

from vmae_zoo.aliases import rename_callback_states
from vmae_zoo.data.clip_spec import ClipConsumer
from vmae_zoo.data.input_clip import Source
from vmae_zoo.data.interfaces import data_of
from vmae_zoo.lightning_internals import constructor_arguments
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.methods.optimization import OptimizedModule
from vmae_zoo.methods.record import make_record
from vmae_zoo.models.blocks import BlockStack
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.load_report import LoadReport
from vmae_zoo.models.patchify import PatchEmbed
from vmae_zoo.models.positions import SinCosPosEmbed, trained_shape
from vmae_zoo.models.preprocessing import Preprocessing
from vmae_zoo.models.video_encoder import VideoWindow
from vmae_zoo.training.compilation import RECOMPILE_LIMIT, Result, compiled
from vmae_zoo.training.freeze import check_freeze, freeze_encoder
from vmae_zoo.training.fsdp2 import shard


class Method(OptimizedModule, ClipConsumer):
    """Base class of all methods.

    ``hparams`` holds the arguments of the constructors of a method and of its base classes.

    Args:
        size: size of the encoder and, if there is one, the decoder, see `vmae_zoo.models.sizes`.
        width: width of the encoder; this and the following override ``size``.
        depth: blocks of the encoder.
        num_heads: attention heads of the encoder.
        mlp_ratio: hidden width of the MLPs over the width.
        patch: rows and columns of a patch in pixels.
        trained_image_size: rows and columns in pixels of the clips that the weights were trained on, if different:
            fixed positions are resized from it, see `vmae_zoo.models.positions`. Set when weights are loaded.
        trained_frames: frames of those clips, if different. Set when weights are loaded.
        base_lr: learning rate per 256 clips of the global batch, without repeats, as papers state it.
        lr: learning rate; if given, ``base_lr`` is not used.
        min_lr: final learning rate, stated as ``base_lr`` or ``lr``, whichever is used.
        weight_decay: of AdamW, except on biases, norms and other 1-D parameters.
        betas: of AdamW.
        warmup_epochs: loader epochs of the linear warm-up.
        warmup_steps: optimizer steps of the warm-up; if given, ``warmup_epochs`` is not used.
        start_lr: learning rate at the start of the warm-up, stated as ``min_lr``.
        lr_decay: "cosine", "linear" or "constant", see `vmae_zoo.training.schedules.Schedule`.
        weight_decay_end: final weight decay, reached by half a cosine; None for a constant one.
        schedule_stretch: length of the schedules over that of the run (1.25 in V-JEPA).
        clip_from_epoch: first 0-based loader epoch in which gradients are clipped, if the trainer clips them.
        gradient_checkpointing: recompute activations in the backward pass: less memory, about a third more time.
        compile: compile each block, the embedding of cubes, and the targets or the augmentation on the device.
        init_from: name or path of weights to start from; the command line loads them.
        freeze: part of the encoder that keeps its weights: "patch_embed", the number of the first blocks (with the
            patch embedding), or "encoder"; None trains all of it.

    Attributes:
        task: "pretrain" or "classify", as for `vmae_zoo.load_pretrained`.
        loaded: where the weights were loaded from; None if `vmae_zoo.load_pretrained` did not load them.
        init_arguments: names of the arguments that the constructor of the most derived class was called with.
    """

    grid: TokenGrid
    task = "pretrain"
    loaded: LoadReport | None = None

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
        freeze: int | str | None = None,
    ):
        super().__init__()
        check_freeze(freeze)
        self.frozen: list[torch.nn.Module] = []
        arguments = constructor_arguments(inspect.currentframe())
        self.init_arguments = frozenset(arguments[-1])
        self.save_hyperparameters({name: value for level in arguments for name, value in level.items()})

    def prepare_inputs(self, batch: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments of ``forward`` for a batch."""
        raise NotImplementedError

    def normalize(self, video_BCTHW: Tensor) -> Tensor:
        """uint8 clips as input of the encoder."""
        return self.encoder.normalizer(video_BCTHW)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Forward pass of a batch; logs "loss/train"."""
        out = self(*self.prepare_inputs(batch))
        self.log("loss/train", out.loss, batch_size=len(batch["key"]))
        return out.loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Log the loss of held-out clips, and its ratio to that of each null prediction."""
        inputs = self.prepare_inputs(batch)
        out = self(*inputs)
        self.log_mean("loss/val", out.loss, len(batch["key"]), prog_bar=True)
        for name, null_loss in self.null_losses(out, *inputs).items():
            self.log_mean(f"loss/val_over_{name}", out.loss / null_loss, len(batch["key"]))

    def log_mean(self, name: str, value: Tensor, clips: int, prog_bar: bool = False) -> None:
        """Log the mean of a value over the clips of all batches and processes.

        Lightning 2.6 averages the number of clips over processes as an integer, so it is a multiple of their number.
        """
        processes = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
        self.log(name, value, prog_bar=prog_bar, batch_size=clips * processes, sync_dist=True)

    def null_losses(self, out: Any, *inputs: Any) -> dict[str, Tensor]:
        """Losses of null predictions by name, see `vmae_zoo.training.nulls`; none by default."""
        return {}

    def weights_loaded(self, names: Collection[str]) -> None:
        """Called after weights with these names were loaded to start training from."""

    def on_fit_start(self) -> None:
        """Store in the encoder how the data samples clips, so that it is evaluated on clips of the same kind."""
        self.export_config()  # raises an error before training if a checkpoint cannot hold the hyperparameters
        clip = data_of(self.trainer).clip
        if clip is not None:
            for encoder in {self.encoder, self.encoder_for_evaluation()}:
                encoder.preprocessing = replace(encoder.preprocessing, sampling=clip.sampling, fps=clip.fps[0])

    def configure_model(self) -> None:
        """Frozen parts, gradient checkpointing, compilation and sharding."""
        if self.hparams["freeze"] is not None:
            self.frozen = freeze_encoder(self.encoder, self.hparams["freeze"])
            self.train(self.training)
        for module in self.modules():
            if isinstance(module, BlockStack):
                module.gradient_checkpointing = self.hparams["gradient_checkpointing"]
        if self.hparams["compile"]:
            torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, RECOMPILE_LIMIT)
            for module in (*self.blocks(), *(part for part in self.modules() if isinstance(part, PatchEmbed))):
                module.compile(dynamic=False)  # encoder and decoder share a class, not a number of tokens
        if self.device_mesh is not None:
            shard(self, self.blocks(), self.device_mesh)

    def compiled(self, function: Callable[..., Result]) -> Callable[..., Result]:
        """The function, compiled for static shapes if ``compile`` is set."""
        return compiled(function) if self.hparams["compile"] else function

    def train(self, mode: bool = True) -> "Method":
        """Set the mode; frozen parts always compute as in evaluation."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def blocks(self) -> list[torch.nn.Module]:
        """Transformer blocks of encoder and decoder, which are compiled and sharded one by one."""
        return [block for module in self.modules() if isinstance(module, BlockStack) for block in module.blocks]

    def encoder_for_evaluation(self) -> Encoder:
        """The encoder that is probed, loaded by `vmae_zoo.load_pretrained` and exported."""
        return self.encoder

    def momentum_branch(self) -> Encoder | None:
        """The moving average of the encoder that computes targets; None if the method has none."""
        return None

    @property
    def preprocessing(self) -> Preprocessing:
        """Which frames the encoder takes, and how they are normalized."""
        return self.encoder_for_evaluation().preprocessing

    def preprocess(self, frames: Source | Sequence[Source]) -> Tensor:
        """Normalized clips of a path or of uint8 frames, see `VideoEncoder.preprocess`."""
        return self.encoder_for_evaluation().preprocess(frames)

    def windows(self, path: str | PathLike[str], hop: int | None = None) -> Iterator[VideoWindow]:
        """Windows that cover a video of any length, see `VideoEncoder.windows`."""
        return self.encoder_for_evaluation().windows(path, hop)

    def export_config(self) -> dict[str, Any]:
        """Plain values from which this model is built again; they are saved with its weights."""
        return make_record(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add `export_config`."""
        checkpoint["vmae_zoo"] = self.export_config()
        checkpoint["hyper_parameters"] = checkpoint["vmae_zoo"]["hparams"]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore hyperparameters that are set after construction."""
        rename_callback_states(checkpoint)
        self.restore_settings(checkpoint.get("vmae_zoo", {}).get("hparams", {}))

    def restore_settings(self, hparams: dict[str, Any]) -> None:
        """Apply the hyperparameters of a record that are set after construction."""
        image_size, frames = hparams.get("trained_image_size"), hparams.get("trained_frames")
        if image_size or frames:
            self.resize_positions(image_size, frames)

    def resize_positions(self, trained_image_size: int | None, trained_frames: int | None = None) -> None:
        """Resize fixed positions from those of clips of this size, now and whenever the model is built again."""
        self.hparams.update(trained_image_size=trained_image_size, trained_frames=trained_frames)
        trained = trained_frames, trained_image_size
        for module in self.modules():
            if isinstance(module, SinCosPosEmbed):
                module.resize_from(trained_shape(module.grid, trained))
            elif isinstance(module, Encoder):
                module.settings["trained"] = trained
