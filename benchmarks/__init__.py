"""Benchmarks of the program itself, run from a checkout as ``python -m benchmarks.NAME --help``.

* ``faults``: runs that are killed, signaled, fed with NaN and damaged files, or put on a full disk.
* ``corruption``: what the index and training make of damaged videos.
* ``memory``: memory growth of a data worker.
* ``guidance``: how well motion-guided masks follow a person, and what they cost.
* ``scaling``: a model of time and cost on 8, 64 or 512 GPUs.
* ``gpu_day``: measurements of a GPU, see ``benchmarks/gpu_day/README.md``.

``vmae-zoo bench data`` and ``vmae-zoo bench train`` measure reading and training on the user's machine.
"""
