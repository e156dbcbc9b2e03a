"""The Python of the guide runs, block after block, with a video and a classifier of the reader's."""

import re
from pathlib import Path

import pytest
import torch

from vmae_zoo.methods import Classifier
from vmae_zoo.zoo.package import package

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CLASSIFIER = "runs/classifier/20260101-130000"


def prepare(folder, encode):
    encode(folder / "clip.mp4", frames=90, size=(96, 128))
    torch.manual_seed(0)
    tiny = {"size": "tiny", "width": 24, "depth": 1, "num_heads": 2, "frames": 8, "image_size": 32}
    (folder / CLASSIFIER).mkdir(parents=True)
    package(Classifier(classes=list("abcdef"), **tiny)).save(folder / CLASSIFIER, None)


@pytest.mark.slow
def test_the_blocks_of_the_guide_run(tmp_path, monkeypatch, encode, capsys):
    prepare(tmp_path, encode)
    monkeypatch.chdir(tmp_path)
    found, names = BLOCK.findall((ROOT / "docs" / "guides" / "python.md").read_text()), {}
    for block in found:
        exec(block, names)
    assert len(found) == 6
    assert names["feature"].shape == (1, 64)
    assert names["out"].prediction.shape == (1, 32, 384)


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch, encode, capsys):
    prepare(tmp_path, encode)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCK.findall((ROOT / "README.md").read_text()):
        exec(block, names)
    assert names["feature"].shape == (1, 64)
    assert capsys.readouterr().out.count("('") == 5


def test_five_labels_take_at_most_six_lines():
    readme = BLOCK.findall((ROOT / "README.md").read_text())[0]
    lines = [line for line in readme.splitlines() if "encoder" not in line and line.strip()]
    assert "top(" in lines[-1]
    assert len(lines) <= 6
