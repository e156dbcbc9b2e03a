"""What measures the program and is no part of it: run from a checkout, `python -m benchmarks.faults --help`."""
