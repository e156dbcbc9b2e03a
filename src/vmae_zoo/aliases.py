"""Names that recipes, run folders and checkpoints of earlier versions use, and what they are called now."""

CLASS_PATHS = {  # as in ``class_path`` of a recipe
    "vmae_zoo.callbacks.FiniteSteps": "vmae_zoo.callbacks.SkipNonFiniteSteps",
    "vmae_zoo.callbacks.Pictures": "vmae_zoo.callbacks.ReconstructionLogger",
    "vmae_zoo.callbacks.ProgressLines": "vmae_zoo.callbacks.LineProgress",
    "vmae_zoo.callbacks.finite.FiniteSteps": "vmae_zoo.callbacks.SkipNonFiniteSteps",
    "vmae_zoo.callbacks.pictures.Pictures": "vmae_zoo.callbacks.ReconstructionLogger",
    "vmae_zoo.callbacks.progress.ProgressLines": "vmae_zoo.callbacks.LineProgress",
    "vmae_zoo.callbacks.events.RunEvents": "vmae_zoo.callbacks.tensorboard.TolerantTensorBoardLogger",
    "vmae_zoo.training.strategy.FSDP2Strategy": "vmae_zoo.training.fsdp2.FSDP2Strategy",
    "FiniteSteps": "vmae_zoo.callbacks.SkipNonFiniteSteps",
    "Pictures": "vmae_zoo.callbacks.ReconstructionLogger",
    "ProgressLines": "vmae_zoo.callbacks.LineProgress",
}


def current_class_path(name: str) -> str:
    """Today's import path of a class; other names are returned as they are."""
    return CLASS_PATHS.get(name, name)
