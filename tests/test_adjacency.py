"""Places recovered from shared blocks: right up to an offset, or unknown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.adjacency import RecoveredPlaces, recover_places

Numbers = npt.NDArray[np.int64]


def cut(ground: Numbers, rows: Numbers, cols: Numbers, side: int) -> npt.NDArray[np.uint32]:
    """Return the blocks (n, k, k) of patches whose corners are given in blocks."""
    patches = [ground[row : row + side, col : col + side] for row, col in zip(rows, cols, strict=True)]
    return np.array(patches, dtype=np.uint32).reshape(-1, side, side)


def grid(height: int, width: int, side: int, step: int = 1) -> tuple[Numbers, Numbers]:
    """Return the corners of all patches of a ground of blocks, row by row."""
    rows, cols = np.mgrid[: height - side + 1 : step, : width - side + 1 : step]
    return rows.reshape(-1), cols.reshape(-1)


def unique_ground(height: int, width: int, seed: int = 0) -> Numbers:
    """Return a ground on which no block occurs twice."""
    return np.random.default_rng(seed).permutation(height * width * 3)[: height * width].reshape(height, width)


def check_right(found: RecoveredPlaces, rows: Numbers, cols: Numbers) -> None:
    """Within each component, places differ from the true ones by one offset; components do not touch."""
    for number in range(int(found.component.max(initial=-1)) + 1):
        own = np.flatnonzero(found.component == number)
        assert len(own) > 1
        assert len(np.unique(found.row[own] - rows[own])) == 1
        assert len(np.unique(found.col[own] - cols[own])) == 1
        assert found.col[own].min() == 0
    unknown = ~found.known
    assert (found.row[unknown] == -1).all()
    assert (found.col[unknown] == -1).all()
    assert (found.row[~unknown] >= 0).all()


@pytest.mark.parametrize("side", [2, 3, 4])
def test_all_patches_of_a_scene_find_their_places(side: int) -> None:
    rows, cols = grid(9, 12, side)
    found = recover_places(cut(unique_ground(9, 12), rows, cols, side))
    assert set(found.component) == {0}
    np.testing.assert_array_equal(found.row, rows)
    np.testing.assert_array_equal(found.col, cols)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    side=st.integers(2, 4),
    size=st.tuples(st.integers(4, 12), st.integers(4, 12)),
    share=st.floats(0.05, 1),
    flat=st.sampled_from([0.0, 0.0, 0.02, 0.1, 0.4]),
)
def test_places_are_right_or_unknown_whatever_was_dropped_shuffled_or_flat(
    seed: int, side: int, size: tuple[int, int], share: float, flat: float
) -> None:
    generator = np.random.default_rng(seed)
    ground = unique_ground(*size, seed)
    water = 3 * ground.size
    ground[generator.random(size) < flat] = water
    telling = np.arange(water + 1) != water  # as its content tells: two patches alone with it would be put side by side
    rows, cols = grid(*size, side)
    order = generator.permutation(len(rows))[: max(1, int(share * len(rows)))]
    rows, cols = rows[order], cols[order]
    found = recover_places(cut(ground, rows, cols, side), telling)
    check_right(found, rows, cols)
    # Patches that truly share ground are in one component, or not both known.
    touching = (abs(rows[:, None] - rows) < side) & (abs(cols[:, None] - cols) < side)
    both = found.known[:, None] & found.known
    assert (found.component[:, None] == found.component)[touching & both].all()
    if flat == 0:
        alone = touching.sum(axis=1) == 1
        np.testing.assert_array_equal(found.known, ~alone)


def test_patches_that_share_nothing_have_no_place() -> None:
    rows, cols = grid(8, 8, 2, step=2)
    found = recover_places(cut(unique_ground(8, 8), rows, cols, 2))
    assert not found.known.any()


def test_components_lie_below_each_other_a_patch_apart() -> None:
    ground = unique_ground(20, 20)
    rows, cols = np.array([10, 11, 2, 2]), np.array([4, 4, 7, 8])
    found = recover_places(cut(ground, rows, cols, 2))
    assert found.component.tolist() == [0, 0, 1, 1]
    assert found.row.tolist() == [0, 1, 5, 5]
    assert found.col.tolist() == [0, 0, 0, 1]


def test_flat_blocks_do_not_join_what_lies_apart() -> None:
    """Two islands in flat water: equal water at the corners of their patches must not put them side by side."""
    ground = np.full((12, 12), 999)
    ground[1:4, 1:4] = np.arange(9).reshape(3, 3)
    ground[7:10, 6:9] = 100 + np.arange(9).reshape(3, 3)
    rows, cols = np.array([0, 1, 2, 6, 7, 8, 8]), np.array([1, 1, 2, 7, 6, 6, 7])
    found = recover_places(cut(ground, rows, cols, 2))
    check_right(found, rows, cols)
    # Both islands have flat blocks, so that they might overlap there: the larger keeps its places.
    assert found.component.tolist() == [-1, -1, -1, 0, 0, 0, 0]


def test_one_equal_pair_of_blocks_at_two_places_is_outvoted() -> None:
    """A corner block that occurs at one other place would join two far corners of a scene; the rest says otherwise."""
    ground = unique_ground(10, 10)
    ground[9, 9] = ground[0, 0]
    rows, cols = grid(10, 10, 2)
    found = recover_places(cut(ground, rows, cols, 2))
    assert found.known.all()
    np.testing.assert_array_equal(found.row, rows)
    np.testing.assert_array_equal(found.col, cols)


def test_scenes_that_occur_twice_have_no_places() -> None:
    rows, cols = grid(5, 5, 2)
    ground = unique_ground(5, 5)
    found = recover_places(np.concatenate([cut(ground, rows, cols, 2)] * 2))
    assert not found.known.any()


def test_contradictions_leave_their_component_unknown_and_no_other() -> None:
    """Three patches, each to the right of the next, in a ring; beside a sound pair."""
    ring = np.array([[[1, 2], [3, 4]], [[2, 5], [4, 6]], [[5, 1], [6, 3]]])
    sound = np.array([[[11, 12], [13, 14]], [[12, 15], [14, 16]]])
    found = recover_places(np.concatenate([ring, sound]).astype(np.uint32))
    assert found.component.tolist() == [-1, -1, -1, 0, 0]
    assert found.col.tolist() == [-1, -1, -1, 0, 1]


def test_a_corner_that_contradicts_whole_sides_is_not_believed() -> None:
    patches = np.array([[[1, 2], [3, 4]], [[2, 5], [4, 6]], [[6, 1], [7, 3]]])
    found = recover_places(patches.astype(np.uint32))
    assert found.component.tolist() == [0, 0, 0]
    assert (found.row.tolist(), found.col.tolist()) == ([0, 0, 0], [1, 2, 0])


def test_nothing_gives_nothing() -> None:
    found = recover_places(np.empty((0, 2, 2), np.uint32))
    assert len(found.row) == len(found.col) == len(found.component) == 0
    assert not recover_places(np.zeros((1, 2, 2), np.uint32)).known.any()
    assert not recover_places(np.arange(3, dtype=np.uint32).reshape(3, 1, 1)).known.any()


def test_patches_of_a_large_scene_are_placed_in_seconds() -> None:
    rows, cols = grid(201, 131, 2)
    found = recover_places(cut(unique_ground(201, 131), rows, cols, 2))
    assert len(rows) == 26_000
    np.testing.assert_array_equal(found.row, rows)


def test_blocks_that_tell_nothing_by_their_content_join_nothing() -> None:
    """Two patches far apart have one block of water in common, each at another corner: nothing contradicts that."""
    patches = np.array([[[1, 2], [3, 9]], [[9, 5], [6, 7]], [[2, 20], [9, 21]]], np.uint32)
    telling = np.ones(22, np.bool_)
    assert recover_places(patches[:2]).component.tolist() == [0, 0]
    telling[9] = False
    assert not recover_places(patches[:2], telling).known.any()
    found = recover_places(patches, telling)
    assert found.component.tolist() == [0, -1, 0]
    assert (found.row.tolist(), found.col.tolist()) == ([0, -1, 0], [0, -1, 1])


def test_parts_that_only_a_disbelieved_corner_joins_are_not_placed_apart() -> None:
    """A ring that cannot be, and two pairs that hang together by one corner each, and by nothing else."""
    one, other = np.array([[[1, 2], [3, 4]], [[2, 5], [4, 6]]]), np.array([[[6, 11], [12, 13]], [[11, 14], [13, 15]]])
    third = np.array([[[15, 21], [22, 1]], [[21, 24], [1, 25]]])
    found = recover_places(np.concatenate([one, other, third]).astype(np.uint32))
    assert found.component.tolist() == [0, 0, -1, -1, -1, -1]


def test_a_large_shard_with_a_third_of_its_patches_missing_is_placed_in_seconds() -> None:
    generator = np.random.default_rng(0)
    rows, cols = grid(129, 129, 2)
    order = generator.permutation(len(rows))[: int(0.7 * len(rows))]
    ground = unique_ground(129, 129)
    water = ground[40:60, 30:90] = 129 * 129 * 3
    telling = np.ones(129 * 129 * 3 + 1, np.bool_)
    telling[water] = False
    rows, cols = rows[order], cols[order]
    found = recover_places(cut(ground, rows, cols, 2), telling)
    check_right(found, rows, cols)
    wet = (rows >= 40) & (rows < 59) & (cols >= 30) & (cols < 89)
    assert len(rows) == 11_468
    assert not found.known[wet].any()
    assert found.known[~wet].mean() > 0.999
