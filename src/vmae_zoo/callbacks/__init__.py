"""Callbacks of the trainer, beside the checkpoints of `vmae_zoo.training`."""

from vmae_zoo.callbacks.collapse_meter import CollapseMeter
from vmae_zoo.callbacks.ema import EMA
from vmae_zoo.callbacks.line_progress import LineProgress
from vmae_zoo.callbacks.null_report import NullReport
from vmae_zoo.callbacks.online_probe import OnlineProbe
from vmae_zoo.callbacks.reconstruction_logger import ReconstructionLogger
from vmae_zoo.callbacks.run_folder import RunFolder
from vmae_zoo.callbacks.skip_nonfinite import DivergedError, SkipNonFiniteSteps
from vmae_zoo.callbacks.throughput import Throughput

__all__ = [
    "EMA",
    "CollapseMeter",
    "DivergedError",
    "LineProgress",
    "NullReport",
    "OnlineProbe",
    "ReconstructionLogger",
    "RunFolder",
    "SkipNonFiniteSteps",
    "Throughput",
]
