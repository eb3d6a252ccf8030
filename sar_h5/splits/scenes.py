"""What splitting needs to know of scenes and of the places of patches; nothing that depends on the polarization."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.errors import FormatError
from sar_h5.schema import COMPONENT_COLUMN, UNKNOWN

Numbers = npt.NDArray[np.int64]

_FARTHEST_PX = 1 << 30


@dataclass(frozen=True)
class Lattice:
    """Where the top-left pixel of a scene lies in a grid of pixels that it may share with other scenes.

    Attributes:
        key: the grid: a reference system with a pixel size, or the scene itself.
        row, col: the pixel.
    """

    key: str
    row: int
    col: int


@dataclass(frozen=True)
class SplitScene:
    """A scene as splitting sees it.

    Attributes:
        name: of the acquisition.
        height, width: pixels, -1 where unknown.
        start_time: ISO 8601; empty where unknown.
        crs: WKT of the reference system of ``transform``; empty where there is none.
        transform: affine (a, b, c, d, e, f); NaN where there is none.
    """

    name: str
    height: int
    width: int
    start_time: str
    crs: str
    transform: tuple[float, ...]

    @property
    def area(self) -> int:
        """Number of pixels; 0 where unknown."""
        return max(self.height, 0) * max(self.width, 0)

    @property
    def lattice(self) -> Lattice:
        """The grid of pixels on the ground that it lies in, where its transform is known and not turned."""
        a, b, c, d, e, f = self.transform
        if self.crs and all(map(math.isfinite, self.transform)) and b == d == 0 and a != 0 and e != 0:
            # Corners lie on whole or half pixels by convention; a quarter keeps both clear of rounding.
            row, col = f / e + 0.25, c / a + 0.25
            if max(abs(row), abs(col)) < _FARTHEST_PX:
                return Lattice(f"{self.crs}\0{a!r}\0{e!r}", math.floor(row), math.floor(col))
        return Lattice(f"scene\0{self.name}", 0, 0)


@dataclass(frozen=True)
class PatchPlaces:
    """Where the patches of one file lie.

    Attributes:
        scenes: the file's scenes.
        scene: int64 (N,), number of the scene of each patch.
        row, col: int64 (N,), top-left corner in the scene; -1 where unknown.
        patch_size: in pixels.
        component: int64 (N,), where places were recovered from the pixels that patches share: which of them are
            relative to each other, -1 where unknown. None where the source told the places.
    """

    scenes: tuple[SplitScene, ...]
    scene: Numbers
    row: Numbers
    col: Numbers
    patch_size: int
    component: Numbers | None = None

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each patch's place is known, bool (N,)."""
        known: npt.NDArray[np.bool_] = (self.row != UNKNOWN) & (self.col != UNKNOWN)
        return known

    @property
    def loose_ends(self) -> int:
        """How many components there are besides the first of each scene: nothing tells how far away they are."""
        if self.component is None:
            return 0
        found: Numbers = np.unique(np.stack([self.scene, self.component])[:, self.known], axis=1)
        return int(found.shape[1] - len(np.unique(found[0])))

    def with_extents(self) -> PatchPlaces:
        """Return the same with the box around its patches as the size of each scene, where places were recovered."""
        if self.component is None:
            return self
        scenes = []
        for scene, members in self.runs():
            numbers = members[self.known[members]]
            height, width = (
                int(axis[numbers].max()) + self.patch_size if len(numbers) else UNKNOWN for axis in (self.row, self.col)
            )
            scenes.append(replace(scene, height=height, width=width))
        return replace(self, scenes=tuple(scenes))

    def runs(self) -> Iterator[tuple[SplitScene, Numbers]]:
        """Yield each scene with the numbers of its patches, int64 (n,)."""
        order = np.argsort(self.scene, kind="stable")
        edges = np.searchsorted(self.scene[order], np.arange(len(self.scenes) + 1))
        for scene, start, stop in zip(self.scenes, edges[:-1], edges[1:], strict=True):
            yield scene, order[start:stop]


def patch_places(
    index: Mapping[str, npt.NDArray[Any]], scenes: Mapping[str, npt.NDArray[Any]], patch_size: int
) -> PatchPlaces:
    """Take from the columns of ``/index`` and ``/scenes`` what splitting needs.

    Raises:
        FormatError: where a patch belongs to no scene.
    """
    columns = ("name", "height", "width", "start_time", "crs", "transform")
    rows = tuple(
        SplitScene(name, height, width, start_time, crs, tuple(transform))
        for name, height, width, start_time, crs, transform in zip(
            *(scenes[name].tolist() for name in columns), strict=True
        )
    )
    scene, row, col = (index[name].astype(np.int64) for name in ("scene", "row", "col"))
    if len(scene) and not 0 <= scene.min() <= scene.max() < len(rows):
        raise FormatError(f"expected scene numbers from 0 to {len(rows) - 1} in /index/scene, found others")
    component = index.get(COMPONENT_COLUMN.name)
    return PatchPlaces(
        rows, scene, row, col, patch_size, None if component is None else component.astype(np.int64, copy=False)
    )


def merge_scenes(files: Mapping[str, PatchPlaces]) -> dict[str, SplitScene]:
    """Return the scenes of all files by name.

    Args:
        files: the places of the patches of each file, by path.

    Raises:
        FormatError: where files differ about a scene, so that its patches cannot be told to lie at one place.
    """
    merged: dict[str, SplitScene] = {}
    homes: dict[str, str] = {}
    for path, places in files.items():
        for scene in places.scenes:
            twin = merged.setdefault(scene.name, scene)
            home = homes.setdefault(scene.name, path)
            if not _same_grid(scene, twin):
                raise FormatError(
                    f"scene {scene.name}: expected the same size and transform in {home} and {path}, found "
                    f"{twin.height} x {twin.width} px at {twin.transform} and {scene.height} x {scene.width} px at "
                    f"{scene.transform}; split these files one by one, under different names"
                )
    return merged


def _same_grid(one: SplitScene, other: SplitScene) -> bool:
    same_place = np.array_equal(np.array(one.transform), np.array(other.transform), equal_nan=True)
    return same_place and (one.height, one.width, one.crs) == (other.height, other.width, other.crs)
