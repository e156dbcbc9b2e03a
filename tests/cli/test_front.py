"""The entry point imports nothing large, finds the subcommand, and reports errors on one line."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from vmae_zoo import __version__
from vmae_zoo.cli.errors import UsageError, report_errors
from vmae_zoo.cli.main import OMP_SPIN_COUNT, SUBCOMMANDS, TRAINER_SUBCOMMANDS, main

LARGE = ("torch", "lightning", "numpy", "jsonargparse", "av", "cv2")


def python(code, **environment):
    before = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=before | environment, capture_output=True, text=True, check=True).stdout


def test_nothing_large_is_imported_before_a_subcommand_runs():
    commands = [["--help"], ["--version"], *([name, "--help"] for name in SUBCOMMANDS)]
    out = python(
        f"import sys, vmae_zoo, vmae_zoo.cli.lightning_command\nfrom vmae_zoo.cli.main import main\n"
        f"for command in {commands}:\n    assert main(command) == 0, command\n"
        f"    large = [name for name in {LARGE} if name in sys.modules]\n    assert not large, (command, large)\n"
    )
    assert __version__ in out


@pytest.mark.parametrize("start", ["vmae_zoo.cli.main", "vmae_zoo.cli.lightning_command", "vmae_zoo.__main__"])
def test_waiting_threads_sleep_soon_unless_the_environment_sets_it(start):
    code = f"""
import contextlib, os, runpy, sys
sys.argv = ["vmae-zoo", "--version"]
with contextlib.suppress(SystemExit):
    if "__main__" in "{start}":
        runpy.run_module("vmae_zoo", run_name="__main__")
    else:
        import {start} as front
        front.main()
print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"))
"""
    assert python(code).splitlines()[-1] == f"{OMP_SPIN_COUNT} None"
    assert python(code, OMP_WAIT_POLICY="active").splitlines()[-1] == "None active"
    assert python(code, GOMP_SPINCOUNT="7").splitlines()[-1] == "7 None"


def test_the_openmp_of_torch_reads_the_spin_count():
    library = next(Path(find_spec("torch").origin).parent.glob("lib/libgomp*"), None)
    if library is None:
        pytest.skip("this torch has another OpenMP than GNU's")
    code = f"import ctypes; from vmae_zoo.cli.main import main; main(['--version']); ctypes.CDLL('{library}')"
    command = [sys.executable, "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment["OMP_DISPLAY_ENV"] = "verbose"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"GOMP_SPINCOUNT = '{OMP_SPIN_COUNT}'" in done.stderr


def test_help_names_every_subcommand(capsys):
    assert main(["--help"]) == 0
    words = capsys.readouterr().out.split()
    assert {*TRAINER_SUBCOMMANDS, *SUBCOMMANDS} <= set(words)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_shows_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "example: vmae-zoo" in out
    assert out.startswith(f"usage: vmae-zoo {name}")


@pytest.mark.parametrize(("name", "meant"), [("dcotor", "doctor"), ("recipe", "recipes"), ("fitt", "fit")])
def test_an_unknown_subcommand_is_answered_with_the_nearest(name, meant, capsys):
    assert main([name]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name in error
    assert f"did you mean {meant}?" in error


@pytest.mark.parametrize("option", ["-c", "--config=recipes/videomae.yaml", "--trainer.max_steps"])
def test_options_come_after_the_subcommand(option, capsys):
    assert main([option, "fit"]) == 2
    assert f"{option}: name a subcommand first" in capsys.readouterr().err


def test_no_subcommand_is_wrong_usage(capsys):
    assert main([]) == 2
    assert "usage: vmae-zoo" in capsys.readouterr().err


def test_options_are_not_abbreviated(capsys):
    assert main(["recipes", "--js", "x"]) == 2
    assert "--js" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "module"),
    [("faults", "faults"), ("damage", "corruption"), ("following", "mask_tracking"), ("scaling", "scaling")],
)
@pytest.mark.parametrize("more", [[], ["--help"], ["videos", "--json", "x"]])
def test_a_benchmark_that_has_moved_is_answered_with_the_command_that_runs_it(name, module, more, capsys):
    assert main(["bench", name, *more]) == 2
    error = capsys.readouterr().err
    assert f"python -m benchmarks.{module}" in error
    assert error.count("\n") == 1
    assert (Path(__file__).parents[2] / "benchmarks" / f"{module}.py").is_file()


def test_benchmarks_that_have_moved_are_not_listed(capsys):
    assert main(["bench", "--help"]) == 0
    assert "faults" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (
            ValueError("mask_ratio = 1.0 hides everything:\n  choose less"),
            1,
            "mask_ratio = 1.0 hides everything: choose less",
        ),
        (FileNotFoundError(2, "No such file", "clip.mp4"), 1, "[Errno 2] No such file: 'clip.mp4'"),
        (UsageError("no setting is named 'x'"), 2, "no setting is named 'x'"),
        (BrokenPipeError(32, "Broken pipe"), 1, "[Errno 32] Broken pipe"),  # of a socket, not of standard output
        (
            ValueError(
                "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
                '  File "x.py", line 1, in f\nValueError: clip.mp4: no video stream\n'
            ),
            1,
            "clip.mp4: no video stream",
        ),
    ],
)
def test_an_error_that_a_user_can_fix_is_one_line(error, code, printed, capsys):
    def work():
        raise error

    assert report_errors(work) == code
    assert capsys.readouterr().err == f"vmae-zoo: error: {printed}\n"


def test_the_traceback_is_printed_on_request_and_for_bugs(capsys, monkeypatch):
    def fail(kind):
        raise kind("deep inside")

    assert report_errors(lambda: fail(KeyError)) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("VMAE_ZOO_TRACEBACK", "1")
    assert report_errors(lambda: fail(ValueError)) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("vmae-zoo: error: deep inside\n")


def test_an_interrupt_exits_with_130(capsys):
    def work():
        raise KeyboardInterrupt

    assert report_errors(work) == 130


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m vmae_zoo --help | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stderr == ""
