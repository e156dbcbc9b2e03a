"""What Lightning and its libraries say about every run and nobody can act on is left out."""

import logging
import os
import warnings

SAID = (
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
WARNED = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*treespec, LeafSpec.*",
    ".*was deprecated in v4.*",  # jsonargparse of what Lightning calls
)


def quieten() -> None:
    """Filter warnings and log lines of this process."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for pattern in WARNED:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        for handler in logging.getLogger(name).handlers:
            if _says_more not in handler.filters:
                handler.addFilter(_says_more)


def _says_more(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(said in message for said in SAID)
