"""The notebook of the first hour runs from its first cell to its last, in an empty folder."""

import json
from pathlib import Path

import numpy as np
import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "first_hour.ipynb"


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("VMAE_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":  # a `!command` fails silently: ask for its exit code
            cell.source += "\nassert _exit_code == 0, _exit_code" if cell.source.startswith("!") else ""
    nbclient.NotebookClient(notebook, timeout=1800, kernel_name="python3").execute()
    with np.load(tmp_path / "features.npz") as matrix:
        assert len(set(matrix["video"])) == 40
    assert json.loads((tmp_path / "probe" / "result.json").read_text())["scores"]["videos"] == 16
    report = (tmp_path / "report.html").read_text()
    for heading in ("Runs", "Curves", "Probes", "Throughput", "Settings", "Versions"):
        assert f"<h2>{heading}</h2>" in report
    for part in (
        "first-hour",
        'aria-label="loss/train"',
        "<polyline",
        "turn_clockwise",
        "single frame",
        "max_steps: 20",
    ):
        assert part in report


def test_the_notebook_is_saved_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
