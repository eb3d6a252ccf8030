"""Pixels in two splits: counted as a picture of every pixel counts them, however patches lie."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.splits import shared_pixels
from sar_h5.splits.scenes import PatchPlaces, SplitScene
from sar_h5.splits.shared_pixels import PAIRS, any_overlap, count_shared_pixels

PATCHES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-1, 60), st.integers(0, 60)), max_size=40
)


def columns(patches: list[tuple[int, int, int, int]]) -> tuple[np.ndarray, ...]:
    codes, scene, row, col = np.array(patches, dtype=np.int64).reshape(-1, 4).T
    return codes.astype(np.uint8), scene, row, col


def paint(
    codes: np.ndarray, scene: np.ndarray, row: np.ndarray, col: np.ndarray, size: int
) -> dict[tuple[int, int], int]:
    """Count on a picture of every scene."""
    picture = np.zeros((3, 4, 100, 100), dtype=bool)
    for code, number, y, x in zip(codes, scene, row, col, strict=True):
        picture[number, code, y + 1 : y + 1 + size, x : x + size] = True
    return {(one, other): int((picture[:, one] & picture[:, other]).sum()) for one, other in PAIRS}


@given(PATCHES, st.integers(1, 30), st.sampled_from([1, 2, 30, 1 << 16]))
@settings(deadline=None)
def test_the_count_is_that_of_a_picture(patches: list[tuple[int, int, int, int]], size: int, most_cells: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_pixels, "MOST_CELLS", most_cells)
        assert count_shared_pixels(*columns(patches), size) == paint(*columns(patches), size)


@given(PATCHES, st.integers(1, 30))
@settings(deadline=None)
def test_overlap_is_found_as_by_comparing_all_pairs(patches: list[tuple[int, int, int, int]], size: int) -> None:
    _, scene, row, col = columns(patches)
    near = np.abs(row[:, None] - row) < size
    near &= (np.abs(col[:, None] - col) < size) & (scene[:, None] == scene) & ~np.eye(len(row), dtype=bool)
    near &= (row[:, None] >= 0) & (row >= 0)
    scenes = tuple(SplitScene(str(number), 99, 99, "", "", (np.nan,) * 6) for number in range(3))
    assert any_overlap(PatchPlaces(scenes, scene, row, col, size)) == near.any()


def test_squares_of_known_overlap() -> None:
    codes = np.array([1, 2, 3], dtype=np.uint8)
    row, col = np.array([0, 5, 9]), np.array([0, 5, 9])
    assert count_shared_pixels(codes, np.zeros(3, dtype=np.int64), row, col, 10) == {(1, 2): 25, (1, 3): 1, (2, 3): 36}
    assert count_shared_pixels(codes, np.arange(3), row, col, 10) == dict.fromkeys(PAIRS, 0)
    assert count_shared_pixels(codes, np.zeros(3, dtype=np.int64), row * 2, col * 2, 10) == {
        (1, 2): 0,
        (1, 3): 0,
        (2, 3): 4,
    }


def test_a_full_size_file_takes_a_moment_and_little_memory() -> None:
    row, col = (axis.ravel() for axis in np.mgrid[0:16_400:128, 0:25_600:128])
    scenes = 720_953 // len(row)
    scene = np.repeat(np.arange(scenes), len(row))
    codes = np.random.default_rng(0).integers(0, 4, len(scene)).astype(np.uint8)
    started = time.perf_counter()
    shared = count_shared_pixels(codes, scene, np.tile(row, scenes), np.tile(col, scenes), 256)
    assert time.perf_counter() - started < 5  # 0.25 s on a machine that does nothing else
    assert min(shared.values()) > 0.1 * scenes * 16_400 * 25_600


def test_hostile_places_take_bounded_memory() -> None:
    generator = np.random.default_rng(0)
    row, col = generator.integers(0, 2**31 - 2000, (2, 20_000))
    codes = generator.integers(1, 4, 20_000).astype(np.uint8)
    tracemalloc.start()
    try:
        count_shared_pixels(codes, np.zeros(20_000, dtype=np.int64), row, col, 1000)
        # Their edges would make a table of 1.6 thousand million cells.
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
    assert (
        count_shared_pixels(codes[:2] * 0 + [1, 2], np.zeros(2, np.int64), np.array([0, 0]), np.array([0, 1]), 2**31)[
            1, 2
        ]
        == (2**31 - 1) * 2**31
    )  # type: ignore[arg-type]
