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

from vmae_zoo.callbacks.line_progress import total_steps
from vmae_zoo.data.dataset import Item
from vmae_zoo.data.loader import PlacedLoader, cores, start_worker
from vmae_zoo.data.views import ViewDataset, collate_views
from vmae_zoo.datasets.layouts import Row
from vmae_zoo.evaluation import linear_probe
from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.knn import nearest_neighbours
from vmae_zoo.evaluation.probe import choose, judge
from vmae_zoo.evaluation.splits import low_shot
from vmae_zoo.models.preprocessing import Normaliser, Preprocessing
from vmae_zoo.training.metrics import Scores


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
        if self.every_n_steps and not all(self._rows(trainer)):
            rank_zero_warn("online_probe: this data has no labelled training and held-back clips, so nothing is probed")
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
            self._probe(trainer, pl_module)

    def _probe(self, trainer: Trainer, pl_module: LightningModule) -> None:
        train, val = (features_of(trainer, pl_module, rows) for rows in self._rows(trainer))
        classes = len(trainer.datamodule.classes)  # type: ignore[attr-defined]
        try:
            scores = self._scores(train, val, classes)
        except ValueError as error:
            rank_zero_warn(f"online_probe: {error}; nothing is probed any more")
            self.every_n_steps = 0
            return
        pl_module.log("probe/top1", scores.top1, prog_bar=True, logger=False, rank_zero_only=True)
        for logger in trainer.loggers:
            logger.log_metrics({"probe/top1": scores.top1, "probe/top5": scores.top5}, trainer.global_step)
        rank_zero_info(f"step {trainer.global_step}: {self.kind} of the encoder's features: {scores.line()}")

    def _scores(self, train: Features, val: Features, classes: int) -> Scores:
        if self.kind == "linear":
            return judge(choose(linear_probe.fit, train, classes, linear_probe.Minima()), val).scores
        found = nearest_neighbours(train, val, classes)
        return found.scores[found.chosen]

    def _rows(self, trainer: Trainer) -> tuple[list[Row], list[Row]]:
        data = trainer.datamodule  # type: ignore[attr-defined]
        return (
            some(getattr(data, "rows", ()), self.train_clips),
            some(getattr(data, "validation_rows", ()), self.val_clips),
        )


def some(rows: Sequence[Row], count: int) -> list[Row]:
    """About so many labelled rows, the same ones each time, of every class alike."""
    labelled = [row for row in rows if row.label >= 0]
    if len(labelled) <= count:
        return labelled
    return [labelled[place] for place in low_shot(labelled, count / len(labelled))]


def features_of(trainer: Trainer, method: Any, rows: Sequence[Row]) -> Features:
    """The encoder's pooled features of clips as it is now, the same in every process; unreadable clips are left out."""
    encoder: Any = method.encoder
    settings: Preprocessing = encoder.preprocessing
    world, data = trainer.world_size, trainer.datamodule  # type: ignore[attr-defined]
    each = -(-len(rows) // world)  # every process as many: sharded weights make them run side by side
    mine = [rows[(trainer.global_rank + world * place) % len(rows)] for place in range(each)]
    collection = getattr(data, "collection", None)  # a data module of the user's own may have none
    dataset = ViewDataset(mine, **settings.clip, anchors=collection.anchors if collection else ())
    collate = partial(_whole, settings)
    loader = PlacedLoader(
        dataset,
        batch_size=getattr(data, "batch_size", 16),
        sampler=[(place,) for place in range(each)],
        num_workers=_workers(trainer),
        collate_fn=collate,
        worker_init_fn=partial(start_worker, recall=collection.indexes.recall if collection else None),
        generator=torch.Generator(),  # else the loader draws from the generator of training
    )
    normaliser = Normaliser(settings).to(method.device)
    modes = {module: module.training for module in method.modules()}
    method.eval()
    if hasattr(method, "unshard"):  # FSDP2: what is not in a block belongs to the method
        method.unshard()
    values, readable = [], []
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for batch in loader:
            whole = data.read_again(batch, dataset, collate) if "gone" in batch else batch
            tokens = encoder(normaliser(whole["video"].to(method.device)))
            values.append((encoder.pool(tokens) if hasattr(encoder, "pool") else tokens.mean(1)).float())
            readable.append(whole["readable"].to(method.device))
    if hasattr(method, "reshard"):
        method.reshard()
    for module, mode in modes.items():
        module.training = mode
    value_RD, readable_R = (_together(trainer, torch.cat(part))[: len(rows)] for part in (values, readable))
    there = readable_R.nonzero().flatten().tolist()
    return Features([rows[r] for r in there], list(value_RD[there][:, None].numpy()), [], len(there))


def _together(trainer: Trainer, part: Tensor) -> Tensor:
    """The parts of all processes, dealt out one by one, in the order of the rows again."""
    if trainer.world_size == 1:
        return part.cpu()
    return trainer.strategy.all_gather(part).transpose(0, 1).flatten(0, 1).cpu()


def _whole(settings: Preprocessing, samples: Sequence[list[Item]]) -> dict[str, Any]:
    """Clips uint8 (B, C, T, H, W), black where a video cannot be read, and which of them can; or a folder is "gone"."""
    if "gone" in samples[0][0]:
        return samples[0][0]
    readable = torch.tensor(["video" in items[0] for items in samples])
    video = torch.zeros(len(samples), 3, settings.frames, settings.size, settings.size, dtype=torch.uint8)
    if readable.any():
        video[readable] = collate_views(list(samples))["video"]
    return {"video": video, "readable": readable}


def _workers(trainer: Trainer) -> int:
    workers = getattr(trainer.datamodule, "workers", 0)  # type: ignore[attr-defined]
    return min(max(cores() // trainer.num_devices, 1), 8) if workers is None else workers
