"""Whether pre-training learns anything about the classes, while it runs: a probe of labelled clips now and then.

Features of fixed views (middle clip, centre crop) of some training and held-back clips, each process a share of them,
then k-NN, or the linear probe, in every process alike. Nothing here draws from a random generator that training uses,
and the modes of all modules are put back: a run with it and one without end with the same weights. A data folder that
is gone meanwhile is waited for, as training waits for it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from vmae_zoo.callbacks.line_progress import total_steps
from vmae_zoo.data.interfaces import data_of
from vmae_zoo.data.loader import SignalSafeLoader, cores, start_worker
from vmae_zoo.data.storage_retry import Item
from vmae_zoo.data.views import ViewDataset, collate_views
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.evaluation import linear_probe
from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.knn import nearest_neighbors
from vmae_zoo.evaluation.probe import evaluate, select
from vmae_zoo.evaluation.splits import low_shot
from vmae_zoo.methods.base import Method
from vmae_zoo.models.preprocessing import Normalize, Preprocessing
from vmae_zoo.training.metrics import ClassificationMetrics


class OnlineProbe(Callback):
    """Logs "probe/top1", in percent of held-back clips, to TensorBoard, the progress bar and ``summary.json``.

    Args:
        every_n_steps: optimiser steps from one probe to the next, and one at the last step; 0 for none at all.
        kind: "knn" (nothing is trained) or "linear" (heads are trained: slower, the more clips and classes).
        train_clips: training clips that are probed with, at most, a share of every class.
        val_clips: held-back clips that are judged, likewise.
    """

    def __init__(
        self,
        every_n_steps: int = 0,
        kind: Literal["knn", "linear"] = "knn",
        train_clips: int = 1000,
        val_clips: int = 500,
    ):
        if every_n_steps < 0 or train_clips < 2 or val_clips < 1:
            raise ValueError(
                f"online_probe: every_n_steps = {every_n_steps} counts from 0, train_clips = {train_clips} from 2 and "
                f"val_clips = {val_clips} from 1"
            )
        if kind not in ("knn", "linear"):
            raise ValueError(f"online_probe.kind = {kind!r} is not known: choose knn or linear")
        self.every_n_steps, self.kind = every_n_steps, kind
        self.train_clips, self.val_clips = train_clips, val_clips
        self._probed_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where there is nothing to probe with."""
        self._probed_at = trainer.global_step
        if self.every_n_steps and not (isinstance(pl_module, Method) and all(self._rows(trainer))):
            rank_zero_warn("online_probe: no probe without labelled training and held-back clips and a vmae_zoo method")
            self.every_n_steps = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Probe every ``every_n_steps``, and at the last step."""
        step = trainer.global_step
        if not self.every_n_steps or step == self._probed_at or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if step % self.every_n_steps == 0 or step == total_steps(trainer):
            self._probed_at = step
            assert isinstance(pl_module, Method)
            self._probe(trainer, pl_module)

    def _probe(self, trainer: Trainer, pl_module: Method) -> None:
        train, val = (features_of(trainer, pl_module, records) for records in self._rows(trainer))
        classes = len(data_of(trainer).classes)
        try:
            scores = self._scores(train, val, classes)
        except ValueError as error:
            rank_zero_warn(f"online_probe: {error}; nothing is probed any more")
            self.every_n_steps = 0
            return
        pl_module.log("probe/top1", scores.top1, prog_bar=True, logger=False, rank_zero_only=True)
        for logger in trainer.loggers:
            logger.log_metrics({f"probe/{name}": value for name, value in scores.asdict().items()}, trainer.global_step)
        rank_zero_info(f"step {trainer.global_step}: {self.kind} of the encoder's features: {scores.line()}")

    def _scores(self, train: Features, val: Features, classes: int) -> ClassificationMetrics:
        if self.kind == "linear":
            return evaluate(select(linear_probe.fit, train, classes, linear_probe.LBFGSSweep()), val).metrics
        found = nearest_neighbors(train, val, classes)
        return found.metrics[found.selected]

    def _rows(self, trainer: Trainer) -> tuple[list[ClipRecord], list[ClipRecord]]:
        data = data_of(trainer)
        return some(data.records, self.train_clips), some(data.validation_records, self.val_clips)


def some(records: Sequence[ClipRecord], count: int) -> list[ClipRecord]:
    """About so many labelled records, the same ones each time, of every class alike."""
    labelled = [record for record in records if record.label >= 0]
    if len(labelled) <= count:
        return labelled
    return [labelled[place] for place in low_shot(labelled, count / len(labelled))]


def features_of(trainer: Trainer, method: Method, records: Sequence[ClipRecord]) -> Features:
    """The encoder's pooled features of clips as it is now, the same in every process; unreadable clips are left out."""
    encoder = method.encoder_for_evaluation()
    settings: Preprocessing = encoder.preprocessing
    world, data = trainer.world_size, data_of(trainer)
    each = -(-len(records) // world)  # every process as many: sharded weights make them run side by side
    mine = [records[(trainer.global_rank + world * place) % len(records)] for place in range(each)]
    dataset = ViewDataset(mine, settings.clip, required_dirs=data.required_dirs, reader=data.reader)
    collate = partial(_whole, settings)
    loader = SignalSafeLoader(
        dataset,
        batch_size=data.batch_size or 16,
        sampler=[(place,) for place in range(each)],
        num_workers=_workers(trainer),
        collate_fn=collate,
        worker_init_fn=start_worker,
        generator=torch.Generator(),  # else the loader draws from the generator of training
    )
    normalizer = Normalize(settings).to(method.device)
    modes = {module: module.training for module in method.modules()}
    method.eval()
    if isinstance(method, FSDPModule):  # FSDP2: what is not in a block belongs to the method
        method.unshard()
    values, readable = [], []
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for batch in loader:
            whole = data.retry_batch(batch, dataset, collate) if "unavailable" in batch else batch
            tokens = encoder(normalizer(whole["video"].to(method.device)))
            values.append(encoder.pool(tokens).float())
            readable.append(whole["readable"].to(method.device))
    if isinstance(method, FSDPModule):
        method.reshard()
    for module, mode in modes.items():
        module.training = mode
    value_RD, readable_R = (_gather(trainer, torch.cat(part))[: len(records)] for part in (values, readable))
    there = readable_R.nonzero().flatten().tolist()
    return Features([records[r] for r in there], list(value_RD[there][:, None].numpy()), [], len(there))


def _gather(trainer: Trainer, part: Tensor) -> Tensor:
    """The parts of all processes, dealt out one by one, in the order of the records again."""
    if trainer.world_size == 1:
        return part.cpu()
    return trainer.strategy.all_gather(part).transpose(0, 1).flatten(0, 1).cpu()


def _whole(settings: Preprocessing, samples: Sequence[list[Item]]) -> dict[str, Any]:
    """Clips uint8 (B, C, T, H, W), black if unreadable, and which are readable; or an "unavailable" folder."""
    if "unavailable" in samples[0][0]:
        return samples[0][0]
    readable = torch.tensor(["video" in items[0] for items in samples])
    video = torch.zeros(len(samples), 3, settings.frames, settings.size, settings.size, dtype=torch.uint8)
    if readable.any():
        video[readable] = collate_views(list(samples))["video"]
    return {"video": video, "readable": readable}


def _workers(trainer: Trainer) -> int:
    workers = data_of(trainer).workers
    return min(max(cores() // trainer.num_devices, 1), 8) if workers is None else workers
