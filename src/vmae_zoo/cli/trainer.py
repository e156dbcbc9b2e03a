"""``fit``, ``validate``, ``test`` and ``predict``: Lightning's command line over methods and data modules.

Names and paths are checked first; Lightning is imported only if they exist.
"""

import gc

from vmae_zoo.cli.recipe_arguments import with_recipes
from vmae_zoo.cli.setting_names import check_names
from vmae_zoo.lazy_imports import add_current_folder


def run(arguments: list[str]) -> int:
    """Run a trainer subcommand; returns the exit code."""
    add_current_folder()
    arguments = with_recipes(arguments)
    check_names(arguments)
    gc.disable()  # collections free nothing during imports, and take an eighth of their time
    try:
        from vmae_zoo.cli.log_filters import filter_logs
        from vmae_zoo.cli.run_cli import RunCLI
    finally:
        gc.enable()

    filter_logs()
    RunCLI(arguments)
    return 0
