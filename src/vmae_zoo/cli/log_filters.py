"""Filters of log lines and warnings that Lightning prints in every run and that a user cannot act on."""

import logging
import os
import warnings

LOG_LINES = (
    "Tip:",
    "GPU available:",
    "TPU available:",
    "Seed set to",
    "`weights_only` was not set",
    "`Trainer.fit` stopped",
    "Restoring states from",
    "Restored all states",
    "Detected KeyboardInterrupt",
)
WARNINGS = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*exists and is not empty.*",  # the folder of checkpoints of a resumed run
    ".*custom batch sampler.*for prediction.*",  # it returns every video
    ".*treespec, LeafSpec.*",
    ".*was deprecated in v4.*",  # jsonargparse of what Lightning calls
)


def filter_logs() -> None:
    """Install the filters in this process."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for pattern in WARNINGS:
        warnings.filterwarnings("ignore", pattern)
    warnings.formatwarning = _one_line
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        for handler in logging.getLogger(name).handlers:
            if _is_useful not in handler.filters:
                handler.addFilter(_is_useful)


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning without the place in the source, which is of no use to a user."""
    return f"warning: {' '.join(str(message).split())}\n"


def _is_useful(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(part in message for part in LOG_LINES)
