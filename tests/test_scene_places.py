"""Where scenes lie: by transform, by control points, or side by side."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.maps.scene_places import scenes_on_ground, scenes_side_by_side

UTM = (10.0, 0.0, 399_960.0, 0.0, -10.0, 4_200_000.0)
NONE = (np.nan,) * 6


def scenes(
    transforms: list[tuple[float, ...]], gcp_counts: list[int], sizes: list[tuple[int, int]]
) -> dict[str, np.ndarray]:
    heights, widths = zip(*sizes, strict=True)
    return {
        "transform": np.array(transforms), "crs": np.array(["UTM"] * len(sizes), dtype=object),
        "gcp_start": np.cumsum(gcp_counts) - gcp_counts, "gcp_count": np.array(gcp_counts),
        "gcp_crs": np.array(["WGS"] * len(sizes), dtype=object), "height": np.array(heights), "width": np.array(widths),
    }  # fmt: skip


def corners(*, west: float) -> np.ndarray:
    return np.array([[row, col, west + col / 50, 10 - row / 100, 0] for row in (0, 100) for col in (0, 200)])


def test_an_outline_goes_through_the_corners_that_the_transform_gives() -> None:
    (place,) = scenes_on_ground(scenes([UTM], [0], [(100, 200)]), np.zeros((0, 5)))
    outline = place.outline()
    assert outline[::16].tolist() == [[399960, 4200000], [401960, 4200000], [401960, 4199000], [399960, 4199000]]
    assert (outline.min(axis=0), outline.max(axis=0)) == (
        pytest.approx([399960, 4199000]),
        pytest.approx([401960, 4200000]),
    )
    assert place.boxes([10], [20], 3, 5).tolist() == [
        [[400160, 4199900], [400210, 4199900], [400210, 4199870], [400160, 4199870]]
    ]


def test_each_scene_takes_its_own_control_points_and_those_without_are_left_out() -> None:
    gcps = np.concatenate([corners(west=5), corners(west=8)])
    table = scenes([NONE, (0.0,) * 6, NONE, UTM], [4, 0, 4, 0], [(100, 200)] * 3 + [(-1, -1)])
    places = scenes_on_ground(table, gcps)
    assert [(place.scene, place.crs) for place in places] == [(0, "WGS"), (2, "WGS")]
    assert places[1].outline()[::16].tolist() == [[8, 10], [12, 10], [12, 9], [8, 9]]


def test_longitudes_of_control_points_do_not_jump_at_the_date_line() -> None:
    gcps = corners(west=178)
    gcps[gcps[:, 2] > 180, 2] -= 360
    (place,) = scenes_on_ground(scenes([NONE], [4], [(100, 200)]), gcps)
    assert place.mapping([50], [100]).tolist() == [[180, 9.5]]


def test_scenes_side_by_side_do_not_touch() -> None:
    sizes = [(100, 60), (-1, 20), (40, 80), (100, 80), (30, 30), (90, 10)]
    places = scenes_side_by_side(scenes([NONE] * 6, [0] * 6, sizes))
    assert [place.scene for place in places] == [0, 2, 3, 4, 5]
    boxes = [(place.outline().min(axis=0), place.outline().max(axis=0)) for place in places]
    assert [(high - low).tolist() for low, high in boxes] == [[w, h] for h, w in sizes if h > 0]
    for number, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[number + 1 :]:
            assert ((low > other_high) | (other_low > high)).any()
    assert scenes_side_by_side(scenes([NONE], [0], [(-1, -1)])) == []
