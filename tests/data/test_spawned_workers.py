"""Loaders with spawned workers (macOS, Windows) read the same clips as forked workers and no workers."""

import pickle
import shutil
from functools import partial

import lightning as L
import pytest
import torch

from vmae_zoo.data import ClipDataModule, loader
from vmae_zoo.data.loader import SignalSafeLoader
from vmae_zoo.datasets.make_index import make_index
from vmae_zoo.methods import MGMAE


class Diary(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.clips = []

    def training_step(self, batch, batch_idx):
        self.clips += zip(batch["key"].tolist(), batch["video"].sum((1, 2, 3, 4)).tolist(), strict=True)
        return self.layer(batch["video"].float().mean().view(1)).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


@pytest.mark.slow
def test_a_spawned_worker_uses_the_index_and_reads_the_same_clips(small_set, tmp_path, monkeypatch):
    root = tmp_path / "set"
    shutil.copytree(small_set, root)
    make_index(root, workers=1, progress=False)
    runs = []
    for workers in (0, 1):
        monkeypatch.setattr(loader, "SignalSafeLoader", SignalSafeLoader)
        if workers:
            monkeypatch.setattr(loader, "SignalSafeLoader", partial(SignalSafeLoader, multiprocessing_context="spawn"))
        data = ClipDataModule(str(root), frames=2, stride_frames=1, size=16, batch_size=11, workers=workers, repeats=2)
        assert data.mixture.indexes
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        module, limits = Diary(), {"max_epochs": 1, "limit_val_batches": 0}
        L.Trainer(accelerator="cpu", default_root_dir=tmp_path, **limits, **quiet).fit(module, data)
        runs.append(module.clips)
    assert runs[0] == runs[1]
    assert len(runs[0]) == 44


def test_what_methods_compute_in_workers_can_be_pickled():
    method = MGMAE(
        width=48, depth=1, num_heads=2, image_size=64, mask_ratio=0.75, decoder_width=32, decoder_num_heads=2
    )
    assert method.clip_request.per_clip
    assert list(pickle.loads(pickle.dumps(method.clip_request.per_clip))) == list(method.clip_request.per_clip)
