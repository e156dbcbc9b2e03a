"""The results of a test, video by video: probabilities averaged over views, kept on disk as they come.

Views are the clips and crops of one video. Probabilities are averaged, not logits: so are the published numbers.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, distributed

from vmae_zoo.models.fingerprint import fingerprint
from vmae_zoo.randomness import hash_text
from vmae_zoo.training.metrics import Scores

Line = dict[str, Any]  # "video": its id, "label": number of its true class or -1, "probabilities"

VIEWS = ("frames", "stride_frames", "size", "sampling", "fps", "test_clips", "test_crops")


class Results:
    """What is known so far; each process keeps its own in ``<name>.<rank>.jsonl``, from which a later run goes on.

    Args:
        name: stem of the files: "test" or "predictions".
        rows: the videos; empty where only their place in the data is known.
        folder: where the files are; None keeps everything in memory.
        made_from: what the results depend on: those of other weights, videos or views are thrown away.
        rank: number of this process.
    """

    def __init__(
        self,
        name: str,
        rows: Sequence[Any] = (),
        folder: Path | None = None,
        made_from: dict[str, Any] | None = None,
        rank: int = 0,
    ):
        self.name, self.folder, self.rank = name, folder, rank
        self.made_from = json.loads(json.dumps(made_from or {}))  # as the files give it back
        self.videos: dict[str, Line] = {}
        for file in sorted(folder.glob(f"{name}.*.jsonl")) if folder else ():
            self._go_on(file)
        self.rows = [row for row in rows if row.id not in self.videos]

    @classmethod
    def of(cls, name: str, method: LightningModule, rows: Sequence[Any]) -> "Results":
        """Those of what ``method`` runs now over these videos."""
        trainer = method.trainer
        data = getattr(trainer, "datamodule", None)
        made_from: dict[str, Any] = {key: getattr(data, key, None) for key in VIEWS}
        made_from |= {"weights": fingerprint(method), "videos": hash_text("\n".join(row.id for row in rows))}
        in_memory = not rows or trainer.fast_dev_run  # type: ignore[attr-defined]
        folder = None if in_memory else Path(trainer.default_root_dir)
        return cls(name, rows, folder, made_from, trainer.global_rank)

    def add(self, batch: dict[str, Any], probability_BK: Tensor) -> None:
        """Take in a batch; all views of a video come in one, its "index" counts in ``rows``."""
        index_B = batch["index"].tolist()
        label_B = batch["label"].tolist() if "label" in batch else [-1] * len(index_B)
        lines = []
        for index in dict.fromkeys(index_B):
            views = [place for place, of in enumerate(index_B) if of == index]
            mean_K = probability_BK[views].double().mean(0)
            video = self.rows[index].id if self.rows else str(index)
            self.videos[video] = {"video": video, "label": label_B[views[0]], "probabilities": mean_K.tolist()}
            lines.append(self.videos[video])
        if self.folder:
            file = self.folder / f"{self.name}.{self.rank}.jsonl"
            header: list[Any] = [] if file.exists() else [self.made_from]
            with file.open("a") as out:
                out.writelines(json.dumps(line) + "\n" for line in [*header, *lines])

    def gather(self) -> list[Line]:
        """Those of all processes, sorted by video; the files are no longer needed."""
        everyone: list[Any] = [self.videos]
        if distributed.is_available() and distributed.is_initialized():
            everyone = [None] * distributed.get_world_size()
            distributed.all_gather_object(everyone, self.videos)
        merged = {video: line for videos in everyone for video, line in videos.items()}
        if self.folder and self.rank == 0:
            for file in self.folder.glob(f"{self.name}.*.jsonl"):
                file.unlink()
        return [merged[video] for video in sorted(merged)]

    def _go_on(self, file: Path) -> None:
        text = file.read_text()
        whole = text[: text.rfind("\n") + 1]  # the last line of a killed run may not be
        header, *lines = [json.loads(line) for line in whole.splitlines()] or [None]
        if header == self.made_from:
            self.videos.update({line["video"]: line for line in lines})
        elif self.rank == 0:
            file.unlink()


def scores_of(lines: Sequence[Line]) -> Scores | None:
    """Scores of the videos whose class is known; None where none is."""
    known = [line for line in lines if line["label"] >= 0]
    if not known:
        return None
    values_NK = torch.tensor([line["probabilities"] for line in known])
    return Scores.of(values_NK, torch.tensor([line["label"] for line in known]))


def write_csv(file: Path, lines: Sequence[Line], paths: dict[str, str], classes: Sequence[str], truth: bool) -> None:
    """A row per video: path, label (its most probable class), probability and, if wanted, the true class.

    Args:
        file: what to write.
        lines: results.
        paths: of the videos, by id.
        classes: names; empty writes numbers.
        truth: whether to add a column of true classes.
    """

    def name(label: int) -> str:
        return "" if label < 0 else classes[label] if classes else str(label)

    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["path", "label", "probability", *["truth"] * truth])
        for line in lines:
            probability = max(line["probabilities"])
            best = line["probabilities"].index(probability)
            path = paths.get(line["video"], line["video"])
            writer.writerow([path, name(best), f"{probability:.6f}", *[name(line["label"])] * truth])
