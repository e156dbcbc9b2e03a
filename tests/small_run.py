"""Settings of a run that takes seconds, for tests that start it from the command line."""

SMALL_RUN = {
    "model": "VideoMAE",
    "model.size": "tiny",
    "model.width": 32,
    "model.depth": 2,
    "model.num_heads": 2,
    "model.decoder_width": 16,
    "model.decoder_depth": 1,
    "model.decoder_num_heads": 2,
    "model.mask_ratio": 0.75,
    "model.lr": 1e-3,
    "model.warmup_steps": 2,
    "data.size": 32,
    "data.frames": 4,
    "data.stride_frames": 1,
    "data.global_batch": 4,
    "data.workers": 0,
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": "false",
}
