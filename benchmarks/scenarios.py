"""Scenarios that keep or break a promise, run one after the other: choose them, run them, print a line each."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from benchmarks.fault_harness import FaultError
from benchmarks.fault_injection import NotPossibleError


class Outcome(NamedTuple):
    """What came of a scenario.

    Args:
        name: of the scenario.
        state: "kept", "broken", or "skipped" if this machine cannot run it.
        detail: what was found, or what is wrong.
        seconds: duration.
    """

    name: str
    state: str
    detail: str
    seconds: int


def chosen(kind: str, names: Sequence[str], known: Collection[str]) -> Sequence[str]:
    """The scenarios to run, all without names; ``ValueError`` for an unknown one, called by its kind."""
    for name in names:
        if name not in known:
            raise ValueError(f"{kind} {name!r} is not known: choose from {', '.join(known)}")
    return names or tuple(known)


def run_scenarios(names: Sequence[str], call: Callable[[str], str]) -> list[Outcome]:
    """Call scenarios by name, each returns the detail or raises `FaultError` or `NotPossibleError`; print a table."""
    found = []
    for name in names:
        begin = time.monotonic()
        try:
            state, detail = "kept", call(name)
        except NotPossibleError as reason:
            state, detail = "skipped", str(reason)
        except FaultError as error:
            state, detail = "broken", str(error)
        found.append(Outcome(name, state, detail, round(time.monotonic() - begin)))
        print(f"{name:14} {state:8} {found[-1].seconds:5} s  {detail}", flush=True)
    return found
