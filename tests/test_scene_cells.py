"""Cells: every window is put together from whole blocks, each decoded once as long as it is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.errors import SourceError
from sar_h5.stores.scene_cells import CellCache, CellGrid, CellKey, cut_window


def run(task: Callable[[int, int], None], count: int) -> None:
    task(0, count)


class Reader:
    """Reads cells of an image and counts them."""

    def __init__(self, image: np.ndarray, grid: CellGrid) -> None:
        self.image, self.grid, self.keys = image, grid, list[CellKey]()

    def __call__(self, key: CellKey) -> np.ndarray:
        self.keys.append(key)
        if key[0] == 13:
            raise SourceError("scene 13 is broken")
        row, col, height, width = self.grid.place(*key[1:])
        return self.image[row : row + height, col : col + width]


@pytest.mark.parametrize(
    ("shape", "block", "cell"),
    [
        ((16700, 25800), (1, 25800), (64, 25800)),
        ((16700, 25800), (48, 25800), (96, 25800)),
        ((16700, 25800), (512, 512), (512, 512)),
        ((16700, 25800), (16, 16), (64, 256)),
        ((40, 50), (1, 50), (40, 50)),
    ],
)
def test_cells_are_whole_blocks_and_not_too_small(
    shape: tuple[int, int], block: tuple[int, int], cell: tuple[int, int]
) -> None:
    grid = CellGrid.of(*shape, block)
    assert (grid.cell_height, grid.cell_width) == cell


@settings(deadline=None)
@given(
    height=st.integers(1, 40), width=st.integers(1, 40), cell=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    size=st.integers(1, 24), data=st.data(),
)  # fmt: skip
def test_a_window_is_what_is_there_and_0_beyond(
    height: int, width: int, cell: tuple[int, int], size: int, data: st.DataObject
) -> None:
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    image = np.arange(1, height * width + 1, dtype=np.uint16).reshape(height, width)
    grid = CellGrid(height, width, *cell)
    keys = [(3, *key) for key in grid.covering(row, col, size)]
    cells = CellCache(1 << 20).collect(keys, Reader(image, grid), run)
    window = np.full((size, size), 9999, dtype=np.uint16)
    cut_window(cells, grid, 3, row, col, window)
    padded = np.zeros((height + size, width + size), dtype=np.uint16)
    padded[:height, :width] = image
    assert np.array_equal(window, padded[row : row + size, col : col + size])


def test_what_was_used_last_is_kept_up_to_a_number_of_bytes() -> None:
    image = np.zeros((100, 10), dtype=np.uint16)
    reader = Reader(image, CellGrid(100, 10, 10, 10))
    cache = CellCache(nbytes=600)  # three cells of 200 bytes
    for number in (0, 1, 2, 0, 3, 0, 1):
        cache.collect([(0, number, 0)], reader, run)
    assert [key[1] for key in reader.keys] == [0, 1, 2, 3, 1]
    found = cache.collect([(0, number, 0) for number in range(10)], reader, run)
    assert len(found) == 10  # more than it keeps
    cache.clear()
    cache.collect([(0, 9, 0)], reader, run)
    assert reader.keys[-1] == (0, 9, 0)


def test_nothing_is_kept_where_nothing_may_be() -> None:
    reader = Reader(np.zeros((20, 10), dtype=np.uint16), CellGrid(20, 10, 10, 10))
    cache = CellCache(0)
    for _ in range(2):
        cache.collect([(0, 1, 0)], reader, run)
    assert len(reader.keys) == 2


def test_a_cell_that_cannot_be_read_is_an_error_of_the_windows_that_need_it() -> None:
    grid = CellGrid(20, 10, 10, 10)
    reader = Reader(np.ones((20, 10), dtype=np.uint16), grid)
    cells = CellCache(1000).collect([(13, 0, 0), (0, 0, 0)], reader, run)
    window = np.zeros((5, 5), dtype=np.uint16)
    cut_window(cells, grid, 0, 2, 2, window)
    assert window.all()
    with pytest.raises(SourceError, match="scene 13 is broken"):
        cut_window(cells, grid, 13, 2, 2, window)
