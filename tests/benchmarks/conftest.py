"""Benchmarks are called in this process, as `python -m benchmarks.NAME` would call them."""

import pytest

from benchmarks import command_line


@pytest.fixture
def command():
    """Call a benchmark's command line: module, arguments -> exit code."""

    def call(module, arguments):
        name = module.__name__.rpartition(".")[2]
        return command_line.main(name, module.__doc__, module.configure, module.run, [str(each) for each in arguments])

    return call
