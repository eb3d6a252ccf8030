"""Scenes divided into blocks on the ground, and the patches that keep clear of blocks of other splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError
from sar_h5.schema import SPLIT_NAMES
from sar_h5.splits.groups import draw_number
from sar_h5.splits.scenes import Lattice, Numbers, SplitScene

MOST_BLOCKS = 1_000_000
DEFAULT_BLOCK_PATCHES = 8
LEAST_BLOCK_PATCHES = 2
ENOUGH_BLOCKS = 20

_NO_BLOCK = len(SPLIT_NAMES)
"""Stands for ground that no scene covers."""


def default_guard_px(patch_size: int) -> int:
    """Return the guard band's width where none is given: a quarter of a patch.

    Of neighbouring pixels of a GRDH image only about two share speckle (20 m of resolution at 10 m of spacing). Fields,
    streets and swell are alike over some hundred metres: 64 pixels, for patches of 256, are 640 m. Landscapes are alike
    over kilometres, and no guard helps against that: split by scene.
    """
    return (patch_size + 3) // 4


@dataclass(frozen=True)
class _Extent:
    """The box around all scenes in one lattice, divided into blocks of nearly equal size."""

    top: int
    left: int
    height: int
    width: int
    rows: int
    cols: int

    @staticmethod
    def around(places: Iterable[tuple[Lattice, SplitScene]], block_px: int) -> _Extent:
        boxes = [(place.row, place.col, place.row + scene.height, place.col + scene.width) for place, scene in places]
        tops, lefts, bottoms, rights = zip(*boxes, strict=True)
        height, width = max(bottoms) - min(tops), max(rights) - min(lefts)
        # Rounded, so that no sliver is left over at the end, which could hold no patch.
        rows, cols = (max(1, round(length / block_px)) for length in (height, width))
        return _Extent(min(tops), min(lefts), height, width, rows, cols)


@dataclass(frozen=True)
class _Window:
    """The blocks that a part of a scene touches: those from ``row`` and ``col`` up to ``row_stop`` and ``col_stop``."""

    row: int
    col: int
    row_stop: int
    col_stop: int

    @property
    def count(self) -> int:
        return (self.row_stop - self.row) * (self.col_stop - self.col)


class BlockGrid:
    """Blocks over scenes. The same ground at another date lies in the same block, where scenes share a lattice.

    Args:
        scenes: with known sizes.
        patch_size: in pixels.
        block_px: about how long the sides of blocks are, in pixels.

    Raises:
        SettingError: where there would be too many blocks.
    """

    def __init__(self, scenes: Iterable[SplitScene], patch_size: int, block_px: int) -> None:
        self._patch_size = patch_size
        self._scenes = [(scene.lattice, scene) for scene in scenes if scene.area]
        members: dict[str, list[tuple[Lattice, SplitScene]]] = {}
        for place, scene in self._scenes:
            members.setdefault(place.key, []).append((place, scene))
        self._extents = {key: _Extent.around(places, block_px) for key, places in members.items()}
        # Names of reference systems are long, and stand in the key of every block.
        self._short = {key: f"{draw_number(0, key):016x}" for key in members}
        count = sum(self._window(place, 0, scene.height, 0, scene.width).count for place, scene in self._scenes)
        if count > MOST_BLOCKS:
            raise SettingError(
                f"blocks of {block_px} px would be {count:,}, more than {MOST_BLOCKS:,}; choose larger ones"
            )

    def weights(self) -> dict[str, int]:
        """Return how many pixels of scenes each block holds, leaving out pieces that can hold no patch."""
        weights: dict[str, int] = {}
        for place, scene in self._scenes:
            extent = self._extents[place.key]
            window = self._window(place, 0, scene.height, 0, scene.width)
            tops = _edges(window.row, window.row_stop, extent.height, extent.rows, place.row - extent.top, scene.height)
            lefts = _edges(window.col, window.col_stop, extent.width, extent.cols, place.col - extent.left, scene.width)
            for row, height in enumerate(np.diff(tops).tolist(), start=window.row):
                for col, width in enumerate(np.diff(lefts).tolist(), start=window.col):
                    fits = min(height, width) >= self._patch_size
                    key = self._key(place, row, col)
                    weights[key] = weights.get(key, 0) + fits * height * width
        return weights

    def codes_of(
        self, scene: SplitScene, codes: Mapping[str, int], row: Numbers, col: Numbers, guard_px: int
    ) -> npt.NDArray[np.uint8]:
        """Return the split of patches of a scene.

        Args:
            scene: one of the scenes.
            codes: the split of each block.
            row: int64 (n,), rows of the top-left corners of the patches.
            col: int64 (n,), their columns.
            guard_px: least distance of patches of different splits.

        Returns:
            uint8 (n,); 0 where a patch, with half the guard around it, touches blocks of more than one split.
        """
        place, margin = scene.lattice, (guard_px + 1) // 2
        extent = self._extents[place.key]
        window = self._window(place, -margin, scene.height + margin, -margin, scene.width + margin)
        keys = [
            [
                codes.get(self._key(place, block_row, block_col), _NO_BLOCK)
                for block_col in range(window.col, window.col_stop)
            ]
            for block_row in range(window.row, window.row_stop)
        ]
        table = np.array(keys, dtype=np.uint8)
        rows = _touched(row + place.row - extent.top, self._patch_size, margin, extent.height, extent.rows, window.row)
        cols = _touched(col + place.col - extent.left, self._patch_size, margin, extent.width, extent.cols, window.col)
        found = np.zeros(len(row), dtype=np.uint8)
        for code in set(codes.values()):
            others = _count_in(~np.isin(table, (code, _NO_BLOCK)), rows, cols)
            found[others == 0] = code
        return found

    def _key(self, place: Lattice, row: int, col: int) -> str:
        return f"{self._short[place.key]} {row} {col}"

    def _window(self, place: Lattice, top: int, bottom: int, left: int, right: int) -> _Window:
        extent = self._extents[place.key]
        row, row_stop = _span(place.row - extent.top, top, bottom, extent.height, extent.rows)
        col, col_stop = _span(place.col - extent.left, left, right, extent.width, extent.cols)
        return _Window(row, col, row_stop, col_stop)


def choose_block_px(scenes: Iterable[SplitScene], patch_size: int) -> int:
    """Return about how long the sides of blocks are to be: 8 patches, or less where that leaves too few blocks."""
    known = list(scenes)
    block_px = DEFAULT_BLOCK_PATCHES * patch_size
    while block_px > LEAST_BLOCK_PATCHES * patch_size:
        if sum(weight > 0 for weight in BlockGrid(known, patch_size, block_px).weights().values()) >= ENOUGH_BLOCKS:
            break
        block_px //= 2
    return block_px


def _span(offset: int, start: int, stop: int, length: int, blocks: int) -> tuple[int, int]:
    """Return the first block that the pixels from start to stop touch, and the one after the last.

    Block k begins at the pixel ceil(k length / blocks), so that pixel x lies in block floor(x blocks / length).
    """
    first, last = max(offset + start, 0), min(offset + stop, length) - 1
    return first * blocks // length, last * blocks // length + 1


def _edges(first: int, stop: int, length: int, blocks: int, offset: int, extent: int) -> Numbers:
    """Return where the blocks from ``first`` to ``stop`` begin and end, cut to the scene."""
    edges = [-(-block * length // blocks) for block in range(first, stop + 1)]
    return np.clip(np.array(edges, dtype=np.int64), offset, offset + extent)


def _touched(start: Numbers, size: int, margin: int, length: int, blocks: int, first: int) -> tuple[Numbers, Numbers]:
    """Return the first block that each patch with its margin touches, and the one after the last, within a window."""
    low, high = np.clip(start - margin, 0, length - 1), np.clip(start + size + margin - 1, 0, length - 1)
    return low * blocks // length - first, high * blocks // length - first + 1


def _count_in(mask: npt.NDArray[np.bool_], rows: tuple[Numbers, Numbers], cols: tuple[Numbers, Numbers]) -> Numbers:
    """Count what is set in rectangles of a table, by its running sums."""
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), dtype=np.int64)
    sums[1:, 1:] = mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    counts: Numbers = sums[rows[1], cols[1]] - sums[rows[0], cols[1]] - sums[rows[1], cols[0]] + sums[rows[0], cols[0]]
    return counts
