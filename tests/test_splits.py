"""Who trains on what: groups stay together, polarizations agree, and what cannot be split soundly is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5 import BlockSplit, DateSplit, PatchSplit, SceneSplit
from sar_h5.errors import SettingError
from sar_h5.splits.methods import METHODS, SplitMethod
from sar_h5.splits.planning import plan_split, utc_day
from sar_h5.splits.scenes import PatchPlaces, merge_scenes
from sar_h5.splits.shared_pixels import count_shared_pixels
from tests.split_places import lose_places, make_places, make_scene, recover_lost

SCENES = [make_scene(f"scene {number}", 100 + number, day=1 + number // 3) for number in range(12)]


def assign(method: SplitMethod, **files: PatchPlaces) -> dict[str, np.ndarray]:
    plan = plan_split(method, merge_scenes(files), files)
    return {path: plan.assign(places) for path, places in files.items()}


def assert_no_pixel_is_shared(codes: np.ndarray, places: PatchPlaces) -> None:
    shared = count_shared_pixels(codes, places.scene, places.row, places.col, places.patch_size)
    assert sum(shared.values()) == 0


@pytest.mark.parametrize("by", ["scene", "date", "block"])
@given(seed=st.integers(0, 1000), keep=st.floats(0.3, 1.0))
@settings(deadline=None, max_examples=15)
def test_polarizations_split_alike_one_by_one_whatever_the_filter_kept(by: str, seed: int, keep: float) -> None:
    method = METHODS[by](seed=seed)
    vv, vh = make_places(SCENES, keep=1.0), make_places(SCENES, keep=keep, seed=seed)
    one, other = assign(method, vv=vv)["vv"], assign(method, vh=vh)["vh"]
    place = dict(zip(zip(vv.scene, vv.row, vv.col, strict=True), one, strict=True))
    assert all(place[key] == code for key, code in zip(zip(vh.scene, vh.row, vh.col, strict=True), other, strict=True))
    assert_no_pixel_is_shared(one, vv)
    assert_no_pixel_is_shared(other, vh)


def test_patches_that_do_not_overlap_may_be_drawn_one_by_one_and_polarizations_agree() -> None:
    vv = make_places(SCENES, size=10, stride=10)
    vh = make_places(SCENES, size=10, stride=10, keep=0.5)
    one, other = assign(PatchSplit(), vv=vv)["vv"], assign(PatchSplit(), vh=vh)["vh"]
    place = dict(zip(zip(vv.scene, vv.row, vv.col, strict=True), one, strict=True))
    assert all(place[key] == code for key, code in zip(zip(vh.scene, vh.row, vh.col, strict=True), other, strict=True))
    assert np.bincount(one, minlength=4) / len(one) == pytest.approx([0, 0.8, 0.1, 0.1], abs=0.03)
    assert_no_pixel_is_shared(one, vv)


def test_scenes_and_days_stay_together() -> None:
    places = make_places(SCENES)
    by_scene, by_date = (assign(kind(), a=places)["a"] for kind in (SceneSplit, DateSplit))
    for number, scene in enumerate(SCENES):
        assert len(np.unique(by_scene[places.scene == number])) == 1
        same_day = np.isin(places.scene, [k for k, other in enumerate(SCENES) if utc_day(other) == utc_day(scene)])
        assert len(np.unique(by_date[same_day])) == 1
    for codes in (by_scene, by_date):
        assert set(codes.tolist()) == {1, 2, 3}


def test_a_day_is_one_in_utc() -> None:
    times = {
        "2021-01-19T23:59:59": "2021-01-19", "2021-01-19T23:59:59.999Z": "2021-01-19",
        "2021-01-20T00:30:00+01:00": "2021-01-19", "2021-01-19": "2021-01-19",
    }  # fmt: skip
    for time, day in times.items():
        assert utc_day(dataclasses.replace(SCENES[0], start_time=time)) == day
    for time in ("", "yesterday"):
        with pytest.raises(SettingError, match="by date needs the start time of every scene; that of scene 0"):
            utc_day(dataclasses.replace(SCENES[0], start_time=time))


def test_the_same_ground_at_another_date_is_in_the_same_split() -> None:
    scenes = [make_scene(f"date {day}", 200, 240, day, place=(7 * day, -3 * day)) for day in range(1, 5)]
    places = make_places(scenes)
    codes = assign(BlockSplit(block_px=40), a=places)["a"]
    row = places.row + np.array([7 * (k + 1) for k in range(4)])[places.scene]
    col = places.col - np.array([3 * (k + 1) for k in range(4)])[places.scene]
    assert set(codes.tolist()) == {0, 1, 2, 3}
    assert sum(count_shared_pixels(codes, np.zeros_like(row), row, col, 10).values()) == 0


def test_blocks_leave_nothing_open_and_a_wider_guard_costs_more() -> None:
    places = make_places(SCENES[:1])
    scenes = merge_scenes({"a": places})
    plan = plan_split(BlockSplit(), scenes, {"a": places})
    assert plan.method == BlockSplit(block_px=20, guard_px=3)
    again = plan_split(plan.method, scenes, {"a": places})
    assert np.array_equal(plan.assign(places), again.assign(places))
    unused = [
        int((plan_split(BlockSplit(block_px=30, guard_px=guard), scenes, {"a": places}).assign(places) == 0).sum())
        for guard in (0, 6, 12)
    ]
    assert unused == sorted(unused)
    assert unused[0] < unused[2]


def test_scenes_of_unknown_size_count_alike() -> None:
    places = lose_places(make_places(SCENES))
    for method in (SceneSplit(), DateSplit((0.5, 0.25, 0.25))):
        codes = assign(method, a=places)["a"]
        assert set(codes.tolist()) == {1, 2, 3}
    assert np.bincount(
        [assign(SceneSplit((0.5, 0.25, 0.25)), a=places)["a"][places.scene == k][0] for k in range(12)]
    ).tolist() == [0, 6, 3, 3]


def test_lost_places_are_split_by_scene_or_forced() -> None:
    places = lose_places(make_places(SCENES[:3]))
    with pytest.raises(
        SettingError, match=r"by block needs to know where patches lie; .* have lost their places.*split by scene"
    ):
        assign(BlockSplit(), a=places)
    with pytest.raises(SettingError, match="sound only where patches share no pixel, needs to know where patches lie"):
        assign(PatchSplit(), a=places)
    forced = assign(PatchSplit(forced=True), a=places)["a"]
    assert np.bincount(forced, minlength=4) / len(forced) == pytest.approx([0, 0.8, 0.1, 0.1], abs=0.05)


@pytest.mark.parametrize("keep", [1.0, 0.4, 0.15])
def test_recovered_places_are_split_by_block_without_a_shared_pixel(keep: float) -> None:
    places = make_places([make_scene("one", 200, 300), make_scene("other", 180, 220)], keep=keep, seed=3)
    recovered = recover_lost(places)
    codes = assign(BlockSplit((0.5, 0.25, 0.25), block_px=50), a=recovered)["a"]
    assert {1, 2, 3} <= set(codes.tolist())
    assert_no_pixel_is_shared(codes, places)
    assert_no_pixel_is_shared(codes, recovered)
    assert not codes[~recovered.known].any()
    assert codes[recovered.known].astype(bool).mean() > 0.3
    assert (recovered.loose_ends > 0) == (keep < 1)
    if keep < 1:
        with pytest.raises(SettingError, match="needs to know where patches lie"):
            assign(PatchSplit(), a=recovered)


def test_recovered_places_are_not_compared_between_files_nor_weighed_by_scene() -> None:
    vv, vh = (recover_lost(make_places(SCENES, keep=keep, seed=5)) for keep in (0.9, 0.5))
    with pytest.raises(SettingError, match=r"nothing tells how they lie to those of other files; split the files one"):
        assign(BlockSplit(), vv=vv, vh=vh)
    one, other = assign(SceneSplit(seed=4), vv=vv)["vv"], assign(SceneSplit(seed=4), vh=vh)["vh"]
    assert [one[vv.scene == k][0] for k in range(12)] == [other[vh.scene == k][0] for k in range(12)]


def test_recovered_places_of_which_none_is_known_are_split_by_scene() -> None:
    places = recover_lost(make_places(SCENES[:2], size=10, stride=10))
    assert not places.known.any()
    with pytest.raises(SettingError, match=r"by block needs to know where patches lie"):
        assign(BlockSplit(), a=places)


def test_overlapping_patches_are_not_drawn_one_by_one_unless_forced() -> None:
    places = make_places(SCENES[:2])
    with pytest.raises(SettingError, match=r"patches overlap, so that .* validation and test.*--by scene.*--force"):
        assign(PatchSplit(), a=places)
    codes = assign(PatchSplit(forced=True), a=places)["a"]
    assert sum(count_shared_pixels(codes, places.scene, places.row, places.col, 10).values()) > 0


def test_blocks_that_cannot_hold_a_patch_and_unequal_patches_are_refused() -> None:
    small, large = make_places(SCENES), make_places(SCENES, size=20)
    with pytest.raises(
        SettingError, match=r"blocks of at least 14 px, a patch of 10 px and the guard of 4 px; found 13 px"
    ):
        assign(BlockSplit(block_px=13, guard_px=4), a=small)
    with pytest.raises(SettingError, match=r"patches of one size .* by block; found 10 px in a, 20 px in b"):
        assign(BlockSplit(), a=small, b=large)
    assert set(assign(SceneSplit(), a=small, b=large)["b"].tolist()) == {1, 2, 3}
    unsized = dataclasses.replace(small, scenes=(dataclasses.replace(SCENES[0], height=-1), *SCENES[1:]))
    with pytest.raises(
        SettingError, match="a: splitting by block needs the size of every scene; that of scene 0 is unknown"
    ):
        assign(BlockSplit(), a=unsized)


def test_files_of_different_scenes_are_split_as_one() -> None:
    vv, vh = make_places(SCENES), make_places(SCENES[::-1][:8])
    codes = assign(SceneSplit(), vv=vv, vh=vh)
    split_of = {SCENES[k].name: code for k, code in zip(vv.scene, codes["vv"], strict=True)}
    assert all(split_of[vh.scenes[k].name] == code for k, code in zip(vh.scene, codes["vh"], strict=True))
