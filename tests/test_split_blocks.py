"""Blocks: as a picture of every pixel shows them, the same ground in the same block, and room between splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.errors import SettingError
from sar_h5.splits import blocks as split_blocks
from sar_h5.splits.blocks import BlockGrid, choose_block_px, default_guard_px
from sar_h5.splits.groups import allocate_groups
from sar_h5.splits.scenes import SplitScene
from tests.split_places import make_places, make_scene

SIDE = st.integers(8, 70)
SCENES = st.lists(
    st.builds(lambda height, width, place: (height, width, place), SIDE, SIDE, st.tuples(st.integers(-40, 40), st.integers(-40, 40))),
    min_size=1, max_size=3,
)  # fmt: skip
WANTED = {1: 0.5, 2: 0.3, 3: 0.2}


def split(grid: BlockGrid, seed: int) -> dict[str, int]:
    return allocate_groups(grid.weights(), {1: 1.0} if len(grid.weights()) < 9 else WANTED, seed, "blocks")


@given(SCENES, st.integers(2, 8), st.integers(8, 30), st.integers(0, 9), st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_a_patch_belongs_to_a_split_where_it_and_its_margin_see_no_other(
    sizes: list[tuple[int, int, tuple[int, int]]], size: int, block_px: int, guard_px: int, seed: int
) -> None:
    scenes = [make_scene(str(n), height, width, place=place) for n, (height, width, place) in enumerate(sizes)]
    grid = BlockGrid(scenes, size, block_px)
    try:
        codes = split(grid, seed)
    except SettingError:
        return  # too few blocks that hold a patch
    pixels = BlockGrid(scenes, 1, block_px)
    picture = np.zeros((400, 400), dtype=np.uint8)  # the ground, from (-100, -100) on; 0 where no scene is
    corners = {scene.name: (scene.lattice.row + 460_100, scene.lattice.col - 49_900) for scene in scenes}
    for scene in scenes:
        y, x = (axis.ravel() for axis in np.mgrid[: scene.height, : scene.width])
        found = pixels.codes_of(scene, codes, y, x, 0).reshape(scene.height, scene.width)
        assert found.min() > 0
        top, left = corners[scene.name]
        seen = picture[top : top + scene.height, left : left + scene.width]
        assert np.isin(seen[seen != found], 0).all()  # the same ground in the same block
        picture[top : top + scene.height, left : left + scene.width] = found
    margin = (guard_px + 1) // 2
    placed = []
    for scene in scenes:
        places = make_places([scene], size, 3)
        found = grid.codes_of(scene, codes, places.row, places.col, guard_px)
        top, left = corners[scene.name]
        for code, y, x in zip(found.tolist(), (places.row + top).tolist(), (places.col + left).tolist(), strict=True):
            window = picture[y - margin : y + size + margin, x - margin : x + size + margin]
            around = set(np.unique(window).tolist())
            splits = around - {0}
            if code or 0 not in around:
                assert code == (splits.pop() if len(splits) == 1 else 0)
            # Else blocks that reach beyond the scenes may be in the way, where no pixel of the picture shows them.
            placed.append((code, y, x))
    rows = np.array(placed)
    for one in rows[rows[:, 0] > 0]:
        others = rows[(rows[:, 0] > 0) & (rows[:, 0] != one[0])]
        gaps = np.abs(others[:, 1:] - one[1:]).max(axis=1, initial=0) - size
        assert gaps.min(initial=guard_px) >= guard_px


def test_blocks_cover_a_scene_evenly_and_leave_no_sliver() -> None:
    grid = BlockGrid([make_scene("a", 1030, 2070)], 32, 512)
    weights = grid.weights()
    assert len(weights) == 2 * 4
    assert sum(weights.values()) == 1030 * 2070
    assert min(weights.values()) > 0.95 * max(weights.values())


def test_pieces_too_small_for_a_patch_weigh_nothing() -> None:
    strip = make_scene("strip", 9, 500)
    assert set(BlockGrid([strip], 10, 50).weights().values()) == {0}
    assert set(BlockGrid([strip], 9, 50).weights().values()) == {9 * 50}


def test_scenes_without_a_common_lattice_have_blocks_of_their_own() -> None:
    assert len(BlockGrid([make_scene("a"), make_scene("b")], 10, 50).weights()) == 2 * 4
    assert len(BlockGrid([make_scene("a", place=(0, 0)), make_scene("b", place=(0, 0))], 10, 50).weights()) == 4


@pytest.mark.parametrize(("scenes", "block_px"), [(1, 512), (5, 1024), (20, 2048), (60, 2048)])
def test_blocks_are_large_where_there_are_enough_of_them(scenes: int, block_px: int) -> None:
    shape = (16_000, 25_000) if scenes == 60 else (2100, 2100)
    assert choose_block_px([make_scene(str(number), *shape) for number in range(scenes)], 256) == block_px


def test_blocks_never_get_smaller_than_two_patches() -> None:
    assert choose_block_px([make_scene("a", 600, 600)], 256) == 512
    assert choose_block_px([], 256) == 512


def test_the_guard_is_a_quarter_of_a_patch() -> None:
    assert [default_guard_px(size) for size in (256, 32, 1)] == [64, 8, 1]


def test_far_too_many_blocks_are_refused_before_any_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SettingError, match="blocks of 1 px would be 100,000,000,000,000, more than 1,000,000; choose larger"
    ):
        BlockGrid([SplitScene("a", 10_000_000, 10_000_000, "", "", (np.nan,) * 6)], 1, 1)
    monkeypatch.setattr(split_blocks, "MOST_BLOCKS", 4)
    BlockGrid([make_scene("a")], 10, 50)


def test_scenes_far_apart_take_no_more_than_close_ones() -> None:
    scenes = [make_scene("a", place=(0, 0)), make_scene("b", place=(500_000_000, 500_000_000))]
    assert 8 <= len(BlockGrid(scenes, 10, 50).weights()) <= 24
