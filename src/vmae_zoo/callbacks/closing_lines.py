"""The last lines of a training: its metrics, or how to continue after it was interrupted."""

import shlex
from collections.abc import Sequence

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

SHOWN = ("loss", "top1", "top5", "mean_class")  # first parts of the names of metrics


class ClosingLines(Callback):
    """Prints the last metrics of a finished training, and the command that resumes an interrupted one."""

    def __init__(self, arguments: Sequence[str]):
        self.arguments = arguments

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the metrics."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        shown = [f"{name} {value:.4g}" for name, value in sorted(metrics.items()) if name.split("/")[0] in SHOWN]
        print("  ".join([f"finished: step {trainer.global_step}", *shown]), flush=True)

    @rank_zero_only
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Print the command after Ctrl-C or a signal."""
        if trainer.state.fn == "fit" and trainer.global_step and isinstance(exception, KeyboardInterrupt | SystemExit):
            command = shlex.join(["vmae-zoo", *resume_arguments(self.arguments)])
            print(f"stopped after step {trainer.global_step}; to continue: {command}", flush=True)


def resume_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments that resume the newest run of a command."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if not skip and argument.partition("=")[0] != "--ckpt_path":
            kept.append(argument)
        skip = argument == "--ckpt_path"
    return [*kept, "--ckpt_path", "last"]
