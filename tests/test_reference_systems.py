"""Scenes in one reference system."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.warp import transform

from sar_h5.errors import FormatError
from sar_h5.maps.gcp_mapping import AffineMapping
from sar_h5.maps.reference_systems import in_one_system, is_geographic, system_name
from sar_h5.maps.scene_places import ScenePlace


def place(
    scene: int, crs: str, *, west: float = 500_000.0, north: float = 4_200_000.0, step: float = 10.0
) -> ScenePlace:
    return ScenePlace(scene, 100, 100, crs, AffineMapping((step, 0, west, 0, -step, north)))


def test_scenes_of_one_system_stay_as_they_are() -> None:
    places = [place(0, "EPSG:32632"), place(1, "EPSG:32632")]
    assert in_one_system(places) == places
    unknown = [place(0, "")]
    assert in_one_system(unknown) == unknown


def test_scenes_of_several_systems_meet_in_longitude_and_latitude() -> None:
    places = [place(0, "EPSG:32632"), place(1, ""), place(2, "EPSG:32633")]
    found = in_one_system(places)
    assert [(one.scene, is_geographic(one.crs)) for one in found] == [(0, True), (2, True)]
    for one, before in ((found[0], places[0]), (found[1], places[2])):
        xs, ys = before.outline().T
        expected = np.array(transform(before.crs, "EPSG:4326", xs.tolist(), ys.tolist()))
        assert one.outline() == pytest.approx(expected.T)
    assert found[1].outline()[0, 0] - found[0].outline()[0, 0] == pytest.approx(
        6, abs=1e-6
    )  # zones are 6 degrees apart
    assert found[0].boxes([0, 1], [2, 3], 4, 4).shape == (2, 4, 2)


def test_longitudes_count_on_where_a_scene_lies_across_the_date_line() -> None:
    across, beyond = (
        place(0, "EPSG:4326", west=179.5, north=60, step=0.01),
        place(1, "EPSG:4326", west=-178, north=60, step=0.01),
    )
    found = in_one_system([across, beyond])
    assert found[0].outline()[16, 0] == pytest.approx(180.5)
    assert found[1].outline()[0, 0] == pytest.approx(182)
    assert in_one_system([beyond]) == [beyond]


def test_systems_have_names_and_nonsense_is_refused() -> None:
    assert system_name("EPSG:32632") == "WGS 84 / UTM zone 32N"
    assert (system_name(""), is_geographic("")) == ("", False)
    with pytest.raises(FormatError, match=r"expected the reference system of a scene as WKT, found 'moon'"):
        in_one_system([place(0, "moon")])
