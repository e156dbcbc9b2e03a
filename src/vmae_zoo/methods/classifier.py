"""A video classifier: an encoder, the mean of its tokens and a linear head, fine-tuned or trained from scratch.

As VideoMAE is fine-tuned (Tong, Song, Wang, Wang, NeurIPS 2022, arXiv 2203.12602): a layer norm after the mean instead
of after the last block, a head initialized near zero, layer-wise learning rates (Bao et al., BEiT, ICLR 2022, arXiv
2106.08254), stochastic depth, mixup, CutMix, label smoothing, random erasing. With ``attention="divided"``,
``pool="cls"`` and learned positions it is a TimeSformer (Bertasius et al., ICML 2021, arXiv 2102.05095). Different from
the official program: every random choice is a function of the samples' keys.

Shapes: B clips, C channels, T frames, H rows, W columns; K classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import Callback
from torch import Tensor, nn

from vmae_zoo.data.clip_spec import ClipRequest
from vmae_zoo.data.input_clip import Source, sources_of
from vmae_zoo.data.interfaces import data_of
from vmae_zoo.methods.base import Method
from vmae_zoo.models import encoders
from vmae_zoo.models.blocks import init_truncated
from vmae_zoo.models.eval_mode import eval_mode
from vmae_zoo.models.pooler import AttentivePooler, pooler_heads
from vmae_zoo.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from vmae_zoo.setting_checks import check_choice
from vmae_zoo.training.metrics import ClassificationMetrics, accuracy_metrics
from vmae_zoo.training.mixup import mixup_cutmix, random_erasing, soft_targets
from vmae_zoo.training.predictions import PredictionWriter
from vmae_zoo.training.schedules import RunLength, Schedule, multistep


class Classifier(Method):
    """An encoder with a linear head.

    The head is created when the classes are known: at construction if ``classes`` or ``num_classes`` is given,
    otherwise from the training data or from a checkpoint.

    Args:
        classes: names of the classes, in the order of their labels; None: those of the training data.
        num_classes: number of classes, if their names are not known.
        size: size of the encoder: tiny (ours), small, base, large, huge, giant.
        frames: frames of a clip (16 in the paper).
        image_size: rows and columns of a clip in pixels (224 in the paper).
        stride_frames: distance between the frames of a clip; saved with the weights.
        sampling: "dense" (Kinetics, UCF101, HMDB51) or "uniform" (frames spread over the whole video;
            Something-Something V2); saved with the weights.
        attention: "joint" (VideoMAE) or "divided" (TimeSformer), see `vmae_zoo.models.divided_attention`.
        pool: "mean" of the patch tokens, then a layer norm; "cls", the class token after the final layer norm; or
            "attentive", the pooler of V-JEPA 2 over the tokens after that norm, see `vmae_zoo.models.pooler`.
        pooler_depth: self-attention blocks of the attentive pooler (3 in V-JEPA 2).
        pooler_num_heads: attention heads of the attentive pooler (16 in V-JEPA 2); None: 16 if that divides the width.
        position: position embedding, see `vmae_zoo.models.positions.build_pos_embed`.
        rope_frequencies: of position "rope", see `vmae_zoo.models.rotary`.
        bias: "qv" (VideoMAE) or "qkv", see `vmae_zoo.models.blocks.Attention`.
        cls_token: add a class token also if ``pool`` is "mean" (MAE, space-time MAE).
        cube_frames: frames of a cube (2 in VideoMAE, 1 in TimeSformer).
        mean: mean of the input, per channel, in [0, 1].
        std: standard deviation of the input, per channel.
        drop_path: stochastic depth of the last block (0.1 to 0.35 in the paper, more for larger models).
        head_dropout: dropout before the head (0 or 0.5 in the official scripts).
        mixup: a of lambda ~ Beta(a, a); 0 disables it (0.8 in the paper).
        cutmix: a of lambda ~ Beta(a, a); 0 disables it (1.0 in the paper).
        label_smoothing: fraction of the target that is spread over all classes (0.1 in the paper).
        erase: probability of random erasing (0.25 in the paper).
        optimizer: "adamw", or "sgd" with Nesterov momentum 0.9 and weight decay on all parameters (TimeSformer).
        milestones: epochs at which the learning rate is divided by 10 ((11, 14) in TimeSformer); none: a cosine.
        layer_decay: factor on the learning rate from each layer to the one below (0.65 to 0.9 in the papers).
        base_lr: learning rate per 256 clips, without repeats (5e-4 to 2e-3 in the official scripts).
        min_lr: final learning rate, per 256 clips.
        betas: of AdamW.
        warmup_epochs: loader epochs of the warm-up.
        **shared: encoder, initialization and training, see `vmae_zoo.methods.base.Method`.
    """

    task = "classify"
    clip_request = ClipRequest(labeled=True)
    no_decay = frozenset({"cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class"})

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        num_classes: int | None = None,
        size: str = "base",
        frames: int = 16,
        image_size: int = 224,
        stride_frames: int = 4,
        sampling: str = "dense",
        attention: str = "joint",
        pool: str = "mean",
        pooler_depth: int = 3,
        pooler_num_heads: int | None = None,
        position: str = "sincos_1d",
        rope_frequencies: str = "paired",
        bias: str = "qv",
        cls_token: bool = False,
        cube_frames: int = 2,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        drop_path: float = 0.1,
        head_dropout: float = 0.0,
        mixup: float = 0.8,
        cutmix: float = 1.0,
        label_smoothing: float = 0.1,
        erase: float = 0.25,
        optimizer: str = "adamw",
        milestones: Sequence[float] = (),
        layer_decay: float = 0.75,
        base_lr: float = 1e-3,
        min_lr: float = 1e-6,
        betas: tuple[float, float] = (0.9, 0.999),
        warmup_epochs: float = 5,
        **shared: Any,
    ):
        super().__init__(size=size, base_lr=base_lr, min_lr=min_lr, betas=betas, warmup_epochs=warmup_epochs, **shared)
        check_choice("pool", pool, ("mean", "cls", "attentive"))
        check_choice("optimizer", optimizer, ("adamw", "sgd"))
        self.decay_all = optimizer == "sgd"
        self.encoder = encoders.classifier(**self.hparams)
        self.grid = self.encoder.grid
        self.pooler: AttentivePooler | None = None
        if pool == "attentive":
            width = self.encoder.width
            self.pooler = AttentivePooler(width, pooler_num_heads or pooler_heads(width), pooler_depth)
        self.head_dropout = nn.Dropout(head_dropout)
        self.head: nn.Linear | None = None
        if classes or num_classes:
            self.set_classes(list(classes or ()), num_classes)

    @property
    def classes(self) -> list[str]:
        """Names of the classes; empty if they are not known."""
        return list(self.hparams["classes"] or ())

    def set_classes(self, classes: Sequence[str], number: int | None = None) -> None:
        """Set the names of the classes, and create the head if there is none.

        Args:
            classes: names in the order of their labels; empty if only their number is known.
            number: number of classes, if there are no names.

        Raises:
            ValueError: the classifier has other classes.
        """
        number = self.head.out_features if self.head else number or len(classes)
        if classes and number != len(classes):
            raise ValueError(
                f"the classifier has {number} classes, and the data or `classes` {len(classes)}: use data with the "
                "classes of the classifier"
            )
        if classes and self.classes and list(classes) != self.classes:
            raise ValueError(
                f"the classifier has the classes {', '.join(self.classes[:3])}, ..., and the data "
                f"{', '.join(classes[:3])}, ...: use data with the classes of the classifier, or train it on this data"
            )
        if self.head is None:
            self.head = nn.Linear(self.encoder.width, number)
            init_truncated(self.head)
            with torch.no_grad():
                self.head.weight.mul_(0.001)
        self.hparams["classes"] = list(classes) or self.hparams["classes"]
        self.hparams["num_classes"] = number

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """Logits (B, K) of clips, float, normalized by ``encoder.preprocessing``."""
        if self.head is None:
            raise ValueError("the classifier has no classes: train it, load a checkpoint, or give classes")
        if self.hparams["pool"] == "cls":
            feature_BD = self.encoder.encode_cls(video_BCTHW)
        elif self.pooler is not None:
            feature_BD = self.pooler(self.encoder(video_BCTHW))
        else:
            feature_BD = self.encoder.pool(self.encoder(video_BCTHW))
        return self.head(self.head_dropout(feature_BD))

    @torch.inference_mode()
    def top(self, frames: Source | Sequence[Source], k: int = 5) -> list:
        """The most probable classes.

        Args:
            frames: a path or uint8 frames (T, H, W, 3), or a batch of them, see `preprocess`.
            k: number of classes; all of them if there are fewer.

        Returns:
            Pairs of class and probability, the most probable first; for a batch one such list per clip. A class
            without a name is the index of its label.
        """
        with eval_mode(self):
            probability_BK = self(self.preprocess(frames)).float().softmax(1)
        names = self.classes or [str(label) for label in range(probability_BK.shape[1])]
        best = probability_BK.topk(min(k, len(names)))
        pairs = [
            [(names[label], value) for value, label in zip(values, labels, strict=True)]
            for values, labels in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        return pairs if sources_of(frames)[1] else pairs[0]

    def setup(self, stage: str) -> None:
        """Set the classes of the data; ``ValueError`` if training data has none."""
        names = list(data_of(self.trainer).classes)
        if stage == "fit" and not names and self.head is None:
            raise ValueError("a classifier needs labels, and this data has none: check data.root and data.layout")
        if names and stage != "predict":
            self.set_classes(names)

    def restore_settings(self, hparams: dict[str, Any]) -> None:
        """Set the classes of a record; ``ValueError`` if the classifier has others."""
        super().restore_settings(hparams)
        if hparams.get("num_classes"):
            self.set_classes(hparams.get("classes") or (), hparams["num_classes"])

    def optimizer(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """AdamW or SGD."""
        if self.hparams["optimizer"] == "adamw":
            return super().optimizer(groups, lr)
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)

    def lr_factor(self, step: int, run: RunLength, schedule: Schedule) -> float:
        """The schedule, or the milestones."""
        milestones = self.hparams["milestones"]
        if not milestones:
            return super().lr_factor(step, run, schedule)
        if not self.trainer.max_epochs or self.trainer.max_epochs < 0:
            raise ValueError("milestones are epochs: give trainer.max_epochs, or no milestones")
        return multistep(step, [epoch * run.steps / self.trainer.max_epochs for epoch in milestones])

    def prepare_inputs(self, batch: dict[str, Any]) -> tuple[Tensor]:
        """Normalized clips."""
        return (self.normalize(batch["video"]),)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Cross-entropy of a batch after random erasing, mixup and CutMix."""
        settings = self.hparams
        target_BK = soft_targets(batch["label"], settings["num_classes"], settings["label_smoothing"])
        erase, mix = self.compiled(random_erasing), self.compiled(mixup_cutmix)
        video = erase(self.normalize(batch["video"]), batch["key"], settings["erase"])
        video, target_BK = mix(video, target_BK, batch["key"], settings["mixup"], settings["cutmix"])
        loss = nn.functional.cross_entropy(self(video).float(), target_BK)
        self.log("loss/train", loss, batch_size=len(batch["key"]))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.accuracy = accuracy_metrics(self.hparams["num_classes"]).to(self.device)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Cross-entropy and predictions of held-out clips."""
        logits_BK, label_B = self(self.normalize(batch["video"])).float(), batch["label"]
        loss = nn.functional.cross_entropy(logits_BK, label_B)
        self.log_mean("loss/val", loss, len(label_B), prog_bar=True)
        self.accuracy.update(logits_BK, label_B)

    def on_validation_epoch_end(self) -> None:
        """Log accuracies in percent, over all processes."""
        metrics = ClassificationMetrics.compute(self.accuracy).asdict()
        self.log("top1/val", metrics["top1"], prog_bar=True, sync_dist=True)
        more = {f"{name}/val": metrics[name] for name in ("top5", "mean_class") if name in metrics}
        self.log_dict(more, sync_dist=True)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor | None:
        """Class probabilities (B, K) of every view; None if no video of the batch could be read."""
        return self(self.normalize(batch["video"])).float().softmax(1) if "video" in batch else None

    predict_step = test_step

    def configure_callbacks(self) -> list[Callback]:
        """Average, evaluate and write what ``test_step`` and ``predict_step`` return."""
        return [PredictionWriter(lambda: self.classes)]
