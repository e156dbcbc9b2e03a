"""Measurements of one GPU, see README.md: ``python -m benchmarks.gpu_day STEP ...`` or ``run.sh`` for all steps."""
