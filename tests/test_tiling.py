"""The patch grid: exact cover, and how much of each patch counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.errors import SettingError
from sar_h5.tiling import Edge, PatchGrid, count_true, window_starts

lengths = st.integers(0, 200)
sizes = st.integers(1, 40)


def test_the_default_grid_overlaps_by_half() -> None:
    assert (PatchGrid().patch_size, PatchGrid().stride) == (256, 128)
    assert list(PatchGrid().starts(600)) == [0, 128, 256]


@given(length=lengths, size=sizes, stride=sizes)
def test_starts_are_all_multiples_of_the_stride_where_a_patch_fits(length: int, size: int, stride: int) -> None:
    expected = [start for start in range(length) if start % stride == 0 and start + size <= length]
    assert list(PatchGrid(size, stride).starts(length)) == expected


@given(length=lengths, size=sizes)
def test_without_overlap_every_pixel_but_the_remainder_is_covered_once(length: int, size: int) -> None:
    covered = np.zeros(length, dtype=int)
    for start in PatchGrid(size, size).starts(length):
        covered[start : start + size] += 1
    assert (covered[: length // size * size] == 1).all()
    assert (covered[length // size * size :] == 0).all()


@given(length=lengths, size=sizes, stride=sizes)
def test_with_overlap_no_pixel_is_left_out_before_the_last_patch_ends(length: int, size: int, stride: int) -> None:
    grid = PatchGrid(size, min(size, stride))
    starts = grid.starts(length)
    covered = {pixel for start in starts for pixel in range(start, start + size)}
    assert covered == set(range(starts[-1] + size if starts else 0))
    assert length - len(covered) < max(grid.stride, size)


@given(height=lengths, width=lengths, size=sizes, stride=sizes)
def test_the_count_is_that_of_all_corners(height: int, width: int, size: int, stride: int) -> None:
    grid = PatchGrid(size, stride)
    corners = [(row, col) for row in grid.starts(height) for col in grid.starts(width)]
    assert grid.count(height, width) == len(corners)


@pytest.mark.parametrize("length", [0, 1, 255])
def test_an_axis_shorter_than_a_patch_holds_none(length: int) -> None:
    assert len(PatchGrid().starts(length)) == 0
    assert PatchGrid().count(1000, length) == 0


@pytest.mark.parametrize("value", [0, -1])
def test_sizes_below_one_pixel_are_refused(value: int) -> None:
    with pytest.raises(SettingError, match=f"the patch size must be at least 1 pixel; found {value}"):
        PatchGrid(patch_size=value)
    with pytest.raises(SettingError, match=f"the stride must be at least 1 pixel; found {value}"):
        PatchGrid(stride=value)


@given(size=sizes, extra=st.integers(0, 60), seed=st.integers(0, 2**32), share=st.floats(0, 1), data=st.data())
def test_counts_equal_those_of_each_patch_alone(
    size: int, extra: int, seed: int, share: float, data: st.DataObject
) -> None:
    mask = np.random.default_rng(seed).random((size, size + extra)) < share
    cols = data.draw(st.lists(st.integers(0, extra), max_size=8))  # in any order, also twice
    counts = count_true(mask, size, np.array(cols, dtype=np.int32))
    assert counts.dtype == np.int64
    assert counts.tolist() == [int(mask[:, col : col + size].sum()) for col in cols]


def test_counts_of_the_widest_scenes_do_not_overflow() -> None:
    mask = np.ones((512, 80_000), dtype=bool)
    counts = count_true(mask, 512, np.array([0, 80_000 - 512], dtype=np.int32))
    assert counts.tolist() == [512 * 512] * 2


@given(size=st.integers(1, 40), stride=st.integers(1, 40), length=st.integers(1, 200))
def test_windows_cover_every_pixel_unless_the_edge_is_dropped(size: int, stride: int, length: int) -> None:
    grid = PatchGrid(size, stride)
    dropped = window_starts(grid, length, "drop").tolist()
    assert dropped == list(grid.starts(length))
    for edge in ("shift", "pad"):
        starts = window_starts(grid, length, edge)
        assert starts[: len(dropped)].tolist() == dropped
        assert len(starts) - len(dropped) in (0, 1)
        assert (np.diff(starts) > 0).all()
        if stride <= size:
            covered = np.zeros(length + size, dtype=bool)
            for start in starts:
                covered[start : start + size] = True
            assert covered[:length].all()
        if edge == "shift" and length >= size:
            assert starts[-1] + size == length


@pytest.mark.parametrize(
    ("edge", "length", "starts"),
    [
        ("drop", 10, [0, 3]), ("shift", 10, [0, 3, 4]), ("pad", 10, [0, 3, 6]),
        ("drop", 9, [0, 3]), ("shift", 9, [0, 3]), ("pad", 9, [0, 3]),
        ("drop", 5, []), ("shift", 5, [0]), ("pad", 5, [0]),
    ],
)  # fmt: skip
def test_the_last_window_is_dropped_moved_or_sticks_out(edge: Edge, length: int, starts: list[int]) -> None:
    assert window_starts(PatchGrid(6, 3), length, edge).tolist() == starts
