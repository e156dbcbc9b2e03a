"""A typo in a recipe or a flag: one line with the file, the line, the setting, and what was meant."""

import itertools
from pathlib import Path

import pytest

from vmae_zoo.cli.parse_errors import unwrap_message

TYPOS = [  # recipe, options, parts of the message
    ("data: {init_args: {batch_szie: 4}}", [], ["bad.yaml, line 2: ", "'batch_szie'", "'batch_size'"]),
    ("data.init_args.batch_szie: 4", [], ["bad.yaml, line 2: ", "'batch_szie'", "'batch_size'"]),
    ("trainer:\n  max_epoch: 4", [], ["bad.yaml, line 3: ", "'trainer.max_epoch'", "'trainer.max_epochs'"]),
    ("tariner: {max_epochs: 4}", [], ["'tariner'", "'trainer"]),
    ("data: parts/data.yaml", [], ["parts/data.yaml, line 2: ", "'data.sise'", "'data.size'"]),
    ("data: parts/nothing.yaml", [], ["no recipe parts/nothing.yaml"]),
    ("pictures: {evry_n_steps: 4}", [], ["bad.yaml, line 2: ", "'pictures.every_n_steps'"]),
    ("data: {batch_size: 2.5}", [], ["bad.yaml, line 2: data.batch_size: expected int, got 2.5"]),
    ("trainer: {precision: 17}", [], ["bad.yaml, line 2: trainer.precision: 17 is none of 64, 32, 16"]),
    ("trainer: {callbacks: [{class_path: EarlyStoping}]}", [], ["bad.yaml, line 2: ", "'EarlyStopping'"]),
    ("trainer: {callbacks: [EarlyStoping]}", [], ["bad.yaml, line 2: ", "'EarlyStopping'"]),
    (
        "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitr: x}}]}",
        [],
        ["bad.yaml, line 2: ", "EarlyStopping has no setting 'monitr'", "'monitor'"],
    ),
    ("data: [", [], ["bad.yaml, line 3: not YAML"]),
    ("", ["--model.widht", "3"], ["SmallToy has no setting 'widht'", "'width'"]),
    ("", ["--model.width", "wide"], ["--model.", "width: expected int, got wide"]),
    ("data: {batch_size: 4}", ["--data.batch_size", "x"], ["error: --data.batch_size: expected int, got x"]),
    ("", ["recipes/videomae.yaml"], ["unexpected argument 'recipes/videomae.yaml'", "-c recipes/videomae.yaml"]),
    ("", ["videos"], ["unexpected argument 'videos'", "--data.root videos"]),
    ("", ["--trainer.gpus", "1"], ["'trainer.gpus'", "'trainer.devices'"]),
    ("", ["--trainer.logger", "CSVLogger"], ["error: --trainer.logger: ", "--trainer.logger.save_dir FOLDER"]),
    ("", ["--data.bach_size=3"], ["'data.bach_size'", "'data.batch_size'"]),
    ("", ["--trainer.max_step", "3"], ["'trainer.max_step'", "'trainer.max_steps'"]),
    ("", ["--max_epochs", "3"], ["'max_epochs'", "'trainer.max_epochs'"]),
    ("", ["--model", "VideMAE"], ["VideMAE", "'VideoMAE'"]),
    ("", ["--model", "toys.SmallTy"], ["toys.SmallTy", "'SmallToy'"]),
    ("", ["--model", "nowhere.Toy"], ["there is no nowhere"]),
    ("", ["--data", "nowhere.Data"], ["there is no nowhere"]),
    ("", ["--data", "gone.yaml"], ["no recipe gone.yaml"]),
    ("", ["--trainer.callbacks+=EarlyStoping"], ["EarlyStoping", "'EarlyStopping'"]),
    ("", ["--data.seed", "1"], ["set seed_everything"]),
    ("", ["--model.width", "0"], ["error: width = 0"]),
    ("", ["--model.frames", "3"], ["the model's frames is linked to data.frames"]),
    ("", ["--trainer.devices", "many"], ["trainer: "]),
]


