"""Callbacks of the trainer, beside the checkpoints of `vmae_zoo.training`.

======================  ===============================================================================================
`SkipNonFiniteSteps`    skips steps whose loss or gradient is not finite; rolls back or ends the run if many follow
`Throughput`            clips/s, step time, data-wait fraction, time left, MFU, memory; a hint if the device waits
`ReconstructionLogger`  reconstructions of fixed clips, as images and as numbers
`NullReport`            the validation loss beside the losses of predictions that take no learning
`OnlineProbe`           k-NN or a linear probe on the encoder's features during training
`CollapseMeter`         whether target features still differ between tokens and clips
`EMA`                   an exponential moving average of the weights
`RunFolder`             the folder of the run and its summary
`LineProgress`          printed lines instead of a progress bar if there is no terminal
======================  ===============================================================================================
"""

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
