"""A callback that counts, over some steps of a training, the values that are read back from tensors."""

import traceback
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import torch
from lightning import Callback
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
SYNCHRONIZES = {aten._local_scalar_dense, aten.nonzero, aten.is_nonzero, aten.masked_select, aten.equal}

METHODS = ("tolist", "numpy", "cpu")  # they do not pass through the dispatcher if the tensor is on the CPU
ON_THE_HOST = {
    "sampler.py:__iter__",  # rows of the next batches
    "skip_nonfinite.py:_read",  # at every step on a CPU alone, on a GPU when metrics are logged
}


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
    """Lists the calls that wait for a device, or would if the tensor were on one."""

    def __init__(self):
        super().__init__()
        self.found, self.patches = [], ExitStack()

    def __enter__(self):
        for name in METHODS:
            self.patches.enter_context(mock.patch.object(torch.Tensor, name, self.watched(name)))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.patches.close()

    def watched(self, name):
        method = getattr(torch.Tensor, name)

        def call(tensor, *args, **kwargs):
            self.note(name)
            return method(tensor, *args, **kwargs)

        return call

    def note(self, name):
        frames = traceback.extract_stack()[-12:-2]
        calls = [f"{Path(frame.filename).name}:{frame.name}" for frame in reversed(frames)]
        if not ON_THE_HOST & set(calls):
            self.found.append(f"{name}: {' < '.join(calls)}")

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.overloadpacket in SYNCHRONIZES:
            self.note(str(operation))
        return operation(*args, **(kwargs or {}))
