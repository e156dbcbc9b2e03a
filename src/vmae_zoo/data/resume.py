"""The place in the epoch, kept across restarts.

Lightning 2.6 counts micro-batches and believes that the loader knows where to go on. What a checkpoint holds depends on
the hook it was saved in, and an epoch that ``max_steps`` ended counts as a whole one. Here the place is (epoch, clips
seen in whole optimiser steps), and on a restart Lightning's counters are set to what an uninterrupted run has there: at
the start of an epoch, or at the end of a step.
"""

from typing import Any

from lightning import Trainer
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from vmae_zoo.data.sampler import PlacedBatchSampler

_LOOP: Any = _Loop


def place_of(trainer: Trainer, sampler: PlacedBatchSampler) -> dict[str, Any]:
    """What a checkpoint has to hold: epoch, clips seen, and of which order."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    done = batches.processed
    running = epochs.started > epochs.processed
    if running and done >= trainer.num_training_batches:
        place = epochs.processed + 1, 0
    elif running:
        place = epochs.processed, sampler.seen_after(done)
    elif epochs.ready == epochs.processed and 0 < done < trainer.num_training_batches:  # ended early, by max_steps
        place = epochs.processed - 1, sampler.seen_after(done)
    else:
        place = epochs.processed, 0
    return {"epoch": place[0], "seen": place[1], "rows": sampler.rows, "seed": sampler.seed, "draw": str(sampler.draw)}


def go_on(trainer: Trainer, sampler: PlacedBatchSampler, place: dict[str, Any]) -> None:
    """Set the sampler and the trainer's counters to a place; called once Lightning has loaded its own."""
    draw = place.get("draw", str(sampler.draw))
    if (place["rows"], place["seed"], draw) != (sampler.rows, sampler.seed, str(sampler.draw)):
        rank_zero_warn(
            f"the checkpoint was made with {place['rows']} training clips ({draw}) and seed {place['seed']}, this run "
            f"has {sampler.rows} ({sampler.draw}) and {sampler.seed}: it goes on at the same place of another order"
        )
    sampler.place(place["epoch"], place["seen"])
    if sampler.steps_left == 0:
        sampler.place(place["epoch"] + 1)
    inside = sampler.skipped > 0
    fit: Any = trainer.fit_loop
    loop = fit.epoch_loop
    for tracker in (fit.epoch_progress.total, fit.epoch_progress.current):
        tracker.ready = tracker.started = sampler.epoch + inside
        tracker.processed = tracker.completed = sampler.epoch
    batches = loop.batch_progress
    behind = batches.total.processed - batches.current.processed
    for tracker, before in ((batches.total, behind), (batches.current, 0)):
        tracker.ready = tracker.started = tracker.processed = before + sampler.skipped
        tracker.completed = tracker.processed - inside  # as in on_train_batch_end, where a step's checkpoint is saved
    batches.is_last_batch = False
    if trainer.lightning_module.automatic_optimization:
        loop._batches_that_stepped = trainer.global_step - inside  # the restart counts the step it is inside of
    _LOOP.restarting.fset(fit, inside)  # FitLoop's own setter takes every run with max_steps as unfinished


def epoch_of(trainer: Trainer) -> int:
    """The epoch that runs, or that comes next."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return epochs.processed
