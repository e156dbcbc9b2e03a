"""Groups of settings of ``fit``, ``validate``, ``test`` and ``predict``, by import path: nothing large is imported."""

DATA = "vmae_zoo.data.module.ClipDataModule"
TRAINER = "lightning.pytorch.Trainer"

CALLBACKS = {  # callbacks of every run; the key is the group of their arguments
    "checkpoint": "vmae_zoo.training.checkpointing.LastCheckpoint",
    "collapse": "vmae_zoo.callbacks.collapse_meter.CollapseMeter",
    "ema": "vmae_zoo.callbacks.ema.EMA",
    "finite": "vmae_zoo.callbacks.skip_nonfinite.SkipNonFiniteSteps",
    "null_report": "vmae_zoo.callbacks.null_report.NullReport",
    "online_probe": "vmae_zoo.callbacks.online_probe.OnlineProbe",
    "pictures": "vmae_zoo.callbacks.reconstruction_logger.ReconstructionLogger",
    "throughput": "vmae_zoo.callbacks.throughput.Throughput",
}

LINKS = {  # setting of the data -> argument of the model, if it has one: each number is given once
    "data.frames": "frames",
    "data.stride_frames": "stride_frames",
    "data.size": "image_size",
    "data.sampling": "sampling",
}

ONE_CPU = {  # so that recipes for several GPUs work on any machine
    "trainer.accelerator": "cpu",
    "trainer.devices": "1",
    "trainer.num_nodes": "1",
    "trainer.strategy": "auto",
    "trainer.precision": "32-true",
}

TOP_LEVEL = ("config", "seed_everything", "json", "name", "tags", "print_config", "help", "version")

# arguments of methods of the trainer that are not settings
NOT_SETTINGS = ("model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule")
