"""The guide for a method and a data set of one's own: its files and commands, run as they stand in an empty folder."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from tests.two_processes import started

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "your_own_method.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\w+\.(?:py|yaml))\n")


def expanded(line, variables, folder):
    """The words of a command, with variables and substitutions filled in by the shell."""
    script = "\n".join([*variables, f"for word in {line}; do printf '%s\\n' \"$word\"; done"])
    done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_guide_runs_from_top_to_bottom_in_an_empty_folder(tmp_path):
    variables = []
    for language, body in BLOCK.findall(GUIDE.read_text()):
        if named := NAMED.match(body):
            (tmp_path / named[1]).write_text(body)
        for line in body.splitlines() if language == "bash" else ():
            if re.match(r"[A-Z]+=", line):
                variables.append(line)
                continue
            command, *arguments = expanded(line, variables, tmp_path)
            if command == "python":
                started(tmp_path / arguments[0], *arguments[1:], folder=tmp_path, processes=1)
            else:
                assert command in ("lightning", "vmae-zoo"), shlex.join([command, *arguments])
                started("vmae_zoo", *arguments, folder=tmp_path, processes=1, on_path=False)
    (run,) = (tmp_path / "runs" / "my_recipe").iterdir()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert json.loads((run / "summary.json").read_text())["epochs"] == 6  # resumed in the same folder
    for made in ("encoder.pt2", "masks.png", "reconstruction.png", "runs/linear-probe"):
        assert (tmp_path / made).exists()
