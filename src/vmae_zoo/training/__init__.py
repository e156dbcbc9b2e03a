"""Training: parameter groups, schedules, augmentation on the device, metrics, checkpoints, signals, FSDP2."""