@pytest.mark.parametrize(("recipe", "options", "parts"), TYPOS, ids=[f"{typo[0]}{typo[1]}" for typo in TYPOS])
def test_a_typo_is_one_line(vmae, here, capsys, recipe, options, parts):
    (here / "parts").mkdir()
    (here / "parts" / "data.yaml").write_text("# a part\nsise: 3\n")
    Path("bad.yaml").write_text(f"model: {{class_path: toys.SmallToy}}\n{recipe}\n")
    guest = ["--data", "toys.ToyData"] if "init_args" in recipe and "data" in recipe else []
    assert vmae("fit", "-c", "bad.yaml", *guest, *options) != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("vmae-zoo: error: ")
    assert all(part in error for part in parts), error
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            "{class_path: toys.SmallToy, init_args: {widht: 5}}",
            "bad.yaml, line 1: model: SmallToy has no setting 'widht'",
        ),
        ("{class_path: toys.SmallToy, init_agrs: {width: 5}}", "did you mean 'init_args'?"),
        ("{class_path: toys.SmallToy, width: 5}", "settings belong under init_args"),
        ("{class_path: toys.SmolToy}", "there is no toys.SmolToy: did you mean 'SmallToy'?"),
        ("{class_path: toys.SmallToy, init_args: {frames: 5}}", "the model's frames is linked to data.frames"),
    ],
)
def test_a_typo_about_the_model_is_one_line(vmae, here, capsys, model, said):
    Path("bad.yaml").write_text(f"model: {model}\n")
    assert vmae("fit", "-c", "bad.yaml") != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("height = 100 is not a multiple of 16", "data.size = 100 is not a multiple of 16"),
        ("frames = 5 is not a multiple of 2", "data.frames = 5 is not a multiple of 2"),
        ("mask_ratio = 2 hides more than there is", "mask_ratio = 2 hides more than there is"),
    ],
)
def test_arguments_that_follow_the_data_are_named_by_the_key_of_the_data(said, told):
    assert unwrap_message(said) == told


def test_a_missing_model_asks_for_a_recipe(vmae, capsys):
    assert vmae("fit") == 2
    assert "-c recipes/videomae.yaml" in capsys.readouterr().err


def bomb(merge):
    """YAML whose nine aliases of nine aliases ... expand to 9^10 values."""
    names = "abcdefghij"
    head = "a: &a {" + ", ".join(f"k{n}: x" for n in range(9)) + "}" if merge else f"a: &a [{', '.join(['x'] * 9)}]"
    form = "{{<<: [{}]}}" if merge else "[{}]"
    pairs = itertools.pairwise(names)
    return "\n".join([head, *(f"{name}: &{name} {form.format(', '.join([f'*{old}'] * 9))}" for old, name in pairs)])


@pytest.mark.parametrize(
    ("recipe", "part"),
    [
        (bomb(merge=False), "aliases expand to more than"),
        (bomb(merge=True), "aliases expand to more than"),
        ("model: &m [*m]", "contain themselves"),
        ("model: " + "[" * 5_000, "nested too deeply"),
        ("model: toys.Toy\ntrainer: {max_steps: 1}\nmodel: MAE", "line 3: not YAML: the key model is there twice"),
        ("model: toys.Toy\nweights_only: false", "line 2: weights_only: false lets a checkpoint execute code"),
        ("fit: {model: toys.Toy, weights_only: false}", "no setting is named 'fit'"),
        ("model: toys.Toy\nweights_only: 'false'", "line 2: weights_only: false lets a checkpoint execute code"),
    ],
    ids=["aliases", "merged", "recursive", "deep", "twice", "unsafe", "nested", "unsafe text"],
)
def test_a_hostile_recipe_is_refused_at_once(vmae, here, capsys, recipe, part):
    Path("r.yaml").write_text(recipe + "\n")
    assert vmae("fit", "-c", "r.yaml") != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert part in error
