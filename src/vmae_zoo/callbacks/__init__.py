"""What happens beside training: the run folder, progress, pictures, throughput, and steps that must not be made.

================  =====================================================================================================
`FiniteSteps`     skips a step whose loss or gradient is not finite; goes back or stops when that goes on
`Throughput`      clips/s, step time, data-wait share, time left, MFU, memory; advice when the device waits for data
`Pictures`        reconstructions of the same clips, with numbers
`OnlineProbe`     k-NN or a linear probe on the encoder's features, now and then
`RunFolder`       the run's folder and its summary
`FittingBatch`    which batch would fit, when memory ran out
`ProgressLines`   lines instead of a bar, where there is no terminal
================  =====================================================================================================
"""

from lightning import Callback

from vmae_zoo.callbacks.fitting_batch import FittingBatch
from vmae_zoo.callbacks.line_progress import ProgressLines
from vmae_zoo.callbacks.online_probe import OnlineProbe
from vmae_zoo.callbacks.reconstruction_logger import Pictures
from vmae_zoo.callbacks.run_folder import RunFolder
from vmae_zoo.callbacks.skip_nonfinite import DivergedError, FiniteSteps
from vmae_zoo.callbacks.throughput import Throughput

__all__ = [
    "DivergedError",
    "FiniteSteps",
    "FittingBatch",
    "OnlineProbe",
    "Pictures",
    "ProgressLines",
    "RunFolder",
    "Throughput",
    "default_callbacks",
]


def default_callbacks() -> list[Callback]:
    """What every training run has beside its folder and its checkpoints, in the order in which they work.

    A step is judged first; a picture's time counts as training's, so that it is not taken for waiting.
    """
    return [FiniteSteps(), Pictures(), Throughput()]
