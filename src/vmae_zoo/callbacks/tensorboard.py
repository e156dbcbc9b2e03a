"""TensorBoard's events in the run folder, and nothing else there; a full disk costs some of them, not the run."""

import time

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

PAUSE_SECONDS = 300.0  # before a new file is tried


class TolerantTensorBoardLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger without ``hparams.yaml`` (``recipe.yaml`` says more), and forgiving."""

    _silent_until = 0.0

    @rank_zero_only
    def log_metrics(self, metrics, step=None):  # type: ignore[no-untyped-def]
        """Write numbers; where that fails, leave it for a while."""
        if time.monotonic() < self._silent_until:
            return
        try:
            super().log_metrics(metrics, step)
        except (OSError, ValueError) as error:
            cause = error.__cause__ or error
            if not isinstance(cause, OSError):
                raise
            self._pause(cause)

    @rank_zero_only
    def save(self) -> None:
        """Flush."""
        if self._experiment is not None and time.monotonic() >= self._silent_until:
            try:
                self._experiment.flush()
            except OSError as error:
                self._pause(error)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the file."""
        try:
            if self._experiment is not None:
                self._experiment.close()
        except OSError as error:
            self._pause(error)

    def _pause(self, error: OSError) -> None:
        if not self._silent_until:
            rank_zero_warn(f"TensorBoard's events in {self.log_dir} have a gap: {error.strerror or error}")
        self._silent_until = time.monotonic() + PAUSE_SECONDS
        self._experiment = None  # its writing thread ended
