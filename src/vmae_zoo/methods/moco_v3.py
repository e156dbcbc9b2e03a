"""MoCo v3 (Chen, Xie, He, ICCV 2021, arXiv 2104.02057) on clips, the contrastive baseline of the VideoMAE paper.

Two clips of a video, with different crops and colors, should have the same embedding, and clips of other videos another
one: the prediction of the encoder from one view is compared with the keys of the momentum encoder from the other view,
over the clips of all processes. The momentum encoder is a moving average of the encoder, without gradient. The patch
embedding keeps its random initialization, which stabilizes training.

The authors of VideoMAE "strictly follow" the image program and released neither code nor settings for video. Chosen
here: cubes of 2 x 16 x 16, fixed positions of VideoMAE, two clips with independent starts, equal color changes of all
frames of a clip.

Shapes: B clips, C channels, T frames, H rows, W columns; D = width, E = width of an embedding.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.data.clip_spec import ClipRequest
from vmae_zoo.methods.base import Method
from vmae_zoo.methods.output import Output
from vmae_zoo.models import encoders
from vmae_zoo.models.contrastive import info_nce, projection_mlp
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.setting_checks import check_choice
from vmae_zoo.training.color_augment import FIRST_VIEW, SECOND_VIEW, color_jitter
from vmae_zoo.training.momentum import MomentumEncoder, frozen_copy


class MoCoV3(Method):
    """Momentum contrast between two clips of a video.

    The batch norms of the projection MLPs are synchronized over GPUs, but not over processes on CPUs.

    Args:
        size: size of the encoder: tiny (ours), small, base, large, huge.
        frames: frames of a clip; 1 for images, with patches instead of cubes.
        image_size: rows and columns of a clip in pixels (224 in the paper).
        stride_frames: distance between the frames of a clip; saved with the weights.
        clips: "two" clips of a video, with independent starts, or two crops of the "same" clip.
        change_colour: change colors of the views: jitter, gray, blur, solarization, as published.
        temperature: of InfoNCE (0.2 in the paper).
        momentum: initial momentum of the momentum encoder (0.99 in the paper); rises to 1 by half a cosine.
        freeze_patch_embed: do not train the patch embedding, as in the paper.
        projection_width: hidden width of projector and predictor (4096 in the paper).
        projection_dim: width E of the embedding (256 in the paper).
        position: "sincos_1d" as in VideoMAE; "sincos_2d_rows" on images in the paper.
        min_lr: final learning rate, per 256 clips (0 in the paper).
        weight_decay: of AdamW, on all parameters (0.1 in the paper).
        betas: of AdamW ((0.9, 0.999) in the paper).
        **shared: encoder, initialization and training, see `vmae_zoo.methods.base.Method`.
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
        check_choice("clips", clips, ("two", "same"))
        self.clip_request = ClipRequest(views=2, same_clip=clips == "same")
        self.encoder = encoders.moco_v3(**self.hparams)
        self.grid = self.encoder.grid
        self.encoder.patch_embed.requires_grad_(not freeze_patch_embed)
        self.projector = projection_mlp((self.encoder.width, projection_width, projection_width, projection_dim))
        self.predictor = projection_mlp((projection_dim, projection_width, projection_dim))
        self.momentum_encoder = frozen_copy(self.encoder)
        self.momentum_projector = frozen_copy(self.projector)
        self.momentum = MomentumEncoder(
            (self.encoder, self.projector), (self.momentum_encoder, self.momentum_projector)
        )

    def prepare_inputs(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Two normalized views of each video, with random colors."""
        views = []
        for name, colors in (("video", FIRST_VIEW), ("other", SECOND_VIEW)):
            clips = batch[name]
            if self.hparams["change_colour"]:
                clips = self.compiled(color_jitter)(clips, batch["key"], colors, name)
            views.append(self.normalize(clips))
        return views[0], views[1]

    def forward(self, view_BCTHW: Tensor, other_BCTHW: Tensor) -> Output:
        """InfoNCE of two views of videos, normalized by ``encoder.preprocessing``, each as query and as key."""
        views = view_BCTHW, other_BCTHW
        queries = [self.predictor(self.projector(self.encoder.encode_cls(view))) for view in views]
        with torch.no_grad():
            keys = [self.momentum_projector(self.momentum_encoder.encode_cls(view)) for view in views]
        temperature = self.hparams["temperature"]
        return Output(info_nce(queries[0], keys[1], temperature) + info_nce(queries[1], keys[0], temperature))

    def momentum_branch(self) -> Encoder:
        """The encoder of the keys."""
        return self.momentum_encoder

    def momentum_at(self, step: int, steps: int) -> float:
        """The momentum at a 0-based optimizer step: from ``momentum`` to 1 by half a cosine."""
        return 1 - (1 - self.hparams["momentum"]) * 0.5 * (1 + math.cos(math.pi * step / steps))

    def setup(self, stage: str) -> None:
        """Synchronize the batch norms over GPUs; PyTorch cannot over CPUs."""
        super().setup(stage)
        if self.trainer.world_size > 1 and self.trainer.strategy.root_device.type == "cuda":
            for module in (self.projector, self.predictor, self.momentum_projector):
                nn.SyncBatchNorm.convert_sync_batchnorm(module)  # in place, of a container

    def on_train_start(self) -> None:
        """Initialize the momentum encoder with the encoder, which may have loaded weights."""
        super().on_train_start()
        if self.trainer.global_step == 0:
            self.momentum.reset()

    def configure_optimizers(self) -> Any:
        """Update the momentum encoder after each step, with the momentum of the next one, as before its keys."""
        configured = super().configure_optimizers()
        steps = self.run_length().steps
        self.momentum.attach(configured["optimizer"], lambda: self.momentum_at(self.trainer.global_step + 1, steps))
        return configured
