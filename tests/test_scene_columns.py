"""Scenes as columns are what a file's columns would be."""

from __future__ import annotations

import numpy as np

from sar_h5 import schema
from sar_h5.sources.scene import Georeference, SceneInfo
from sar_h5.stores.scene_columns import scene_columns
from tests.patch_files import UTM


def test_columns_bear_the_names_and_kinds_that_files_have() -> None:
    placed = SceneInfo("a", "a-vv.tif", "vv", 40, 50, "S1A", orbit=7, georeference=Georeference("WKT", UTM))
    columns = scene_columns([placed, SceneInfo("b", "b-vv.npy", "vv")])
    known = {column.name: column.dtype for column in schema.SCENE_COLUMNS}
    for name, values in columns.items():
        assert len(values) == 2
        assert values.dtype == (object if known[name] == "utf-8" else np.dtype(known[name]))
    assert columns["name"].tolist() == ["a", "b"]
    assert columns["height"].tolist() == [40, -1]
    assert columns["orbit"].tolist() == [7, -1]
    assert tuple(columns["transform"][0]) == UTM
    assert np.isnan(columns["transform"][1]).all()


def test_no_scenes_give_empty_columns() -> None:
    columns = scene_columns([])
    assert columns["transform"].shape == (0, 6)
    assert columns["name"].shape == (0,)
