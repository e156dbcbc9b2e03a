"""A probe of the encoder during pre-training: accuracy of k-NN or a linear probe on labeled clips.

Features of fixed views (middle clip, center crop) of some training and validation clips, divided among the processes;
then the same probe in every process. Weights, random states and modes of modules are not changed, so that training is
the same with and without it. An unreachable data folder is waited for, as in training.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from vmae_zoo.callbacks.line_progress import total_steps
from vmae_zoo.data.interfaces import data_of
from vmae_zoo.data.loader import SignalSafeLoader, cores
from vmae_zoo.data.storage_retry import Item
from vmae_zoo.data.views import ViewDataset, collate_views
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.datasets.splits import low_shot
from vmae_zoo.evaluation import linear_probe
from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.knn import nearest_neighbors
from vmae_zoo.evaluation.probe import evaluate, select
from vmae_zoo.lightning_internals import is_trial_run
from vmae_zoo.methods.base import Method
from vmae_zoo.models.eval_mode import eval_mode
from vmae_zoo.models.preprocessing import Normalize, Preprocessing
from vmae_zoo.setting_checks import check_choice, check_least
from vmae_zoo.training.fsdp2 import unsharded
from vmae_zoo.training.metrics import ClassificationMetrics


class OnlineProbe(Callback):
    """Logs "probe/top1" in percent, to the progress bar, ``summary.json`` and, with the other accuracies, the loggers.

    Args:
        every_n_steps: optimizer steps between two probes; there is also one at the last step. 0 disables the probe.
        kind: "knn", which trains nothing, or "linear", slower the more clips and classes there are.
        train_clips: maximum number of training clips, a fraction of each class.
        val_clips: maximum number of validation clips, a fraction of each class.
    """

    def __init__(
        self,
        every_n_steps: int = 0,
        kind: Literal["knn", "linear"] = "knn",
        train_clips: int = 1000,
        val_clips: int = 500,
    ):
        check_least("online_probe.", 0, every_n_steps=every_n_steps)
        check_least("online_probe.", 2, train_clips=train_clips)
        check_least("online_probe.", 1, val_clips=val_clips)
        check_choice("online_probe.kind", kind, ("knn", "linear"))
        self.every_n_steps, self.kind = every_n_steps, kind
        self.train_clips, self.val_clips = train_clips, val_clips
        self._probed_at = 0
        self._clips: list[list[ClipRecord]] = []  # for training and validation

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn if there are no labels or the module is no `Method`."""
        self._probed_at = trainer.global_step
        if not self.every_n_steps:
            return
        data = data_of(trainer)
        self._clips = [
            stratified_sample(data.records, self.train_clips),
            stratified_sample(data.validation_records, self.val_clips),
        ]
        if not (isinstance(pl_module, Method) and all(self._clips)):
            rank_zero_warn(
                "online_probe is disabled: it needs labeled training and validation clips and a vmae_zoo method"
            )
            self.every_n_steps = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Probe every ``every_n_steps`` and at the last step."""
        step = trainer.global_step
        if not self.every_n_steps or step == self._probed_at or is_trial_run(trainer):
            return
        if step % self.every_n_steps == 0 or step == total_steps(trainer):
            self._probed_at = step
            assert isinstance(pl_module, Method)
            self._probe(trainer, pl_module)

    def _probe(self, trainer: Trainer, pl_module: Method) -> None:
        train, val = (encode_clips(trainer, pl_module, records) for records in self._clips)
        try:
            metrics = self._metrics(train, val, len(data_of(trainer).classes))
        except ValueError as error:
            rank_zero_warn(f"online_probe is disabled: {error}")
            self.every_n_steps = 0
            return
        pl_module.log("probe/top1", metrics.top1, logger=False, rank_zero_only=True)
        accuracies = {f"probe/{name}": value for name, value in metrics.asdict().items() if name != "videos"}
        for logger in trainer.loggers:
            logger.log_metrics(accuracies, trainer.global_step)
        rank_zero_info(f"step {trainer.global_step}: {self.kind} of the encoder's features: {metrics.line()}")

    def _metrics(self, train: Features, val: Features, classes: int) -> ClassificationMetrics:
        if self.kind == "linear":
            return evaluate(select(linear_probe.fit, train, classes, linear_probe.LBFGSSweep()), val).metrics
        found = nearest_neighbors(train, val, classes)
        return found.metrics[found.selected]


def stratified_sample(records: Sequence[ClipRecord], count: int) -> list[ClipRecord]:
    """About ``count`` labeled records, the same fraction of every class, the same ones in every call."""
    labeled = [record for record in records if record.label >= 0]
    if len(labeled) <= count:
        return labeled
    return [labeled[index] for index in low_shot(labeled, count / len(labeled))]


def encode_clips(trainer: Trainer, method: Method, records: Sequence[ClipRecord]) -> Features:
    """Pooled features of the encoder for evaluation, the same in every process, without unreadable clips."""
    encoder = method.encoder_for_evaluation()
    preprocessing = encoder.preprocessing
    world, data = trainer.world_size, data_of(trainer)
    share = -(-len(records) // world)  # the same in every process: sharded weights need all of them in each pass
    own = [records[(trainer.global_rank + world * index) % len(records)] for index in range(share)]
    dataset = ViewDataset(own, preprocessing.clip, required_dirs=data.required_dirs, reader=data.reader)
    collate = partial(_collate, preprocessing)
    loader = SignalSafeLoader(
        dataset,
        batch_size=data.batch_size or 16,
        sampler=[(index,) for index in range(share)],
        num_workers=min(max(cores() // trainer.num_devices, 1), 8) if data.workers is None else data.workers,
        collate_fn=collate,
        generator=torch.Generator(),  # by default, a loader advances the global random state
    )
    normalizer = Normalize(preprocessing).to(method.device)
    values, readable = [], []
    with eval_mode(method), unsharded(method), torch.no_grad(), trainer.precision_plugin.forward_context():
        for batch in loader:
            batch = data.retry_batch(batch, dataset, collate) if "unavailable" in batch else batch
            tokens_BND = encoder(normalizer(batch["video"].to(method.device)))
            values.append(encoder.pool(tokens_BND).float())
            readable.append(batch["readable"].to(method.device))
    value_RD, readable_R = (_gather(trainer, torch.cat(own))[: len(records)] for own in (values, readable))
    ids = readable_R.nonzero().flatten().tolist()
    return Features([records[i] for i in ids], list(value_RD[ids][:, None].numpy()), [], len(ids))


def _gather(trainer: Trainer, values: Tensor) -> Tensor:
    """Values of all processes on the CPU; process r of R has those of the records r, r + R, ..."""
    if trainer.world_size == 1:
        return values.cpu()
    return trainer.strategy.all_gather(values).transpose(0, 1).flatten(0, 1).cpu()


def _collate(preprocessing: Preprocessing, samples: Sequence[list[Item]]) -> dict[str, Any]:
    """Clips, uint8 (B, C, T, H, W), zeros if unreadable, and whether each is readable; or an "unavailable" folder."""
    if "unavailable" in samples[0][0]:
        return samples[0][0]
    size = preprocessing.size
    readable = torch.tensor(["video" in items[0] for items in samples])
    video = torch.zeros(len(samples), 3, preprocessing.frames, size, size, dtype=torch.uint8)
    if readable.any():
        video[readable] = collate_views(list(samples))["video"]
    return {"video": video, "readable": readable}
