"""Names of earlier versions that recipes and checkpoints written by them still hold."""

from typing import Any

CLASS_PATHS = {
    "vmae_zoo.callbacks.FiniteSteps": "vmae_zoo.callbacks.SkipNonFiniteSteps",
    "vmae_zoo.callbacks.Pictures": "vmae_zoo.callbacks.ReconstructionLogger",
    "vmae_zoo.callbacks.ProgressLines": "vmae_zoo.callbacks.LineProgress",
    "vmae_zoo.callbacks.events.RunEvents": "vmae_zoo.callbacks.tensorboard.TolerantTensorBoardLogger",
    "vmae_zoo.callbacks.finite.FiniteSteps": "vmae_zoo.callbacks.SkipNonFiniteSteps",
    "vmae_zoo.callbacks.pictures.Pictures": "vmae_zoo.callbacks.ReconstructionLogger",
    "vmae_zoo.callbacks.progress.ProgressLines": "vmae_zoo.callbacks.LineProgress",
    "vmae_zoo.training.full_disk.AtomicCheckpointIO": "vmae_zoo.training.checkpoint_io.AtomicCheckpointIO",
    "vmae_zoo.training.strategy.FSDP2Strategy": "vmae_zoo.training.fsdp2.FSDP2Strategy",
}

SHORT_NAMES = {  # classes that recipes may name without their module
    "FiniteSteps": "vmae_zoo.callbacks.SkipNonFiniteSteps",
    "Pictures": "vmae_zoo.callbacks.ReconstructionLogger",
    "ProgressLines": "vmae_zoo.callbacks.LineProgress",
}

CALLBACK_STATES = {"FiniteSteps": "SkipNonFiniteSteps"}  # keys of "callbacks" in a checkpoint


def current_class_path(name: str) -> str:
    """Today's import path of a class; other names are returned as they are."""
    return CLASS_PATHS.get(name) or SHORT_NAMES.get(name, name)


def current_class_paths(settings: Any) -> Any:
    """Settings of a recipe with today's name in each ``class_path``, at any depth."""
    if isinstance(settings, list):
        return [current_class_paths(item) for item in settings]
    if not isinstance(settings, dict):
        return settings
    path = settings.get("class_path")
    renamed = {"class_path": current_class_path(path)} if isinstance(path, str) else {}
    return {key: current_class_paths(value) for key, value in {**settings, **renamed}.items()}


def rename_callback_states(checkpoint: dict[str, Any]) -> None:
    """Give the states of callbacks in a checkpoint of Lightning their keys of today, in place."""
    states = checkpoint.get("callbacks", {})
    for old, new in CALLBACK_STATES.items():
        if old in states:
            states[new] = states.pop(old)
