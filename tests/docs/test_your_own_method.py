"""The guide for a method and a data set of one's own: its files and commands, run as they stand in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "your_own_method.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\w+\.(?:py|yaml))\n")
SOURCE = Path(__file__).parents[2] / "src"


@pytest.mark.slow
def test_the_guide_runs_from_top_to_bottom_in_an_empty_folder(tmp_path):
    commands = tmp_path / "bin"
    commands.mkdir()
    program = f"#!{sys.executable}\nimport sys\nfrom vmae_zoo.cli.main import main\nsys.exit(main())\n"
    scripts = {  # as installed: the current folder is not on Python's path
        "vmae-zoo": program,
        "lightning": program,
        "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    }
    for name, text in scripts.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    folder = tmp_path / "empty"
    folder.mkdir()
    lines = ["set -euo pipefail"]
    for language, body in BLOCK.findall(GUIDE.read_text()):
        if named := NAMED.match(body):
            (folder / named[1]).write_text(body)
        elif language == "bash":
            lines.append(body)
    environment = {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
        "VMAE_ZOO_CACHE": os.environ.get("VMAE_ZOO_CACHE", str(tmp_path / "cache")),
    }
    script = ["bash", "-c", "\n".join(lines)]
    done = subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (folder / "runs" / "my_recipe").iterdir()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert '"epochs": 6' in (run / "summary.json").read_text()  # resumed in the same folder
    for made in ("encoder.pt2", "masks.png", "pictures/numbers.json", "runs/linear-probe"):
        assert (folder / made).exists()
