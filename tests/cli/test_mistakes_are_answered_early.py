"""Misspelt names, paths and keys are answered before torch or Lightning is imported."""

import json
import subprocess
import sys

import pytest

LARGE = {"torch", "lightning", "torchvision", "timm", "torchmetrics", "jsonargparse"}

COMMANDS = [  # arguments, exit code, part of the output
    (["list"], 0, "videomae_base.k400-1600"),
    (["pull", "videomae_bas.k400-1600"], 1, "videomae_base.k400-1600"),
    (["push", "nope.ckpt", "org/model"], 1, "nope.ckpt"),
    (["recipes"], 0, "recipes/videomae.yaml"),
    (["runs", "nope"], 1, "nope"),
    (["index", "nope"], 1, "nope"),
    (["reencode", "nope", "copy"], 1, "nope"),
    (["cache", "nope", "copy"], 1, "nope"),
    (["reencode", ".", "../copy", "--crf", "52"], 1, "--crf = 52"),
    (["extract", "--checkpoint", "nope", "--root", "nope", "--out", "features"], 1, "nope"),
    (["knn", "--checkpoint", "nope", "--data", "recipes/data/hmdb52.yaml"], 1, "hmdb52.yaml"),
    (["knn", "--checkpoint", "videomae_base.k401-1600", "--data", "recipes/data/demo.yaml"], 1, "k400-1600"),
    (["export", "--checkpoint", "nope.ckpt", "--out", "model.pt2"], 1, "nope.ckpt"),
    (["linear-probe", "--checkpoint", "nope", "--data", "nope.yaml", "--clips", "0"], 1, "--clips"),
    (["reconstruct", "--checkpoint", "nope", "--video", "nope.mp4", "--out", "p.png"], 1, "nope.mp4"),
    (["masks", "--recipe", "recipes/videmae.yaml", "--video", "nope.mp4", "--out", "m.png"], 1, "videmae"),
    (["masks", "--recipe", "recipes/videomae.yaml", "--video", "nope.mp4", "--out", "m.png"], 1, "nope.mp4"),
    (["masks", "--recipe", "nope", "--video", "nope", "--out", "m.png", "--columns", "0"], 1, "--columns = 0"),
    (["knn", "--checkpoint", "nope", "--data", "nope", "--fractions", "0.5", "2"], 1, "--fractions 2"),
    (["linear-probe", "--checkpoint", "nope", "--data", "nope", "--epochs", "0"], 1, "--epochs"),
    (["linear-probe", "--checkpoint", "nope", "--data", "nope", "--flip"], 1, "--augmented"),
    (["attentive-probe", "--checkpoint", "nope", "--data", "nope", "--epochs", "-1"], 1, "--epochs = -1"),
    (["push", "videomae_tiny.demo-16", "me/x", "--recipe", "recipes/videmae.yaml"], 1, "recipes/videomae.yaml"),
    (["fit", "-c", "recipes/videmae.yaml"], 1, "recipes/videomae.yaml"),
    (["fit", "-c", "recipes/videomae.yaml", "--model.mask_ratoi", "0.5"], 2, "'mask_ratio'"),
    (["fit", "-c", "recipes/videomae.yaml", "--trainer.max_step=3"], 2, "'trainer.max_steps'"),
    (["fit", "-c", "recipes/videomae.yaml", "--trainer.callbacks+=EarlyStoping"], 2, "'EarlyStopping'"),
    (["fit", "-c", "typo.yaml"], 2, "typo.yaml, line 2: "),
    (["fit", "--model", "nowhere.Method"], 2, "nowhere"),
    (["validate"], 2, "-c recipes/videomae.yaml"),
]


PROGRAM = f"""
import contextlib, io, json, sys
from vmae_zoo.cli.main import main
for command in {[command for command, _, _ in COMMANDS]!r}:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = main(command)
    print(json.dumps([code, sorted({LARGE!r} & set(sys.modules)), out.getvalue()]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Exit code, large modules and output of each command, one after the other in one process."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "typo.yaml").write_text("model: {class_path: VideoMAE}\nfinite: {patiance: 3}\n")
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[" ".join(command[0]) for command in COMMANDS])
def test_nothing_large_is_imported(answers, number):
    _, code, part = COMMANDS[number]
    assert answers[number][:2] == [code, []], answers[number]
    assert part in answers[number][2]
