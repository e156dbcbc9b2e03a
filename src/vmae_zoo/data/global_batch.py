"""Gradient accumulation that a global batch needs."""

from lightning import Trainer


def resolve_global_batch(trainer: Trainer, wanted: int | None, batch_size: int, clips: int) -> tuple[int, int]:
    """Set the trainer's accumulate_grad_batches to what a global batch needs; None keeps it.

    Returns:
        Micro-batches per process and optimizer step, and the global batch.

    Raises:
        ValueError: the global batch does not divide, contradicts the trainer, or is larger than the epoch.
    """
    world = trainer.world_size
    accumulation = accumulation_of(wanted, batch_size, world, trainer.accumulate_grad_batches)
    trainer.accumulate_grad_batches = accumulation
    global_batch = batch_size * world * accumulation
    if clips < global_batch:
        fits = 1 << (clips // world).bit_length() >> 1  # a power of two
        cure = f"add --data.batch_size {fits} --data.global_batch {fits * world}" if fits else "use fewer processes"
        raise ValueError(
            f"{clips} training clips do not fill a global batch of {global_batch} ({batch_size} "
            f"x {world} processes x {accumulation} accumulated): {cure}"
        )
    return accumulation, global_batch


def accumulation_of(global_batch: int | None, batch_size: int, processes: int, given: int = 1) -> int:
    """Micro-batches per process and optimizer step; ``given``, the trainer's, if there is no global batch.

    Raises:
        ValueError: the global batch does not divide, or contradicts ``given``.
    """
    if global_batch is None:
        return given
    accumulation, rest = divmod(global_batch, batch_size * processes)
    if rest or accumulation < 1:
        raise ValueError(
            f"data.global_batch = {global_batch} is not a multiple of data.batch_size = {batch_size} x {processes} "
            f"process{'es' * (processes > 1)}: {_suggest(global_batch, batch_size, processes)}"
        )
    if given not in (1, accumulation):
        raise ValueError(
            f"trainer.accumulate_grad_batches = {given} contradicts data.global_batch = {global_batch}, which makes it "
            f"{accumulation}: give only one of them"
        )
    return accumulation


def _suggest(global_batch: int, batch_size: int, processes: int) -> str:
    share, rest = divmod(global_batch, processes)
    if rest or share < 1:
        return f"choose a multiple of {batch_size * processes}"
    sizes = [size for size in range(1, share + 1) if share % size == 0]
    nearest = sorted(sorted(sizes, key=lambda size: abs(size - batch_size))[:3])
    return f"choose a batch_size of {' or '.join(map(str, nearest))}"
