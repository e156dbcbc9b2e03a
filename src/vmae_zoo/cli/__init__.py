"""The command line: ``vmae-zoo``, ``python -m vmae_zoo`` and ``lightning``."""
