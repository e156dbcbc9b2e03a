"""A callback that counts, over some steps of a training, the values that are read back from tensors."""

import traceback
from pathlib import Path

import torch
from lightning import Callback
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
SYNCHRONIZES = {aten._local_scalar_dense, aten.nonzero, aten.is_nonzero, aten.masked_select, aten.equal}


class HostWatch(Callback):
    """Writes where values were read back between the starts of two steps to ``waits.txt`` of the run folder."""

    def __init__(self, first: int = 2, last: int = 5):
        self.first, self.last, self.watch = first, last, Watch()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.first:
            self.watch.__enter__()
        if trainer.global_step == self.last:
            self.watch.__exit__(None, None, None)
            Path(trainer.default_root_dir, "waits.txt").write_text("\n".join(self.watch.found))


class Watch(TorchDispatchMode):
    """Lists the calls that wait for a device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.overloadpacket in SYNCHRONIZES:
            frames = traceback.extract_stack()[-12:-1]
            calls = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
            self.found.append(f"{operation}: {calls}")
        return operation(*args, **(kwargs or {}))
