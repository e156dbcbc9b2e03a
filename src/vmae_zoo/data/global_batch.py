"""How a global batch is made up of processes and accumulation."""


def accumulation_of(global_batch: int | None, batch_size: int, processes: int, given: int = 1) -> int:
    """Micro-batches of each process in one optimiser step.

    Args:
        global_batch: clips of an optimiser step over all processes; None: as many as ``given`` makes it.
        batch_size: clips per process and forward pass.
        processes: how many there are.
        given: the trainer's accumulate_grad_batches; 1 where the user left it.

    Raises:
        ValueError: the global batch does not divide, or contradicts ``given``.
    """
    if global_batch is None:
        return given
    accumulation, rest = divmod(global_batch, batch_size * processes)
    if rest or accumulation < 1:
        raise ValueError(
            f"data.global_batch = {global_batch} is no multiple of data.batch_size = {batch_size} x {processes} "
            f"process{'es' * (processes > 1)}: {_cure(global_batch, batch_size, processes)}"
        )
    if given not in (1, accumulation):
        raise ValueError(
            f"trainer.accumulate_grad_batches = {given} contradicts data.global_batch = {global_batch}, which makes it "
            f"{accumulation}: give only one of them"
        )
    return accumulation


def _cure(global_batch: int, batch_size: int, processes: int) -> str:
    share, rest = divmod(global_batch, processes)
    if rest or share < 1:
        return f"choose a multiple of {batch_size * processes}"
    sizes = [size for size in range(1, share + 1) if share % size == 0]
    nearest = sorted(sorted(sizes, key=lambda size: abs(size - batch_size))[:3])
    return f"choose a batch_size of {' or '.join(map(str, nearest))}"
