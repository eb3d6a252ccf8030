"""The scenes of several files as one list: pure work on their columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns
from sar_h5.errors import SettingError

FACTS = (
    "name",
    "height",
    "width",
    "start_time",
    "platform",
    "mode",
    "product_type",
    "orbit",
    "pass",
    "crs",
    "transform",
)
"""The columns of a scene that hold for all its polarizations."""

_SAME_IN_ALL = ("height", "width", "transform")
"""Facts that must agree: otherwise the pixels of one row and column do not show the same place."""


def merge_scenes(columns: Sequence[Columns], paths: Sequence[str]) -> tuple[Columns, list[npt.NDArray[np.int64]]]:
    """Make one list of the scenes of several files, by name, in the order in which they come up.

    Args:
        columns: of the scenes of each file.
        paths: of the files, for errors.

    Returns:
        The columns of :data:`FACTS`, each scene as the first file that has it describes it; and for each file int64
        (S,), the number of each of its scenes in that list.

    Raises:
        SettingError: where a file has two scenes of one name, or two files describe a scene differently.
    """
    origins: list[tuple[int, int]] = []  # of each scene of the list: the first file that has it, and its number there
    places: dict[str, int] = {}
    renumbered = []
    for file, scenes in enumerate(columns):
        names = scenes["name"].tolist()
        _check_distinct(names, paths[file])
        for number, name in enumerate(names):
            if name not in places:
                places[name] = len(origins)
                origins.append((file, number))
            else:
                first, there = origins[places[name]]
                _check_same(name, (columns[first], there), (scenes, number), (paths[first], paths[file]))
        renumbered.append(np.array([places[name] for name in names], dtype=np.int64))
    return {fact: _take(columns, fact, origins) for fact in FACTS}, renumbered


def _check_distinct(names: Sequence[str], path: str) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise SettingError(f"{path} has {times} scenes called {name}; nothing tells which one to join")


def _take(columns: Sequence[Columns], fact: str, origins: Sequence[tuple[int, int]]) -> npt.NDArray[Any]:
    first = columns[0][fact]
    values = np.empty((len(origins), *first.shape[1:]), dtype=first.dtype)
    for number, (file, scene) in enumerate(origins):
        values[number] = columns[file][fact][scene]
    return values


def _check_same(name: str, known: tuple[Columns, int], other: tuple[Columns, int], paths: tuple[str, str]) -> None:
    for fact in _SAME_IN_ALL:
        expected, found = known[0][fact][known[1]], other[0][fact][other[1]]
        if not np.array_equal(expected, found, equal_nan=fact == "transform"):
            raise SettingError(
                f"{paths[1]}: expected scene {name} with {fact} {expected} as in {paths[0]}, found {found}; its rows "
                "and columns do not show the same places there"
            )
