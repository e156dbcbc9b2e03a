"""The commands of the guides run as they stand, page after page, on a few small videos and in few steps.

Left out are downloads, servers, published sizes and extras that are not installed: `test_links.py` checks options.
"""

import os
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from vmae_zoo.cli.main import main

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORT = "--trainer.max_epochs -1 --trainer.max_steps 2 --data.batch_size 2 --data.global_batch 2 --data.workers 0"
LEFT_OUT = re.compile(r"pip |vmae-zoo app --ch|recipes/(paper|trainer)/|hmdb51|--model.size|--ckpt_path last")
PRETRAINED, FINE_TUNED = "runs/videomae/20260101-120000", "runs/classifier/20260101-130000"


def fit(*options: str) -> Path:
    """Run a recipe for two steps; the run folder."""
    before, data = set(Path("runs").glob("*/*")), () if "--data.root" in options else ("--data.root", "labelled")
    assert main(["fit", *options, *data, *SHORT.split()]) == 0
    (made,) = set(Path("runs").glob("*/*")) - before
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory, encode):
    """A folder with what the guides presuppose: videos, labels, and runs under the names that the pages use."""
    folder = tmp_path_factory.mktemp("guides")
    for number, name in enumerate(
        ("train/fall/a", "train/walk/b", "train/fall/c", "train/walk/d", "val/fall/x", "val/walk/y")
    ):
        file = folder / "labelled" / f"{name}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        encode(file, frames=40 + number, size=(64, 80))
    rows = [
        f"labelled/{file.relative_to(folder / 'labelled')},{file.parent.name},{file.parts[-3]}"
        for file in sorted(folder.rglob("*.mp4"))
    ]
    (folder / "labelled.csv").write_text("\n".join(["path,label,split", *rows, ""]))
    for name in ("videos", "new_videos"):
        shutil.copytree(folder / "labelled/train/fall", folder / name)
    for name in ("clip.mp4", "other.mp4", "new.mp4"):
        shutil.copy(folder / "labelled/val/fall/x.mp4", folder / name)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for recipe, name in (
            ("videomae", PRETRAINED),
            ("mgmae", "runs/mgmae/20260101-130000"),
            ("classifier", FINE_TUNED),
        ):
            fit("-c", f"recipes/{recipe}.yaml").rename(name)
    finally:
        os.chdir(before)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", ["your_own_videos", "fine_tune", "evaluate", "pictures"])
def test_the_commands_of_a_guide_run(page, place, monkeypatch):
    monkeypatch.chdir(place)
    ran = 0
    for body in BLOCK.findall((GUIDES / f"{page}.md").read_text()):
        for line in body.splitlines():
            if LEFT_OUT.search(line) or (".onnx" in line and not find_spec("onnxruntime")):
                continue
            line = line.replace("/path/to/", "").replace(
                "recipes/data/demo.yaml", "recipes/data/folder.yaml --data.root labelled"
            )
            program, name, *options = shlex.split(line, comments=True)
            assert program in ("vmae-zoo", "lightning")
            if name == "fit":
                fit(*options)
            else:
                alone = ["--no-baselines"] if name == "attentive-probe" else []  # four trainings instead of one
                assert main([name, *options, *alone]) == 0, line
            ran += 1
    assert ran >= 3
