"""A file as a map: outlines of its scenes and cells for its patches, all in one reference system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns, columns_of, find_patches, split_codes
from sar_h5.errors import FormatError, SettingError
from sar_h5.maps.gcp_mapping import Floats64
from sar_h5.maps.reference_systems import in_one_system
from sar_h5.maps.scene_places import ScenePlace, scenes_on_ground, scenes_side_by_side
from sar_h5.opening import open_as_it_is
from sar_h5.schema import GCP_TABLE, INDEX, SCENES, SPLITS, UNKNOWN

_MOST_THINNING = 256


@dataclass(frozen=True)
class SceneMap:
    """What there is to draw.

    Attributes:
        on_ground: whether scenes lie where they are on the ground; otherwise side by side in pixels.
        places: the scenes, in one reference system.
        patches: int64 (n,), numbers of the patches placed.
        cells: float64 (n, 4, 2), the corners of their cells. A cell is the middle of a patch in the size of the stride,
            so that cells of overlapping patches lie side by side; it covers those of its neighbors too where these are
            left out.
        thinning: every how many rows and columns of patches one is placed.
        split: uint8 (N,) of all patches, 0 to 3; None where the file has no splits.
        scenes: the columns of ``/scenes``.
        total: N, how many patches the file holds.
    """

    on_ground: bool
    places: Sequence[ScenePlace]
    patches: npt.NDArray[np.int64]
    cells: Floats64
    thinning: int
    split: npt.NDArray[np.uint8] | None
    scenes: Columns
    total: int


def read_scene_map(path: str | Path, split: str, most_patches: int) -> SceneMap:
    """Read where the scenes and patches of a file lie.

    Args:
        path: a file of this package.
        split: name of the file's way of splitting; does not matter where it has none.
        most_patches: how many patches to place at most.

    Raises:
        SourceError: where the file is not there.
        FormatError: where it is not one of this package, or has splits, but none of this name.
        SettingError: where neither places nor sizes of its scenes are known, or ``most_patches`` is less than 1.
    """
    if most_patches < 1:
        raise SettingError(f"expected at least 1 patch to draw; found most_patches={most_patches}")
    with open_as_it_is(path) as file:
        source = find_patches(file, None)
        if source.settings is None:
            raise FormatError(f"{path}: expected a file made by sar-h5 convert, which knows its scenes; found another")
        known = sorted(file[SPLITS]) if SPLITS in file else []
        members = split_codes(file, path, split) if known else None
        if members is not None and members.shape != source.shape[:1]:
            raise FormatError(
                f"{path}: expected /{SPLITS}/{split} as {source.shape[0]} numbers, found {len(members)}; run "
                f"`sar-h5 verify {path}`"
            )
        table = file[SCENES].get(GCP_TABLE.name)
        gcps = np.zeros((0, GCP_TABLE.width)) if table is None else table[:].reshape(-1, GCP_TABLE.width)
        index, scenes = columns_of(file, path, INDEX), columns_of(file, path, SCENES)
    on_ground = scenes_on_ground(scenes, gcps)
    places = in_one_system(on_ground) if on_ground else scenes_side_by_side(scenes)
    if not places:
        raise SettingError(
            f"{path}: expected scenes whose places or sizes are known, to draw a map of them; found none. Shards do "
            "not tell them: convert the products"
        )
    settings = source.settings
    size = settings.patch_size
    stride = settings.stride if 0 < settings.stride < size else size
    patches, thinning = _placed_patches(index, places, stride, most_patches)
    cells = _cells(index, places, patches, (size - stride) / 2, stride * thinning)
    return SceneMap(bool(on_ground), places, patches, cells, thinning, members, scenes, source.shape[0])


def _placed_patches(
    index: Columns, places: Sequence[ScenePlace], stride: int, most_patches: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Choose the patches of every n-th row and column of the patch grid, with the least n that leaves few enough."""
    is_placed = np.isin(index["scene"], [place.scene for place in places])
    is_placed &= (index["row"] != UNKNOWN) & (index["col"] != UNKNOWN)
    patches = np.flatnonzero(is_placed).astype(np.int64)
    grid_row, grid_col = index["row"][patches] // stride, index["col"][patches] // stride
    thinning = 1
    while True:
        kept = (grid_row % thinning == 0) & (grid_col % thinning == 0)
        if kept.sum() <= most_patches or thinning > _MOST_THINNING:
            return patches[kept][:most_patches], thinning
        thinning += 1


def _cells(
    index: Columns, places: Sequence[ScenePlace], patches: npt.NDArray[np.int64], margin: float, side: float
) -> Floats64:
    columns: dict[str, npt.NDArray[Any]] = {name: index[name][patches] for name in ("scene", "row", "col")}
    cells = np.empty((len(patches), 4, 2))
    for place in places:
        here = columns["scene"] == place.scene
        cells[here] = place.boxes(columns["row"][here] + margin, columns["col"][here] + margin, side, side)
    return cells
