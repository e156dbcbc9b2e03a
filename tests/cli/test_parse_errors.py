"""A typo in a recipe or a flag: one line with the file, the line, the setting, and what was meant."""

from pathlib import Path

import pytest

from vmae_zoo.cli.parse_errors import unwrap_message

TYPOS = [  # recipe, flags, what is said
    (
        "data: {batch_szie: 4}",
        [],
        "bad.yaml, line 2: no setting is named 'data.batch_szie': did you mean 'data.batch_size'?",
    ),
    (
        "data.batch_szie: 4",
        [],
        "bad.yaml, line 2: no setting is named 'data.batch_szie': did you mean 'data.batch_size'?",
    ),
    ("trainer:\n  max_epoch: 4", [], "bad.yaml, line 3: no setting is named 'trainer.max_epoch'"),
    ("tariner: {max_epochs: 4}", [], "no setting is named 'tariner.max_epochs': did you mean 'trainer.max_epochs'?"),
    (
        "data: parts/data.yaml",
        [],
        "parts/data.yaml, line 2: no setting is named 'data.sise': did you mean 'data.size'?",
    ),
    ("data: parts/nothing.yaml", [], "no recipe parts/nothing.yaml"),
    ("data: {batch_size: 2.5}", [], "bad.yaml, line 2: data.batch_size: expected int, got 2.5"),
    ("trainer: {precision: 17}", [], "bad.yaml, line 2: trainer.precision: 17 is none of 64, 32, 16"),
    (
        "trainer: {callbacks: [{class_path: EarlyStoping}]}",
        [],
        "no class is named EarlyStoping: did you mean 'EarlyStopping'?",
    ),
    (
        "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitr: x}}]}",
        [],
        "EarlyStopping has no setting 'monitr': did you mean 'monitor'?",
    ),
    ("data: [", [], "bad.yaml, line 3: not YAML"),
    ("", ["--model.widht", "3"], "model: SmallToy has no setting 'widht': did you mean 'width'?"),
    ("", ["--model.width", "wide"], "model.width: expected int, got wide"),
    ("", ["--data.bach_size=3"], "no setting is named 'data.bach_size': did you mean 'data.batch_size'?"),
    ("", ["--trainer.max_step", "3"], "no setting is named 'trainer.max_step': did you mean 'trainer.max_steps'?"),
    ("", ["--max_epochs", "3"], "no setting is named 'max_epochs': did you mean 'trainer.max_epochs'?"),
    ("", ["--model", "SmallTy"], "model: no class is named SmallTy: did you mean 'SmallToy'?"),
    ("", ["--model", "nowhere.Toy"], "model: no class or module is named nowhere"),
    ("", ["--data", "gone.yaml"], "no recipe gone.yaml"),
    ("", ["--data.seed", "1"], "data.seed follows seed_everything"),
    ("", ["--model.width", "0"], "error: width = 0: it counts from 1\n"),
    ("", ["--model.frames", "3"], "the model's frames follows data.frames"),
    ("", ["--trainer.devices", "many"], "trainer: "),
]


@pytest.mark.parametrize(("recipe", "flags", "said"), TYPOS, ids=[f"{recipe}{flags}" for recipe, flags, _ in TYPOS])
def test_a_typo_is_one_line(vmae, here, capsys, recipe, flags, said):
    (here / "parts").mkdir()
    (here / "parts" / "data.yaml").write_text("# a part\nsise: 3\n")
    Path("bad.yaml").write_text(f"model: {{class_path: SmallToy}}\n{recipe}\n")
    assert vmae("fit", "-c", "bad.yaml", *flags) != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("vmae-zoo: error: ")
    assert said in error
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("{class_path: SmallToy, init_args: {widht: 5}}", "bad.yaml, line 1: model: SmallToy has no setting 'widht'"),
        ("{class_path: SmallToy, init_agrs: {width: 5}}", "did you mean 'init_args'?"),
        ("{class_path: SmallToy, width: 5}", "settings belong under init_args"),
        ("{class_path: SmolToy}", "no class is named SmolToy: did you mean 'SmallToy'?"),
        ("{class_path: SmallToy, init_args: {frames: 5}}", "the model's frames follows data.frames"),
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
def test_what_the_data_says_is_named_by_its_own_key(said, told):
    assert unwrap_message(said) == told


def test_a_missing_model_asks_for_a_recipe(vmae, capsys):
    assert vmae("fit") == 2
    assert "-c recipes/videomae.yaml" in capsys.readouterr().err
