"""Which patches of several files show the same place: pure arithmetic on their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError

How = Literal["inner", "outer"]

MISSING = -1
"""Stands for the number of a patch that a file has not."""

Key = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
"""Scene, row and column of each patch of a file; scenes by numbers that mean the same in all files."""


def join_patches(keys: Sequence[Key], how: How, paths: Sequence[str]) -> npt.NDArray[np.int64]:
    """Find the patches of several files that show the same place.

    Args:
        keys: of each file, integers (n,) each.
        how: "inner" for places that all files have, "outer" for those that any file has.
        paths: of the files, for errors.

    Returns:
        int64 (m, files), the number of the patch in each file, -1 where it has none; by scene, row and column.

    Raises:
        SettingError: where one file has two patches of one place.
    """
    scene, row, col = (np.concatenate([key[part] for key in keys]).astype(np.int64) for part in range(3))
    file = np.repeat(np.arange(len(keys)), [len(key[0]) for key in keys])
    number = np.concatenate([np.arange(len(key[0])) for key in keys])
    order = np.lexsort((file, col, row, scene))
    scene, row, col, file, number = (values[order] for values in (scene, row, col, file, number))
    same_place = (np.diff(scene) == 0) & (np.diff(row) == 0) & (np.diff(col) == 0)
    twice = np.flatnonzero(same_place & (np.diff(file) == 0))
    if len(twice):
        first, second = number[twice[0]], number[twice[0] + 1]
        raise SettingError(
            f"{paths[file[twice[0]]]}: expected one patch of each place, found patches {first} and {second} both at "
            f"row {row[twice[0]]}, column {col[twice[0]]} of one scene; nothing tells which one to join"
        )
    place = np.concatenate([np.zeros(min(len(scene), 1), np.int64), np.cumsum(~same_place)])
    numbers = np.full((int(place[-1]) + 1 if len(place) else 0, len(keys)), MISSING, dtype=np.int64)
    numbers[place, file] = number
    return numbers if how == "outer" else numbers[(numbers != MISSING).all(axis=1)]
