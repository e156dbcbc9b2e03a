"""TensorBoard event files in the run folder; a full disk leaves a gap in them and does not end the run."""

import time

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from vmae_zoo.lightning_internals import drop_writer, open_writer

PAUSE_SECONDS = 300.0  # after a write error, before a new file is tried


class TolerantTensorBoardLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger that tolerates write errors, without ``hparams.yaml`` (see ``recipe.yaml``)."""

    _paused_until = 0.0

    @rank_zero_only
    def log_metrics(self, metrics, step=None):  # type: ignore[no-untyped-def]
        """Write metrics; after a write error, pause."""
        if time.monotonic() < self._paused_until:
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
        writer = open_writer(self)
        if writer is not None and time.monotonic() >= self._paused_until:
            try:
                writer.flush()
            except OSError as error:
                self._pause(error)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the file."""
        writer = open_writer(self)
        if writer is not None:
            try:
                writer.close()
            except OSError as error:
                self._pause(error)

    def _pause(self, error: OSError) -> None:
        if not self._paused_until:
            rank_zero_warn(f"TensorBoard events in {self.log_dir} have a gap: {error.strerror or error}")
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        drop_writer(self)  # whose thread ended with the error
