"""The position in the epoch, saved in checkpoints and restored when a run is resumed.

Lightning 2.6 counts micro-batches and expects the loader to know where to continue. Its counts in a checkpoint depend
on the hook that saved it, and an epoch ended by ``max_steps`` counts as complete. Here the position is (epoch, clips
seen in complete optimizer steps), and on a restart Lightning's counters are set to those of an uninterrupted run.
"""

from typing import Any

from lightning import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from vmae_zoo.data.sampler import ResumableBatchSampler
from vmae_zoo.lightning_internals import epoch_state, set_position


def get_position(trainer: Trainer, sampler: ResumableBatchSampler, fingerprint: str) -> dict[str, Any]:
    """The entries of a checkpoint: epoch, clips seen, and what determines the order, with that of the clips."""
    processed, running, none_ready, done = epoch_state(trainer)
    if running and done >= trainer.num_training_batches:
        position = processed + 1, 0
    elif running:
        position = processed, sampler.seen_after(done)
    elif none_ready and 0 < done < trainer.num_training_batches:  # ended early, by max_steps
        position = processed - 1, sampler.seen_after(done)
    else:
        position = processed, 0
    return {"epoch": position[0], "seen": position[1], **_order(sampler, fingerprint)}


def restore_position(
    trainer: Trainer, sampler: ResumableBatchSampler, position: dict[str, Any], fingerprint: str
) -> None:
    """Set the sampler and the trainer's counters to a position; called after Lightning has loaded its counters."""
    now = _order(sampler, fingerprint)
    before = {name: position.get(name, value) for name, value in now.items()}  # older checkpoints have fewer entries
    if before != now:
        words = "{rows} training clips ({draw}, fingerprint {clips}) and seed {seed}"
        rank_zero_warn(
            f"the checkpoint was made with {words.format(**before)}, this run has {words.format(**now)}: it continues "
            "at the same number of clips of another order"
        )
    sampler.seek(position["epoch"], position["seen"])
    if sampler.steps_left == 0:
        sampler.seek(position["epoch"] + 1)
    set_position(trainer, sampler.epoch, sampler.skipped)


def _order(sampler: ResumableBatchSampler, fingerprint: str) -> dict[str, Any]:
    """All that determines the order of the clips."""
    return {"rows": sampler.clips, "seed": sampler.seed, "draw": str(sampler.epochs), "clips": fingerprint}
