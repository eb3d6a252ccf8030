"""Is what a file says about places that were recovered from shared pixels sound, and does it follow from these?"""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.column_checks import ColumnChecks
from sar_h5.file_structure import Columns
from sar_h5.schema import UNKNOWN, FileSettings
from sar_h5.verify_report import Problem, ProblemKind

_PLACE = f"/{schema.INDEX}/{schema.COMPONENT_COLUMN.name}"

Component = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


class RecoveredPlaceChecks:
    """Reads which places were recovered in an open file, and adds what is wrong with them to a list.

    Args:
        file: the file.
        columns: its columns.
        problems: where problems are added.
    """

    def __init__(self, file: h5py.File, columns: ColumnChecks, problems: list[Problem]) -> None:
        self._file, self._columns, self._problems = file, columns, problems

    def read(self, index: Columns, settings: FileSettings, grid: npt.NDArray[np.uint32] | None) -> Component | None:
        """Read to which component each patch belongs, int32 (N,), and check it; None where places were not recovered.

        Args:
            index: the columns of ``/index``.
            settings: of the file.
            grid: uint32 (N, k, k), which blocks make up each patch; None in layout "patches", where nothing is shared
                that could be compared.
        """
        if _PLACE not in self._file:
            return None
        component = self._columns.read(_PLACE, schema.COMPONENT_COLUMN)
        if component is None:
            return None
        if len(component) != len(index["scene"]):
            message = f"expected {len(index['scene'])} rows, found {len(component)}"
            self._problems.append(Problem(_PLACE, ProblemKind.WRONG_TYPE, message))
            return None
        row, col = index["row"], index["col"]
        known = component > UNKNOWN
        self._report(
            ~np.where(known, (row >= 0) & (col >= 0), (component == UNKNOWN) & (row == UNKNOWN) & (col == UNKNOWN)),
            "expected row, col and component of at least 0, or all three -1",
        )
        self._report(_in_other_scene(component, index["scene"]), "expected a component in one scene only")
        if grid is not None and settings.block_size is not None:
            self._check_blocks(index, component, grid, settings.block_size)
        return component

    def _check_blocks(
        self, index: Columns, component: Component, grid: npt.NDArray[np.uint32], block_size: int
    ) -> None:
        numbers = np.flatnonzero((component > UNKNOWN) & (index["row"] >= 0) & (index["col"] >= 0))
        corners = np.stack([index["row"][numbers], index["col"][numbers]])
        wrong = np.zeros(len(component), np.bool_)
        wrong[numbers] = (corners % block_size).any(axis=0)
        self._report(wrong, f"expected row and col as multiples of {block_size}, the side of a block")
        clashing = np.zeros(len(component), np.bool_)
        clashing[numbers[_clashing(component[numbers], corners // block_size, grid[numbers])]] = True
        self._report(clashing, "expected the block that another patch of its component has at the same place")

    def _report(self, wrong: Mask, message: str) -> None:
        numbers = np.flatnonzero(wrong)
        if len(numbers):
            more = f"; {len(numbers):,} patches are like that" if len(numbers) > 1 else ""
            self._problems.append(Problem(f"{_PLACE}[{numbers[0]}]", ProblemKind.WRONG_VALUE, message + more))


def _in_other_scene(component: Component, scene: npt.NDArray[np.int32]) -> Mask:
    """Return which patches have a component that a patch of an earlier scene has, too; scenes come in order."""
    _, first, member = np.unique(component, return_index=True, return_inverse=True)
    found: Mask = (component > UNKNOWN) & (scene[first[member]] != scene)
    return found


def _clashing(
    component: Component, corners: npt.NDArray[np.int32], grid: npt.NDArray[np.uint32]
) -> npt.NDArray[np.int64]:
    """Return patches, as positions, with a block where another one of their component has another block.

    Args:
        component: int32 (n,).
        corners: int32 (2, n), rows and columns in blocks.
        grid: uint32 (n, k, k), the blocks that make up each patch.
    """
    count, side, _ = grid.shape
    places = np.empty((4, side * side, count), np.int64)
    for cell, (down, right) in enumerate(np.ndindex(side, side)):
        places[:, cell] = component, corners[0] + down, corners[1] + right, grid[:, down, right]
    cells = places.reshape(4, -1)
    order = np.lexsort(cells[::-1])
    cells = cells[:, order]
    same_place = (cells[:3, 1:] == cells[:3, :-1]).all(axis=0)
    clashing: npt.NDArray[np.int64] = order[1:][same_place & (cells[3, 1:] != cells[3, :-1])] % max(count, 1)
    return clashing
