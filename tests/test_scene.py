from __future__ import annotations

import dataclasses
import math

import pytest

from sar_h5.schema import UNKNOWN
from sar_h5.sources.discovery import discover
from sar_h5.sources.scene import Georeference, RasterScene, SceneInfo, ShardScene
from tests.conftest import make_shards
from tests.raster_files import write_raster


def test_what_is_not_known_has_the_values_that_the_file_format_names() -> None:
    info = SceneInfo("scene", "scene-vv.npy", "vv")
    assert UNKNOWN == -1
    assert (info.height, info.width, info.orbit) == (-1, -1, -1)
    assert (info.platform, info.mode, info.product_type, info.start_time, info.orbit_pass) == ("",) * 5
    assert info.georeference == Georeference()
    assert len(info.georeference.transform) == 6
    assert all(math.isnan(value) for value in info.georeference.transform)


def test_facts_cannot_be_changed_by_accident() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="name"):
        SceneInfo("scene", "path", "vv").name = "other"  # type: ignore[misc]


def test_rasters_and_shards_keep_their_protocols(tmp_path) -> None:
    (tmp_path / "shards").mkdir()
    make_shards(tmp_path / "shards", "vv")
    write_raster(tmp_path / "a-vh.tif")
    inventory = discover([tmp_path])
    raster, shard = inventory.rasters["vh"][0], inventory.shards["vv"][0]
    assert isinstance(raster, RasterScene)
    assert isinstance(shard, ShardScene)
    assert not isinstance(raster, ShardScene)
    assert not isinstance(shard, RasterScene)
