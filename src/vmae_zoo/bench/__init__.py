"""Benchmarks of reading and training on this machine."""
