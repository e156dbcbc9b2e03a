"""The front: it answers without heavy imports, finds the verb, and ends mistakes in one line."""

import os
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from vmae_zoo import __version__
from vmae_zoo.cli import main as front
from vmae_zoo.cli.main import SPINS, TRAINER_VERBS, VERBS, main, report_errors

HEAVY = ("torch", "lightning", "numpy", "jsonargparse", "av", "cv2")


def python(code, **environment):
    before = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=before | environment, capture_output=True, text=True, check=True).stdout


def test_nothing_heavy_is_imported_before_a_verb_runs():
    verbs = [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)]
    out = python(
        f"import sys, vmae_zoo, vmae_zoo.cli.lightning_command\nfrom vmae_zoo.cli.main import main\n"
        f"for verb in {verbs}:\n    assert main(verb) == 0, verb\n"
        f"    heavy = [name for name in {HEAVY} if name in sys.modules]\n    assert not heavy, (verb, heavy)\n"
    )
    assert __version__ in out


def test_help_takes_under_a_fifth_of_a_second_of_processor_time():
    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "vmae_zoo", "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.2


@pytest.mark.parametrize("start", ["vmae_zoo.cli.main", "vmae_zoo.cli.lightning_command", "vmae_zoo.__main__"])
def test_threads_that_wait_sleep_soon_unless_told_otherwise(start):
    code = f"""
import contextlib, os, runpy, sys
sys.argv = ["fit", "--version"] if "shim" in "{start}" else ["vmae-zoo", "--version"]
with contextlib.suppress(SystemExit):
    if "__main__" in "{start}":
        runpy.run_module("vmae_zoo", run_name="__main__")
    else:
        import {start} as front
        front.main()
print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"))
"""
    assert python(code).splitlines()[-1] == f"{SPINS} None"
    assert python(code, OMP_WAIT_POLICY="active").splitlines()[-1] == "None active"
    assert python(code, GOMP_SPINCOUNT="7").splitlines()[-1] == "7 None"


def test_the_openmp_of_torch_takes_it():
    library = next(Path(find_spec("torch").origin).parent.glob("lib/libgomp*"), None)
    if library is None:
        pytest.skip("this torch has another OpenMP than GNU's")
    code = f"import ctypes; from vmae_zoo.cli.main import main; main(['--version']); ctypes.CDLL('{library}')"
    command = [sys.executable, "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment["OMP_DISPLAY_ENV"] = "verbose"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in done.stderr


def test_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    words = capsys.readouterr().out.split()
    assert {*TRAINER_VERBS, *VERBS} <= set(words)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_an_example(verb, capsys):
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert "example: vmae-zoo" in out
    assert out.startswith(f"usage: vmae-zoo {verb}")


@pytest.mark.parametrize(("verb", "meant"), [("dcotor", "doctor"), ("recipe", "recipes"), ("fitt", "fit")])
def test_an_unknown_verb_is_answered_with_the_nearest(verb, meant, capsys):
    assert main([verb]) == 2
    assert capsys.readouterr().err == f"vmae-zoo: error: no verb {verb}: did you mean {meant}?\n"


def test_no_verb_is_a_wrong_call(capsys):
    assert main([]) == 2
    assert "usage: vmae-zoo" in capsys.readouterr().err


def test_options_are_not_abbreviated(capsys):
    assert main(["recipes", "--js", "x"]) == 2
    assert "--js" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            ValueError("mask_ratio = 1.0 hides everything:\n  choose less"),
            1,
            "mask_ratio = 1.0 hides everything: choose less",
        ),
        (FileNotFoundError(2, "No such file", "clip.mp4"), 1, "[Errno 2] No such file: 'clip.mp4'"),
        (front.UsageError("no setting is named 'x'"), 2, "no setting is named 'x'"),
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
def test_a_users_mistake_is_one_line(error, code, said, capsys):
    def work():
        raise error

    assert report_errors(work) == code
    assert capsys.readouterr().err == f"vmae-zoo: error: {said}\n"


def test_the_traceback_is_there_on_request_and_for_faults_of_the_program(capsys, monkeypatch):
    def fail(kind):
        raise kind("deep inside")

    assert report_errors(lambda: fail(KeyError)) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("VMAE_ZOO_TRACEBACK", "1")
    assert report_errors(lambda: fail(ValueError)) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("vmae-zoo: error: deep inside\n")


def test_an_interrupt_is_130(capsys):
    def work():
        raise KeyboardInterrupt

    assert report_errors(work) == 130


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m vmae_zoo --help | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stderr == ""
