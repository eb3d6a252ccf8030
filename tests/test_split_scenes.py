"""What splitting knows of scenes: the grid of pixels on the ground, the runs of patches, and scenes of several files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sar_h5.errors import FormatError
from sar_h5.splits.scenes import PatchPlaces, SplitScene, merge_scenes, patch_places
from tests.split_places import NOWHERE, UTM, make_places, make_scene


def scene_at(*transform: float, crs: str = "EPSG:32633") -> SplitScene:
    return SplitScene("a", 10, 10, "", crs, transform)


def test_coregistered_scenes_lie_in_one_lattice() -> None:
    one, other = make_scene("a", place=(0, 0)).lattice, make_scene("b", place=(-7, 12)).lattice
    assert one.key == other.key
    assert (other.row - one.row, other.col - one.col) == (-7, 12)


@pytest.mark.parametrize("phase", [0.0, 0.5])
def test_rounding_moves_no_scene_by_a_pixel(phase: float) -> None:
    step = 0.000089831528412  # degrees, 10 m; no power of two
    places = [scene_at(step, 0, (k + phase) * step, 0, -step, -(k + phase) * step).lattice for k in range(1000, 2000)]
    assert [place.col for place in places] == list(range(1000, 2000))
    assert [place.row for place in places] == list(range(1000, 2000))


@pytest.mark.parametrize(
    "transform",
    [
        (*NOWHERE,),
        (10.0, 0.1, 0.0, 0.0, -10.0, 0.0),
        (10.0, 0.0, 0.0, 0.1, -10.0, 0.0),
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (1e-300, 0.0, 1e300, 0.0, 1.0, 0.0),
        (1.0, 0.0, 1e15, 0.0, 1.0, 0.0),
        (np.inf, 0.0, 0.0, 0.0, 1.0, 0.0),
    ],
)
def test_scenes_without_a_straight_transform_have_a_lattice_of_their_own(transform: tuple[float, ...]) -> None:
    with np.errstate(over="ignore"):
        place = scene_at(*transform).lattice
    assert (place.key, place.row, place.col) == ("scene\0a", 0, 0)


def test_another_pixel_size_or_system_is_another_lattice() -> None:
    keys = {
        scene_at(*UTM).lattice.key,
        scene_at(20.0, *UTM[1:]).lattice.key,
        scene_at(*UTM, crs="EPSG:32634").lattice.key,
    }
    assert len(keys | {scene_at(*UTM, crs="").lattice.key}) == 4


def test_runs_give_each_scene_its_patches_in_whatever_order() -> None:
    places = make_places([make_scene("a"), make_scene("none", height=5), make_scene("c")], keep=0.5)
    order = np.random.default_rng(0).permutation(len(places.scene))
    shuffled = PatchPlaces(places.scenes, places.scene[order], places.row[order], places.col[order], 10)
    for own in (places, shuffled):
        runs = dict(own.runs())
        assert [scene.name for scene in runs] == ["a", "none", "c"]
        assert sorted(np.concatenate(list(runs.values())).tolist()) == list(range(len(own.scene)))
        assert all((own.scene[numbers] == k).all() for k, numbers in enumerate(runs.values()))


def test_patches_of_no_scene_are_refused() -> None:
    scenes = {name: np.array([]) for name in ("name", "height", "width", "start_time", "crs", "transform")}
    index = {name: np.array([0]) for name in ("scene", "row", "col")}
    with pytest.raises(FormatError, match="scene numbers from 0 to -1"):
        patch_places(index, scenes, 10)


def test_scenes_of_several_files_are_one_each_and_must_agree() -> None:
    vv, vh = (
        make_places([make_scene("a"), make_scene("b")]),
        make_places([make_scene("b"), make_scene("c", place=(0, 0))]),
    )
    assert sorted(merge_scenes({"vv": vv, "vh": vh})) == ["a", "b", "c"]
    for change in ({"height": 99}, {"transform": UTM}, {"crs": "x"}):
        other = dataclasses.replace(vh, scenes=(dataclasses.replace(vh.scenes[0], **change), vh.scenes[1]))
        with pytest.raises(FormatError, match="scene b: expected the same size and transform in vv and vh"):
            merge_scenes({"vv": vv, "vh": other})
