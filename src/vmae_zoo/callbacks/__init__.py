"""What happens beside training: the run folder, progress, pictures, throughput, and steps that must not be made.

================  =====================================================================================================
`SkipNonFiniteSteps`     skips a step whose loss or gradient is not finite; goes back or stops when that goes on
`Throughput`      clips/s, step time, data-wait share, time left, MFU, memory; advice when the device waits for data
`ReconstructionLogger`        reconstructions of the same clips, with numbers
`OnlineProbe`     k-NN or a linear probe on the encoder's features, now and then
`RunFolder`       the run's folder and its summary
`LineProgress`   lines instead of a bar, where there is no terminal
================  =====================================================================================================
"""

from vmae_zoo.callbacks.line_progress import LineProgress
from vmae_zoo.callbacks.online_probe import OnlineProbe
from vmae_zoo.callbacks.reconstruction_logger import ReconstructionLogger
from vmae_zoo.callbacks.run_folder import RunFolder
from vmae_zoo.callbacks.skip_nonfinite import DivergedError, SkipNonFiniteSteps
from vmae_zoo.callbacks.throughput import Throughput

__all__ = [
    "DivergedError",
    "LineProgress",
    "OnlineProbe",
    "ReconstructionLogger",
    "RunFolder",
    "SkipNonFiniteSteps",
    "Throughput",
]
