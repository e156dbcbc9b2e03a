"""Checks of single settings, which name the setting, its value and the values that are possible."""

from collections.abc import Iterable


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """``ValueError`` unless a setting is one of the choices."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{name} = {value!r} is not known: choose one of {', '.join(choices)}")


def check_least(prefix: str, least: float, **settings: float | None) -> None:
    """``ValueError`` if one of the settings below a prefix, such as "data.", is less than ``least``; None is not."""
    for name, value in settings.items():
        if value is not None and value < least:
            raise ValueError(f"{prefix}{name} = {value}: must be >= {least}")
