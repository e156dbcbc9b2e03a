"""Settings of a resumed run are compared with its recipe."""

from pathlib import Path

import pytest

from vmae_zoo.cli.resumed_settings import changes, check_changes, steps_left

BEFORE = {
    "seed_everything": 0,
    "model": {"class_path": "vmae_zoo.methods.mae.MAE", "init_args": {"lr": 1e-3, "betas": [0.9, 0.95], "depth": 2}},
    "data": {"size": 224, "workers": 4, "root": "a", "sources": None},
    "trainer": {"max_steps": 10, "logger": True, "callbacks": None},
    "checkpoint": {"every_n_steps": 500},
}


def changed(**groups):
    now = {**BEFORE, **groups}
    return [str(change) for change in changes(BEFORE, now)]


def test_every_setting_that_changes_what_is_computed_is_listed_with_both_values():
    model = {"class_path": "vmae_zoo.methods.mae.MAE", "init_args": {"lr": 5e-4, "betas": [0.9, 0.999], "depth": 2}}
    callbacks = [{"class_path": "lightning.pytorch.callbacks.GradientAccumulationScheduler", "init_args": {}}]
    trainer = {"max_steps": 8, "logger": False, "callbacks": callbacks}
    assert changed(model=model, trainer=trainer, seed_everything=3) == [
        "seed_everything 0 -> 3",
        "model.lr 0.001 -> 0.0005",
        "model.betas [0.9, 0.95] -> [0.9, 0.999]",
        "trainer.max_steps 10 -> 8",
        "trainer.callbacks null -> [GradientAccumulationScheduler]",
    ]


def test_nested_settings_are_listed_one_by_one():
    crop = {"crop": "multi_scale", "flip": True}
    sources = [{"root": "a", "weight": 1.0}, {"root": "b", "weight": 2.0}]
    callback = {"class_path": "lightning.pytorch.callbacks.StochasticWeightAveraging", "init_args": {"swa_lrs": 0.1}}
    before = {"data": {"augmentation": crop, "sources": sources}, "trainer": {"callbacks": [callback]}}

    def listed(group, **settings):
        found = changes(before, {**before, group: {**before[group], **settings}})
        return [str(change) for change in found]

    assert listed("data", augmentation={**crop, "flip": False}) == ["data.augmentation.flip True -> False"]
    assert listed("data", augmentation=None) == ["data.augmentation {crop: multi_scale, flip: True} -> null"]
    assert listed("data", sources=[sources[0], {**sources[1], "weight": 3.0}]) == ["data.sources.1.weight 2.0 -> 3.0"]
    assert listed("data", sources=sources[:1]) == [
        "data.sources [{root: a, weight: 1.0}, {root: b, weight: 2.0}] -> [{root: a, weight: 1.0}]"
    ]
    slower = {**callback, "init_args": {"swa_lrs": 0.01}}
    assert listed("trainer", callbacks=[slower]) == ["trainer.callbacks.0.swa_lrs 0.1 -> 0.01"]
    assert listed("trainer", callbacks=None) == ["trainer.callbacks [StochasticWeightAveraging] -> null"]


def test_what_changes_no_number_is_not_listed():
    data = {**BEFORE["data"], "workers": 0}
    assert changed(data=data, checkpoint={"every_n_steps": 1}, trainer={**BEFORE["trainer"], "logger": False}) == []
    assert changed(data={"class_path": "vmae_zoo.data.module.ClipDataModule", "init_args": data}) == []
    assert changed(data={**BEFORE["data"], "of_a_later_version": 1}) == []


@pytest.mark.parametrize(
    ("group", "value", "message"),
    [
        ("model", {**BEFORE["model"], "class_path": "toys.Toy"}, r"model vmae_zoo\.methods\.mae\.MAE -> toys\.Toy"),
        ("data", {"class_path": "toys.ToyData", "init_args": {}}, r"data ClipDataModule -> toys\.ToyData"),
        ("data", {**BEFORE["data"], "root": None}, r"data\.root a -> null: .*trained on videos"),
    ],
)
def test_what_a_run_cannot_change_is_refused(group, value, message):
    with pytest.raises(ValueError, match=message):
        check_changes(Path("runs/mae/1"), changes(BEFORE, {**BEFORE, group: value}))


def test_starting_weights_cannot_be_exchanged_later():
    before, now = ({"model": {"class_path": "A", "init_args": {"init_from": name}}} for name in ("a.ckpt", "b.ckpt"))
    with pytest.raises(ValueError, match=r"model\.init_from a\.ckpt -> b\.ckpt: acts only when a run starts"):
        check_changes(Path("runs/mae/1"), changes(before, now))


@pytest.mark.parametrize(
    ("max_steps", "max_epochs", "left"),
    [(10, -1, False), (12, -1, True), (-1, 3, False), (-1, 4, True), (12, 3, False), (-1, None, True)],
)
def test_a_run_that_has_reached_its_length_has_nothing_left(max_steps, max_epochs, left):
    checkpoint = {"global_step": 10, "epoch": 2, "ClipDataModule": {"epoch": 3, "seen": 0}}
    assert steps_left(None, checkpoint, {"max_steps": max_steps, "max_epochs": max_epochs}) is left


@pytest.mark.parametrize("limit", [{"max_steps": 9}, {"max_steps": 20, "max_epochs": 2}])
def test_a_length_below_what_was_trained_is_refused(limit):
    checkpoint = {"global_step": 10, "epoch": 3}
    name, value = list(limit.items())[-1]
    with pytest.raises(ValueError, match=f"trainer.{name} = {value} is less than"):
        steps_left(None, checkpoint, limit)
