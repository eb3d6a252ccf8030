"""The places of all patches of a file whose source did not tell them, recovered scene by scene.

``adjacency`` finds out what lies where within a scene. Here is what it cannot see:

* Patches at the lower and right edge of a scene may have been shifted inwards, off the grid of all others. They overlap
  these without a block in common, and so hang together with each other only, in a single row or column. Such parts of a
  scene lose their places, but for the largest where there is nothing else.
* Scenes may overlap: one raster in two shards, or a shard twice. Nothing says how scenes lie to each other. Of those
  that share a block that tells where it lies only the one with most places keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.adjacency import Numbers, RecoveredPlaces, keep_largest, recover_places
from sar_h5.schema import UNKNOWN

Mask = npt.NDArray[np.bool_]
Grid = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class FilePlaces:
    """Where the patches of a file lie, as columns of ``/index``.

    Attributes:
        row, col: int32 (N,), top-left corners in pixels, comparable within a component; -1 where unknown.
        component: int32 (N,), numbered through the file; -1 where unknown.
    """

    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]
    component: npt.NDArray[np.int32]


def recover_file_places(grids: Sequence[Grid], telling: Mask, block_size: int) -> FilePlaces | None:
    """Find out where patches lie; None where nothing tells of any.

    Args:
        grids: of each scene, uint32 (n, k, k), the numbers of the blocks that make up its patches.
        telling: bool (M,), whether equal content of each block means the same pixels.
        block_size: side of a block in pixels.
    """
    scenes = [_without_strips(recover_places(grid, telling)) for grid in grids]
    component = _number_through(scenes)
    kept = np.repeat(_keep_apart(grids, telling, scenes), [len(grid) for grid in grids])
    known = (component != UNKNOWN) & kept
    if not known.any():
        return None
    row, col = (
        np.where(known, np.concatenate([getattr(scene, axis) for scene in scenes]) * block_size, UNKNOWN)
        for axis in ("row", "col")
    )
    numbers = np.full(len(known), UNKNOWN, np.int32)
    numbers[known] = np.unique(component[known], return_inverse=True)[1]
    return FilePlaces(row.astype(np.int32), col.astype(np.int32), numbers)


def _without_strips(found: RecoveredPlaces) -> RecoveredPlaces:
    """Take their places from components of a single row or column, but from the largest where all are like that."""
    known = np.flatnonzero(found.known)
    if not len(known):
        return found
    of = found.component[known]
    count = int(of.max()) + 1
    is_strip = np.zeros(count, np.bool_)
    for axis in (found.row[known], found.col[known]):
        low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
        np.minimum.at(low, of, axis)
        np.maximum.at(high, of, axis)
        is_strip |= low == high
    if is_strip.all():
        is_strip[np.bincount(of).argmax()] = False
    lost = found.known & is_strip[found.component]
    row, col, component = (np.where(lost, UNKNOWN, axis) for axis in (found.row, found.col, found.component))
    return RecoveredPlaces(row, col, component)


def _number_through(scenes: Sequence[RecoveredPlaces]) -> Numbers:
    """Return the components of all scenes under numbers of their own, int64 (N,)."""
    numbered, start = [np.zeros(0, np.int64)], 0
    for scene in scenes:
        numbered.append(np.where(scene.known, scene.component + start, UNKNOWN))
        start += int(scene.component.max(initial=UNKNOWN)) + 1
    return np.concatenate(numbered)


def _keep_apart(grids: Sequence[Grid], telling: Mask, scenes: Sequence[RecoveredPlaces]) -> Mask:
    """Return which scenes keep their places, since they overlap none that has more of them, bool (S,)."""
    shared = [blocks[telling[blocks]] for blocks in map(np.unique, grids)]
    owners = np.repeat(np.arange(len(grids)), [len(blocks) for blocks in shared])
    sizes = np.array([np.count_nonzero(scene.known) for scene in scenes], np.int64)
    return keep_largest(np.concatenate([np.zeros(0, np.int64), *shared]).astype(np.int64), owners, sizes)
