"""Cutting row bands: the same patches as from the whole scene at once, in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5 import cutting
from sar_h5.cutting import Band, PatchBatch, cut_bands
from sar_h5.tiling import PatchGrid

Array = npt.NDArray[Any]
Patch = tuple[int, int, float, bytes]


class Bands:
    """A scene in row bands, which notes how many rows were asked for, and what became of the rest."""

    def __init__(self, stored: Array, counted: Array, heights: list[int]) -> None:
        self._stored, self._counted, self._heights = stored, counted, heights
        self.taken = 0
        self.exhausted = False

    def __iter__(self) -> Iterator[Band]:
        assert self.taken == 0, "bands are read once"
        number = 0
        while self.taken < len(self._stored):
            rows = slice(self.taken, self.taken + self._heights[number % len(self._heights)])
            self.taken, number = min(rows.stop, len(self._stored)), number + 1
            yield Band(self._stored[rows].copy(), self._counted[rows].copy())
        self.exhausted = True


def make_scene(height: int, width: int, seed: int = 0, share: float = 0.5) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 60000, (height, width), dtype=np.uint16), generator.random((height, width)) < share


def cut_whole(stored: Array, counted: Array, grid: PatchGrid, min_valid: float) -> list[Patch]:
    """Cut the whole array, patch by patch."""
    size, found = grid.patch_size, []
    for row in range(0, stored.shape[0] - size + 1, grid.stride):
        for col in range(0, stored.shape[1] - size + 1, grid.stride):
            window = slice(row, row + size), slice(col, col + size)
            fraction = float(counted[window].mean())
            if fraction >= min_valid:
                found.append((row, col, float(np.float32(fraction)), stored[window].tobytes()))
    return found


def flatten(batches: Iterator[PatchBatch]) -> list[Patch]:
    found = []
    for batch in batches:
        assert batch.rows.dtype == batch.cols.dtype == np.int32
        assert batch.valid_fraction.dtype == np.float32
        columns = zip(batch.rows.tolist(), batch.cols.tolist(), batch.valid_fraction.tolist(), strict=True)
        for (row, col, fraction), patch in zip(columns, batch.patches, strict=True):
            found.append((row, col, fraction, patch.tobytes()))
    return found


@settings(deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    size=st.integers(1, 20),
    stride=st.integers(1, 30),
    heights=st.lists(st.integers(1, 70), min_size=1, max_size=5),
    min_valid=st.sampled_from([0.0, 0.3, 0.5, 0.6, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_bands_give_the_patches_of_the_whole_scene(
    height: int, width: int, size: int, stride: int, heights: list[int], min_valid: float, seed: int
) -> None:
    stored, counted = make_scene(height, width, seed)
    grid = PatchGrid(size, stride)
    bands = Bands(stored, counted, heights)
    found = flatten(cut_bands(bands, height, width, grid, min_valid))
    assert found == cut_whole(stored, counted, grid, min_valid)
    assert bands.exhausted


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_patches_keep_the_dtype_of_the_scene(dtype: npt.DTypeLike) -> None:
    stored, counted = make_scene(20, 20)
    (batch,) = cut_bands([Band(stored.astype(dtype), counted)], 20, 20, PatchGrid(20, 1), 0.0)
    assert batch.patches.dtype == dtype
    assert batch.patches.shape == (1, 20, 20)


def test_rows_below_the_last_patch_are_read_too() -> None:
    bands = Bands(*make_scene(100, 10), [7])
    assert flatten(cut_bands(bands, 100, 10, PatchGrid(8, 80), 0.0))[-1][:2] == (80, 0)
    assert bands.exhausted


@pytest.mark.parametrize(("height", "width"), [(7, 100), (100, 7)])
def test_a_scene_smaller_than_a_patch_is_read_and_gives_none(height: int, width: int) -> None:
    bands = Bands(*make_scene(height, width), [3])
    assert flatten(cut_bands(bands, height, width, PatchGrid(8, 4), 0.0)) == []
    assert bands.exhausted


@pytest.mark.parametrize(
    ("counted", "min_valid", "kept"),
    [
        (90, 0.9, True),
        (89, 0.9, False),
        (70, 0.7, True),
        (69, 0.7, False),
        (57, 0.57, True),
        (29, 0.29, True),
        (100, 1.0, True),
        (99, 1.0, False),
        (0, 0.0, True),
    ],
)
def test_a_patch_exactly_at_the_least_valid_fraction_is_kept(counted: int, min_valid: float, kept: bool) -> None:
    mask = (np.arange(100) < counted).reshape(10, 10)
    found = flatten(cut_bands([Band(np.zeros((10, 10), np.uint8), mask)], 10, 10, PatchGrid(10, 10), min_valid))
    assert len(found) == kept


@settings(deadline=None)
@given(counted=st.integers(0, 256 * 256))
def test_the_threshold_is_met_by_the_fraction_that_a_patch_reports_in_float64(counted: int) -> None:
    mask = (np.arange(256 * 256) < counted).reshape(256, 256)
    band, fraction = Band(np.zeros((256, 256), np.uint8), mask), counted / 256**2
    assert len(flatten(cut_bands([band], 256, 256, PatchGrid(), fraction))) == 1
    assert len(flatten(cut_bands([band], 256, 256, PatchGrid(), np.nextafter(fraction, 2)))) == 0


@pytest.mark.parametrize("batch_nbytes", [1, 64 * 2, 64 * 2 * 3 + 1, 1 << 20])
def test_batches_are_small_in_order_and_never_empty(monkeypatch: pytest.MonkeyPatch, batch_nbytes: int) -> None:
    monkeypatch.setattr(cutting, "BATCH_NBYTES", batch_nbytes)
    stored, counted = make_scene(30, 90)
    grid = PatchGrid(8, 4)
    batches = list(cut_bands([Band(stored, counted)], 30, 90, grid, 0.5))
    assert flatten(iter(batches)) == cut_whole(stored, counted, grid, 0.5)
    assert min(len(batch.patches) for batch in batches) >= 1
    assert max(batch.patches.nbytes for batch in batches) <= max(batch_nbytes, 64 * 2)


@pytest.mark.parametrize(("size", "stride", "band"), [(32, 16, 10), (32, 50, 10), (8, 8, 40), (16, 4, 1), (10, 90, 7)])
def test_no_row_is_asked_for_before_a_patch_needs_it(size: int, stride: int, band: int) -> None:
    bands = Bands(*make_scene(300, 64), [band])
    for batch in cut_bands(bands, 300, 64, PatchGrid(size, stride), 0.0):
        needed = int(batch.rows[0]) + size
        assert needed <= bands.taken < needed + band


@pytest.mark.parametrize(("size", "stride"), [(32, 16), (32, 32), (32, 100), (32, 500)])
def test_memory_is_that_of_a_patch_and_a_band_however_high_the_scene(size: int, stride: int) -> None:
    band, width, height = 50, 20_000, 2000

    def bands() -> Iterator[Band]:
        for _ in range(height // band):
            yield Band(np.zeros((band, width), np.uint8), np.zeros((band, width), bool))

    tracemalloc.start()
    try:
        patches = sum(len(batch.rows) for batch in cut_bands(bands(), height, width, PatchGrid(size, stride), 0.5))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert patches == 0
    held = 2 * width * (size + band)
    coming = 2 * width * band
    # While rows are joined the old ones exist twice; a tenth for counts.
    assert peak < 1.1 * (2 * held + coming)
    assert peak < 0.2 * 2 * width * height
