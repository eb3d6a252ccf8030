"""Which scenes cover the same ground, by transforms and by ground control points."""

from __future__ import annotations

import time

import numpy as np
import pytest

from sar_h5.splits import footprints
from sar_h5.splits.footprints import Footprints, scene_footprints

WKT = "EPSG:32633"


def quad(x: float, y: float, width: float = 10, height: float = 10, turn: float = 0.0) -> np.ndarray:
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=float)
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return turned + np.array([x, y])


def pairs(*quads: np.ndarray, crs: tuple[str, ...] | None = None) -> list[list[int]]:
    found = Footprints(crs or (WKT,) * len(quads), np.array(quads)).pairs()
    assert found is not None
    return found.tolist()


def test_scenes_meet_where_they_share_ground() -> None:
    assert pairs(quad(0, 0), quad(5, 5), quad(100, 100), quad(14, 14)) == [[0, 1], [1, 3]]
    assert pairs(quad(0, 0), quad(0, 0), quad(0, 0)) == [[0, 1], [0, 2], [1, 2]]
    assert pairs(quad(0, 0, 100, 100), quad(40, 40, 1, 1)) == [[0, 1]]


def test_slices_that_touch_do_not_meet() -> None:
    assert pairs(quad(0, 0), quad(10, 0), quad(0, 10)) == []
    assert pairs(quad(0, 0), quad(9.95, 0)) == []
    assert pairs(quad(0, 0), quad(9.5, 0)) == [[0, 1]]


def test_turned_scenes_are_told_apart_where_their_boxes_overlap() -> None:
    tilted, beside = quad(0, 0, 100, 10, np.pi / 4), quad(20, 0, 100, 10, np.pi / 4)
    assert pairs(tilted, beside) == []
    assert pairs(tilted, quad(5, 0, 100, 10, np.pi / 4)) == [[0, 1]]
    assert pairs(tilted[::-1], quad(5, 0, 100, 10, np.pi / 4)) == [[0, 1]]


def test_other_systems_and_unknown_places_do_not_meet() -> None:
    assert pairs(quad(0, 0), quad(0, 0), crs=(WKT, "EPSG:4326")) == []
    assert pairs(quad(0, 0), quad(0, 0), crs=("", "")) == []
    assert pairs(quad(0, 0), np.full((4, 2), np.nan)) == []
    found = Footprints((), np.zeros((0, 4, 2))).pairs()
    assert found is not None
    assert found.shape == (0, 2)


def test_as_many_scenes_as_are_compared_take_a_moment_and_more_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    count = footprints.MOST_SCENES
    tiles = np.array([quad(10 * (number % 40), 10 * (number // 40)) for number in range(count)])
    started = time.perf_counter()
    found = Footprints((WKT,) * count, tiles).pairs()
    assert time.perf_counter() - started < 5
    assert found is not None
    assert len(found) == 0
    monkeypatch.setattr(footprints, "MOST_SCENES", 1)
    assert Footprints((WKT,) * 2, tiles[:2]).pairs() is None


def columns(**given: list[object]) -> dict[str, np.ndarray]:
    count = len(next(iter(given.values())))
    defaults = {
        "name": [""],
        "height": [100],
        "width": [200],
        "crs": [""],
        "gcp_crs": [""],
        "gcp_start": [0],
        "gcp_count": [0],
    }
    table = {name: np.array(given.get(name, value * count), dtype=object) for name, value in defaults.items()}
    return {**table, "transform": np.array(given.get("transform", [[np.nan] * 6] * count), dtype=float)}


def test_corners_come_from_the_transform_or_the_outermost_points() -> None:
    gcps = np.array([(row, col, 10 + col / 10, 50 - row / 10, 3.0) for row in (0, 50, 100) for col in (0, 100, 200)])
    scenes = columns(
        crs=[WKT, "", "", WKT], transform=[(10, 0, 500, 0, -10, 900), *[[np.nan] * 6] * 3],
        gcp_crs=["", "EPSG:4326", "EPSG:4326", ""], gcp_start=[0, 0, 0, 0], gcp_count=[0, 9, 2, 0],
    )  # fmt: skip
    found = scene_footprints(scenes, gcps)
    assert found.crs == (WKT, "EPSG:4326", "", "")
    np.testing.assert_allclose(found.corners[0], [(500, 900), (2500, 900), (2500, -100), (500, -100)])
    np.testing.assert_allclose(found.corners[1], [(10, 50), (30, 50), (30, 40), (10, 40)])
    assert np.isnan(found.corners[2:]).all()


@pytest.mark.parametrize(("start", "count"), [(-5, 9), (0, 1 << 40), (1 << 40, 9), (-1 << 40, -3)])
def test_a_ragged_table_with_hostile_rows_is_no_way_out_of_it(start: int, count: int) -> None:
    scenes = columns(gcp_crs=["EPSG:4326"], gcp_start=[start], gcp_count=[count])
    assert scene_footprints(scenes, np.ones((4, 5))).corners.shape == (1, 4, 2)
