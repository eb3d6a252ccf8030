"""Scenes divided into cells of whole blocks, so that no block is decoded for one window after the other.

GDAL decodes whole strips or tiles; a measurement raster's strips are a row or a few, as wide as the scene. A window of
256 columns out of 25,000 costs as much as all windows beside it, so what was decoded is kept until they had their turn.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from sar_h5.errors import SourceError

Pixels = npt.NDArray[Any]
CellKey = tuple[int, int, int]
"""Number of the scene, and of the cell's row and column in it."""

LEAST_ROWS, LEAST_COLS = 64, 256
"""Cells are at least so large, or as the scene: to read few rows at once costs more in calls than in pixels."""


@dataclass(frozen=True)
class CellGrid:
    """How a scene is divided.

    Attributes:
        height, width: of the scene in pixels.
        cell_height, cell_width: of a cell; those at the right and the bottom may be smaller.
    """

    height: int
    width: int
    cell_height: int
    cell_width: int

    @classmethod
    def of(cls, height: int, width: int, block_shape: tuple[int, int]) -> CellGrid:
        """Divide a scene whose blocks have a shape (rows, columns)."""
        rows, cols = block_shape
        return cls(height, width, min(height, _multiple(rows, LEAST_ROWS)), min(width, _multiple(cols, LEAST_COLS)))

    @property
    def pixels(self) -> int:
        """How many pixels a whole cell has."""
        return self.cell_height * self.cell_width

    def place(self, cell_row: int, cell_col: int) -> tuple[int, int, int, int]:
        """Return (row, column, height, width) of a cell in the scene."""
        row, col = cell_row * self.cell_height, cell_col * self.cell_width
        return row, col, min(self.cell_height, self.height - row), min(self.cell_width, self.width - col)

    def covering(self, row: int, col: int, size: int) -> list[tuple[int, int]]:
        """Return the cells that a window (size, size), which may stick out of the scene, takes pixels from."""
        bottom, right = min(row + size, self.height), min(col + size, self.width)
        return [
            (cell_row, cell_col)
            for cell_row in range(row // self.cell_height, -(-bottom // self.cell_height))
            for cell_col in range(col // self.cell_width, -(-right // self.cell_width))
        ]


def _multiple(block: int, least: int) -> int:
    return block * -(-least // block)


@dataclass
class _Kept:
    """What one process keeps; the cell used last comes last."""

    cells: OrderedDict[CellKey, Pixels] = field(default_factory=OrderedDict)
    nbytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class CellCache:
    """Keeps the cells used last, up to a number of bytes in each process.

    Args:
        nbytes: how much to keep.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._processes: dict[int, _Kept] = {}

    def collect(
        self,
        keys: Sequence[CellKey],
        read: Callable[[CellKey], Pixels],
        run: Callable[[Callable[[int, int], None], int], None],
    ) -> dict[CellKey, Pixels | SourceError]:
        """Return cells, those that are not kept read in threads; an error in place of one that cannot be read.

        Args:
            keys: which cells.
            read: reads one, or raises SourceError.
            run: calls a task with slices of so many items, from any thread.
        """
        kept = self._kept()
        with kept.lock:
            found: dict[CellKey, Pixels | SourceError] = {key: kept.cells[key] for key in keys if key in kept.cells}
            for key in found:
                kept.cells.move_to_end(key)
        missing = [key for key in keys if key not in found]

        def read_some(start: int, stop: int) -> None:
            for key in missing[start:stop]:
                try:
                    found[key] = cell = read(key)
                except SourceError as error:
                    found[key] = error
                else:
                    self._keep(kept, key, cell)

        run(read_some, len(missing))
        return found

    def clear(self) -> None:
        """Let go of all cells of this process."""
        self._processes.pop(os.getpid(), None)

    def _kept(self) -> _Kept:
        return self._processes.setdefault(os.getpid(), _Kept())

    def _keep(self, kept: _Kept, key: CellKey, cell: Pixels) -> None:
        with kept.lock:
            if key not in kept.cells:
                kept.cells[key] = cell
                kept.nbytes += cell.nbytes
            while kept.nbytes > self.nbytes and kept.cells:
                _, oldest = kept.cells.popitem(last=False)
                kept.nbytes -= oldest.nbytes


def cut_window(
    cells: Mapping[CellKey, Pixels | SourceError], grid: CellGrid, scene: int, row: int, col: int, window: Pixels
) -> None:
    """Fill a window from the cells it covers.

    Args:
        cells: at least those.
        grid: of the scene.
        scene: its number.
        row: top row of the window in the scene.
        col: left column likewise.
        window: (size, size), filled; 0 where it sticks out of the scene.

    Raises:
        SourceError: of a cell that could not be read.
    """
    size = len(window)
    if row + size > grid.height or col + size > grid.width:
        window[...] = 0
    for cell_row, cell_col in grid.covering(row, col, size):
        cell = cells[scene, cell_row, cell_col]
        if isinstance(cell, SourceError):
            raise cell
        top, left, height, width = grid.place(cell_row, cell_col)
        rows = slice(max(top, row), min(top + height, row + size))
        cols = slice(max(left, col), min(left + width, col + size))
        window[rows.start - row : rows.stop - row, cols.start - col : cols.stop - col] = cell[
            rows.start - top : rows.stop - top, cols.start - left : cols.stop - left
        ]
