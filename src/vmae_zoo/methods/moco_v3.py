"""MoCo v3 (Chen, Xie, He, ICCV 2021, arXiv 2104.02057) on clips, the contrastive baseline of the VideoMAE paper.

Two clips of one video, changed in colour and crop, should have the same embedding, other videos' clips another: the
base encoder's prediction from one view is compared with the momentum encoder's keys of the other view, over the clips
of all processes. The momentum encoder follows the base encoder slowly and has no gradient. The patch embedding stays at
its random start, which keeps training stable.

The VideoMAE authors "strictly follow" the image program and released neither code nor settings for video. Taken here:
cubes of 2 x 16 x 16, VideoMAE's fixed positions, two clips with starts of their own, colors changed alike in all
frames of a clip.

Shapes: B clips, C channels, T frames, H rows, W columns; D = width, E = width of an embedding.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.data.clip_spec import ClipRequest
from vmae_zoo.methods.base import Method, Output
from vmae_zoo.models import encoders
from vmae_zoo.models.contrastive import head, info_nce
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.training.color_augment import FIRST_VIEW, SECOND_VIEW, color_jitter
from vmae_zoo.training.momentum import MomentumEncoder, frozen_copy
from vmae_zoo.training.schedules import run_length


class MoCoV3(Method):
    """Momentum contrast between two clips of a video.

    Batch norms of the heads work over all processes; where processes run on CPUs, over each one's own clips.

    Args:
        size: of the encoder: tiny (ours), small, base, large, huge.
        frames: frames of a clip; 1 for images, with patches instead of cubes.
        image_size: rows and columns of a clip in pixels (224 in the paper).
        stride_frames: from one frame of the clip to the next; kept with the weights.
        clips: "two" clips of a video, each with a start of its own, or two crops of the "same" clip.
        change_colour: jitter, grey, blur and solarise the views, as published.
        temperature: of the contrast (0.2 in the paper).
        momentum: of the momentum encoder at the start (0.99 in the paper); rises to 1 by a half cosine.
        freeze_patch_embed: keep the patch embedding at its random start, as the paper.
        projection_width: hidden width of projector and predictor (4096 in the paper).
        projection_dim: width of the embedding E (256 in the paper).
        position: "sincos_1d", VideoMAE's; on images the paper has "sincos_2d_rows".
        min_lr: rate at the end, per 256 clips (0 in the paper).
        weight_decay: AdamW's, on all parameters (0.1 in the paper).
        betas: AdamW's ((0.9, 0.999) in the paper).
        **shared: sizes of the encoder, starting weights and training, see `vmae_zoo.methods.base.Method`.
    """

    clip_request = ClipRequest(views=2)
    decay_all = True

    def __init__(
        self,
        size: str = "base",
        frames: int = 16,
        image_size: int = 224,
        stride_frames: int = 4,
        clips: str = "two",
        change_colour: bool = True,
        temperature: float = 0.2,
        momentum: float = 0.99,
        freeze_patch_embed: bool = True,
        projection_width: int = 4096,
        projection_dim: int = 256,
        position: str = "sincos_1d",
        min_lr: float = 0.0,
        weight_decay: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.999),
        **shared: Any,
    ):
        super().__init__(size=size, min_lr=min_lr, weight_decay=weight_decay, betas=betas, **shared)
        self.save_hyperparameters()
        if clips not in ("two", "same"):
            raise ValueError(f"clips = {clips!r} is not known: choose two or same")
        self.clip_request = ClipRequest(views=2, same_clip=clips == "same")
        self.encoder = encoders.moco_v3(**self.hparams)
        self.grid = self.encoder.grid
        self.encoder.patch_embed.requires_grad_(not freeze_patch_embed)
        self.projector = head((self.encoder.width, projection_width, projection_width, projection_dim))
        self.predictor = head((projection_dim, projection_width, projection_dim))
        self.momentum_encoder = frozen_copy(self.encoder)
        self.momentum_projector = frozen_copy(self.projector)
        self.momentum = MomentumEncoder(
            (self.encoder, self.projector), (self.momentum_encoder, self.momentum_projector)
        )

    def prepare_inputs(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Two views of each video."""
        views = []
        for name, colors in (("video", FIRST_VIEW), ("other", SECOND_VIEW)):
            clips = batch[name]
            if self.hparams["change_colour"]:
                clips = color_jitter(clips, batch["key"], colors, name)
            views.append(self.normalize(clips))
        return views[0], views[1]

    def forward(self, view_BCTHW: Tensor, other_BCTHW: Tensor) -> Output:
        """Contrast two views, each in turn as query and as key.

        Args:
            view_BCTHW: float, normalised as ``encoder.preprocessing`` says.
            other_BCTHW: the other view of the same videos.
        """
        queries = [self.predictor(self.embed(view, momentum=False)) for view in (view_BCTHW, other_BCTHW)]
        with torch.no_grad():
            keys = [self.embed(view, momentum=True) for view in (view_BCTHW, other_BCTHW)]
        temperature = self.hparams["temperature"]
        return Output(info_nce(queries[0], keys[1], temperature) + info_nce(queries[1], keys[0], temperature))

    def embed(self, view_BCTHW: Tensor, momentum: bool) -> Tensor:
        """The projected class token (B, E), of the base or the momentum branch."""
        encoder, projector = (
            (self.momentum_encoder, self.momentum_projector) if momentum else (self.encoder, self.projector)
        )
        return projector(encoder(view_BCTHW, return_cls=True)[1])

    def momentum_branch(self) -> Encoder:
        """The encoder that makes the keys."""
        return self.momentum_encoder

    def momentum_at(self, step: int, steps: int) -> float:
        """The momentum of a 0-based optimiser step: 0.99 at the start, 1 at the end, by a half cosine."""
        return 1 - (1 - self.hparams["momentum"]) * 0.5 * (1 + math.cos(math.pi * step / steps))

    def setup(self, stage: str) -> None:
        """Join the heads' batch norms over all GPUs; torch has no such norm for CPUs."""
        super().setup(stage)
        if self.trainer.world_size > 1 and self.trainer.strategy.root_device.type == "cuda":
            for name in ("projector", "predictor", "momentum_projector"):
                setattr(self, name, nn.SyncBatchNorm.convert_sync_batchnorm(getattr(self, name)))

    def on_train_start(self) -> None:
        """Both branches start alike, whatever weights the base branch was given."""
        super().on_train_start()
        if self.trainer.global_step == 0:
            self.momentum.reset()

    def configure_optimizers(self) -> Any:
        """Let the momentum branch follow each step with the next step's momentum: it moves before it computes keys."""
        configured = super().configure_optimizers()
        steps = run_length(self.trainer, 0).steps
        self.momentum.attach(configured["optimizer"], lambda: self.momentum_at(self.trainer.global_step + 1, steps))
        return configured
