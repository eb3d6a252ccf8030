"""How many pixels lie in patches of two different splits: counted exactly, without looking at pixels one by one.

The edges of patches divide a scene into cells that lie wholly inside or outside each patch. The grid of a scene has few
of them, so that its cells are counted in one table. Where patches lie irregularly there are many; then a region is
halved until its table is small, or it is plain without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from sar_h5.schema import SPLIT_NAMES
from sar_h5.splits.scenes import Numbers, PatchPlaces

MOST_CELLS = 1 << 16
"""Cells of one table; smaller ones make regular grids take more halvings, larger ones irregular patches more cells."""

PAIRS = tuple(combinations(range(1, len(SPLIT_NAMES)), 2))
"""Codes of splits that may share pixels."""

Pixels = dict[tuple[int, int], int]

_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))


def count_shared_pixels(
    codes: npt.NDArray[np.uint8], scene: Numbers, row: Numbers, col: Numbers, patch_size: int
) -> Pixels:
    """Count the pixels that lie in patches of two different splits.

    Args:
        codes: uint8 (N,), the split of each patch; 0 belongs to none.
        scene: int64 (N,), the scene, or any other plane, that each patch lies in.
        row: int64 (N,), top of its top-left corner there.
        col: int64 (N,), left of it.
        patch_size: in pixels.

    Returns:
        The number of pixels for each of :data:`PAIRS`.
    """
    shared = dict.fromkeys(PAIRS, 0)
    used = np.flatnonzero(codes)
    order = used[np.argsort(scene[used], kind="stable")]
    for numbers in _mixed_planes(codes, scene, order):
        top, left = row[numbers], col[numbers]
        sides = np.stack([top, top + patch_size, left, left + patch_size])
        for pair, count in _count_plane(codes[numbers], sides).items():
            shared[pair] += count
    return shared


def _mixed_planes(codes: npt.NDArray[np.uint8], scene: Numbers, order: Numbers) -> list[Numbers]:
    """Return the patches of each plane that holds more than one split: most hold one where scenes are whole."""
    starts = np.flatnonzero(np.diff(scene[order], prepend=-1))
    if len(starts) == 0:
        return []
    mixed = np.minimum.reduceat(codes[order], starts) < np.maximum.reduceat(codes[order], starts)
    planes = np.append(starts, len(order)).tolist()
    return [
        order[start:stop] for (start, stop), is_mixed in zip(pairwise(planes), mixed.tolist(), strict=True) if is_mixed
    ]


def any_overlap(places: PatchPlaces) -> bool:
    """Return whether any two patches of a scene share a pixel; patches whose places are unknown are left out.

    Two patches in one cell of a grid as wide as a patch do; others may only where their cells are neighbours.
    """
    size = places.patch_size
    for _, members in places.runs():
        numbers = members[places.known[members]]
        if len(numbers) < 2:
            continue
        row, col = places.row[numbers], places.col[numbers]
        cells = _cell_numbers(row // size, col // size)
        order = np.argsort(cells)
        row, col, cells = row[order], col[order], cells[order]
        if (np.diff(cells) == 0).any():
            return True
        for down, right in _NEIGHBOURS:
            wanted = _cell_numbers(row // size + down, col // size + right)
            found = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
            near = (abs(row[found] - row) < size) & (abs(col[found] - col) < size)
            if (near & (cells[found] == wanted)).any():
                return True
    return False


def _cell_numbers(row: Numbers, col: Numbers) -> Numbers:
    return (row << 32) + col


@dataclass(frozen=True)
class _Region:
    """A rectangle, the patches that cover parts of it, and the splits that cover all of it.

    Attributes:
        box: top, bottom, left and right edge.
        codes: uint8 (n,), the split of each patch that covers a part.
        sides: int64 (4, n), top, bottom, left and right edges of these, cut to the rectangle.
        full: codes of the splits that cover all of it.
    """

    box: tuple[int, int, int, int]
    codes: npt.NDArray[np.uint8]
    sides: Numbers
    full: frozenset[int]

    def part(self, box: tuple[int, int, int, int]) -> _Region:
        """Return a rectangle within this one, with the patches that matter there."""
        y0, y1, x0, x1 = box
        sides = np.stack(
            [np.clip(side, *ends) for side, ends in zip(self.sides, ((y0, y1),) * 2 + ((x0, x1),) * 2, strict=True)]
        )
        top, bottom, left, right = sides
        covers = (top == y0) & (bottom == y1) & (left == x0) & (right == x1)
        full = self.full | frozenset(self.codes[covers].tolist())
        matters = (top < bottom) & (left < right) & ~np.isin(self.codes, list(full))
        return _Region(box, self.codes[matters], sides[:, matters], full)

    @property
    def rows(self) -> Numbers:
        """Where cells begin and end, from top to bottom."""
        return np.unique(np.concatenate([*self.sides[:2], self.box[:2]]))

    @property
    def cols(self) -> Numbers:
        """Where cells begin and end, from left to right."""
        return np.unique(np.concatenate([*self.sides[2:], self.box[2:]]))

    @property
    def splits(self) -> list[int]:
        """Codes of the splits that cover any of it."""
        return sorted({*self.full, *np.unique(self.codes).tolist()})


def _count_plane(codes: npt.NDArray[np.uint8], sides: Numbers) -> Pixels:
    """Count one plane, with a list of what is left to do: recursion would be as deep as the patches are irregular."""
    shared: Pixels = dict.fromkeys(PAIRS, 0)
    if len(codes) == 0:
        return shared
    box = (int(sides[0].min()), int(sides[1].max()), int(sides[2].min()), int(sides[3].max()))
    waiting = [_Region(box, codes, sides, frozenset()).part(box)]
    while waiting:
        region = waiting.pop()
        if len(region.splits) < 2:
            continue
        rows, cols = region.rows, region.cols
        if (len(rows) - 1) * (len(cols) - 1) <= MOST_CELLS:
            for pair, count in _count_cells(region, rows, cols).items():
                shared[pair] += count
        else:
            waiting += _halves(region, rows, cols)
    return shared


def _halves(region: _Region, rows: Numbers, cols: Numbers) -> list[_Region]:
    """Halve a region at the middle of its edges, along the axis that has more of them."""
    y0, y1, x0, x1 = region.box
    if len(rows) >= len(cols):
        cut = int(rows[len(rows) // 2])
        return [region.part((y0, cut, x0, x1)), region.part((cut, y1, x0, x1))]
    cut = int(cols[len(cols) // 2])
    return [region.part((y0, y1, x0, cut)), region.part((y0, y1, cut, x1))]


def _count_cells(region: _Region, rows: Numbers, cols: Numbers) -> Pixels:
    """Count by a table of how many patches of each split cover each cell."""
    top, bottom = (np.searchsorted(rows, side) for side in region.sides[:2])
    left, right = (np.searchsorted(cols, side) for side in region.sides[2:])
    shape = (len(rows), len(cols))
    covered = {}
    for code in region.splits:
        own = region.codes == code
        steps = np.zeros(shape[0] * shape[1], dtype=np.int64)
        for y, x, step in ((top, left, 1), (bottom, right, 1), (top, right, -1), (bottom, left, -1)):
            steps += step * np.bincount(y[own] * shape[1] + x[own], minlength=len(steps))
        counts = steps.reshape(shape).cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
        covered[code] = (counts > 0) | (code in region.full)
    heights, widths = np.diff(rows), np.diff(cols)
    return {
        (one, other): int(heights @ ((covered[one] & covered[other]) @ widths))
        for one, other in PAIRS
        if one in covered and other in covered
    }
