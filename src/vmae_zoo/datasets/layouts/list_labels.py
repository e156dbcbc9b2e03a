"""Paths and labels of list files and CSV files: texts become positions below a folder and numbers of classes."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from vmae_zoo.datasets.clip_record import join, relative_name
from vmae_zoo.datasets.clip_table import ClipTable
from vmae_zoo.datasets.layouts.tables import whole_number

MAX_DIGITS = 15  # of a label that is taken for a number


def below(folder: str, path: str) -> str:
    """A listed path relative to the folder of the list, or as it is if it is elsewhere."""
    if "//" not in path and "./" not in path and os.sep == "/":  # as nearly all are
        return path.removeprefix(f"{folder.rstrip('/')}/") if path[:1] == "/" else path
    return relative_name(folder, join(folder, path))


def with_labels(
    table: ClipTable, texts: dict[str, int], number: Callable[[Iterable[str]], tuple[dict[str, int], list[str]]]
) -> tuple[list[str], ClipTable]:
    """The classes of a list, and its clips with labels instead of the positions of their texts."""
    labels, classes = number(texts)
    of_text = np.array([labels[text] for text in texts], np.int32)
    return classes, replace(table, labels=of_text[table.labels])


def number_labels(texts: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Label of each text, -1 for "" and "-1", and the names of the classes: sorted, numbers by value."""
    plain = {text: whole_number(text) for text in dict.fromkeys(texts)}
    names = set(plain.values()) - {"", "-1"}
    numbered = all(name.isdecimal() and len(name) <= MAX_DIGITS for name in names)
    classes = sorted(names, key=int if numbered else None)
    numbers = {name: label for label, name in enumerate(classes)}
    return {text: numbers.get(name, -1) for text, name in plain.items()}, classes
