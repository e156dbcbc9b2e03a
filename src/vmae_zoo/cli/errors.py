"""How a command ends on an error: one line on standard error, and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable

USER_ERRORS = (ValueError, OSError, MemoryError, ModuleNotFoundError)


class UsageError(ValueError):
    """A command line or a recipe with an unknown or malformed setting: exit code 2."""


def report_errors(work: Callable[[], int]) -> int:
    """Run ``work`` and turn what it raises into one line and an exit code.

    `USER_ERRORS` and Lightning's ``MisconfigurationException`` print one sentence (with the traceback if
    ``VMAE_ZOO_TRACEBACK=1``). Any other exception is a bug and keeps its traceback.

    Returns:
        0 on success, 1 on an error, 2 on a `UsageError`, 130 after Ctrl-C.
    """
    try:
        return work()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else print_error(str(stop.code))
    except KeyboardInterrupt:
        print("vmae-zoo: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _close_broken_stdout():  # `vmae-zoo ... | head`
            return 0
        expected = isinstance(error, USER_ERRORS) or type(error).__name__ == "MisconfigurationException"
        if os.environ.get("VMAE_ZOO_TRACEBACK") == "1" or not expected:
            traceback.print_exc()
        return print_error(one_line(error), 2 if isinstance(error, UsageError) else 1)


def _close_broken_stdout() -> bool:
    """Whether nobody reads standard output any more, which then goes nowhere; other pipes may break too."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def one_line(error: BaseException) -> str:
    """The message of an error on one line; for an error in a data worker, the message of the original exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if any(line.startswith("Original Traceback") for line in lines):
        return lines[-1].partition(": ")[2] or lines[-1]
    return " ".join(lines)


def print_error(message: str, code: int = 1) -> int:
    """Print an error on standard error; returns the exit code."""
    print(f"vmae-zoo: error: {message}", file=sys.stderr)
    return code
