"""Detects the collapse of features during training.

Methods that predict the output of a moving average of themselves can converge to one constant output, with a loss near
zero. Measured of the target encoder:

* the standard deviation of its layer-normalized token features, per channel over clips and tokens, averaged over
  channels: 0 if all tokens have the same feature;
* RankMe (Garrido, Balestriero, Najman, LeCun, ICML 2023, arXiv 2210.02885): the exponential of the entropy of the
  normalized singular values of pooled features, of the last measured batches;
* the mean cosine between pooled features of the trained and of the target encoder.

A measurement is a forward pass of both encoders over the training batch.
"""

from collections import deque
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from vmae_zoo.methods.base import Method
from vmae_zoo.models.eval_mode import eval_mode
from vmae_zoo.setting_checks import check_least
from vmae_zoo.training.fsdp2 import unsharded

COLLAPSED = 0.1  # of the largest deviation until the end of the warm-up, or of (largest rank - 1)


class CollapseMeter(Callback):
    """Logs three measures of collapse, warns once, and can end the run.

    Args:
        every_n_steps: optimizer steps between measurements.
        window: number of measured batches over which the rank is computed.
        active: whether to measure; None: if the method has a momentum encoder.
        stop: end the run, with a last checkpoint, when it warns.
    """

    def __init__(self, every_n_steps: int = 25, window: int = 8, active: bool | None = None, stop: bool = False):
        check_least("collapse.", 1, every_n_steps=every_n_steps, window=window)
        self.every_n_steps, self.window = every_n_steps, window
        self.active, self.stop = active, stop
        self.reference: float | None = None  # largest deviation until the end of the warm-up
        self.best_rank = 0.0
        self.warned = False
        self._pooled: deque[Tensor] = deque(maxlen=window)
        self._measured_at = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure every ``every_n_steps`` steps."""
        step = trainer.global_step
        if not isinstance(pl_module, Method) or step % self.every_n_steps or step == self._measured_at:
            return
        wanted = pl_module.momentum_branch() is not None if self.active is None else self.active
        if not wanted or "video" not in batch:
            return
        self._measured_at = step
        deviation, rank, alignment, width = self._measure(trainer, pl_module, batch["video"])
        found = {"collapse/std": deviation, "collapse/rank": rank, "collapse/alignment": alignment}
        pl_module.log_dict(found)
        pl_module.log("std", deviation, logger=False)  # a short name, for the bar
        self._check(trainer, pl_module, deviation, rank, width)

    def state_dict(self) -> dict[str, Any]:
        """The reference values of a resumed run."""
        return {"reference": self.reference, "best_rank": self.best_rank, "warned": self.warned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the reference values."""
        self.reference, self.best_rank = state_dict["reference"], state_dict["best_rank"]
        self.warned = state_dict["warned"]

    @torch.no_grad()
    def _measure(self, trainer: Trainer, method: Method, video_BCTHW: Tensor) -> tuple[float, float, float, int]:
        online, target = method.encoder, method.momentum_branch() or method.encoder
        with (
            eval_mode(online),
            eval_mode(target),
            unsharded(method),
            trainer.precision_plugin.forward_context(),
            torch.compiler.set_stance("force_eager"),
        ):
            video = method.normalize(video_BCTHW)
            tokens_BND = target(video).float()
            ours_BD = online(video).float().mean(1) if online is not target else tokens_BND.mean(1)
        alignment = F.cosine_similarity(ours_BD, tokens_BND.mean(1), dim=-1).mean()
        tokens_BND = F.layer_norm(tokens_BND, tokens_BND.shape[-1:])
        deviation = tokens_BND.flatten(0, 1).std(0).mean()
        means = torch.stack([deviation, alignment])
        pooled_BD = tokens_BND.mean(1)
        if trainer.world_size > 1:
            means = trainer.strategy.all_gather(means).mean(0)
            pooled_BD = trainer.strategy.all_gather(pooled_BD).flatten(0, 1)
        self._pooled.append(pooled_BD.cpu())
        deviation_now, alignment_now = means.tolist()
        return deviation_now, rank_me(torch.cat(list(self._pooled))), alignment_now, tokens_BND.shape[-1]

    def _check(self, trainer: Trainer, method: Method, deviation: float, rank: float, width: int) -> None:
        """Warn once, and end the run if ``stop``; not during the warm-up."""
        warmup_steps = method.run_length().warmup_steps
        if self.reference is None or trainer.global_step <= warmup_steps:  # features may collapse during the warm-up
            self.reference = max(deviation, self.reference or 0.0)
        full = len(self._pooled) == self.window  # the rank of fewer clips is lower
        self.best_rank = max(self.best_rank, rank) if full else self.best_rank
        if self.warned or trainer.global_step < warmup_steps:
            return
        if not has_collapsed(deviation, self.reference, rank, self.best_rank if full else rank):
            return
        self.warned = True
        rank_zero_warn(
            f"step {trainer.global_step}: the target features collapse: their standard deviation is {deviation:.3g} "
            f"({self.reference:.3g} in the warm-up), their effective rank {rank:.1f} of {width} (highest: "
            f"{max(self.best_rank, rank):.1f}); the loss does not show it. Raise the momentum, lower the learning "
            "rate, or use a larger batch"
        )
        if self.stop:
            trainer.should_stop = True


def has_collapsed(deviation: float, reference: float, rank: float, best_rank: float) -> bool:
    """Whether the features lost nearly all of their deviation or of their effective rank.

    Both are compared with the run's own values: how high they are depends on the width, the videos and the number of
    measured clips. An untrained network of 64 channels has a rank of 4 on the embedded clips. ``reference`` and
    ``best_rank`` are the largest values of the run.
    """
    return deviation < COLLAPSED * reference or rank - 1 < COLLAPSED * (best_rank - 1)


def rank_me(features_ND: Tensor) -> float:
    """Effective rank: the exponential of the entropy of the singular values, normalized to sum 1."""
    values = torch.linalg.svdvals(features_ND.float())
    shares = values / values.sum().clamp_min(1e-7) + 1e-7
    return max(float((-(shares * shares.log()).sum()).exp()), 1.0)
