"""Tags of a patch: what is written is read again exactly, and nothing else is taken for it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.sources.patch_tags import FORMAT, PIXELS, PatchTags, shift_gcps
from sar_h5.sources.scene import Georeference, SceneInfo

TEXTS = st.text(max_size=20).filter(lambda text: text.encode(errors="ignore").decode() == text)
REALS = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.integers(-1, 2**31 - 1)
PLACES = st.builds(
    Georeference,
    crs=TEXTS,
    transform=st.just(Georeference.transform) | st.tuples(*[REALS] * 6),
    gcps=st.lists(st.tuples(*[REALS] * 5), max_size=3).map(tuple),
    gcp_crs=TEXTS,
)
SCENES = st.builds(
    SceneInfo, name=TEXTS, path=st.just(""), polarization=st.sampled_from(["vv", "hv"]), platform=TEXTS, mode=TEXTS,
    product_type=TEXTS, start_time=TEXTS, orbit=NUMBERS, orbit_pass=TEXTS, georeference=PLACES,
)  # fmt: skip
TAGS = st.builds(
    PatchTags, pixels=st.sampled_from(PIXELS), vmin=st.floats(-50, 0), vmax=st.floats(1, 50),
    patch_size=st.integers(1, 4096), stride=NUMBERS, origin=TEXTS, scene=SCENES, scene_number=st.integers(0, 99),
    patch=st.integers(0, 2**31 - 1), row=NUMBERS, col=NUMBERS,
)  # fmt: skip


def plain(**changed: Any) -> dict[str, str]:
    scene = SceneInfo("S1A_scene", "", "vv", height=500, width=600)
    tags = PatchTags("values", 14.77, 24.54, 64, 32, "ab", scene, 0, 7, 32, 64).to_tags()
    return {**tags, **{f"SAR_H5_{name}": value for name, value in changed.items()}}


@given(TAGS)
def test_tags_are_read_as_they_were_written(tags: PatchTags) -> None:
    assert PatchTags.from_tags(tags.to_tags()) == tags


@given(TAGS)
def test_tags_are_plain_text_without_blanks_at_the_ends(tags: PatchTags) -> None:
    for name, text in tags.to_tags().items():
        assert name.startswith("SAR_H5_")
        assert text.isascii()
        assert text.isprintable()
        assert text == text.strip() != ""


def test_ordinary_texts_are_written_as_they_are() -> None:
    assert plain()["SAR_H5_SCENE"] == "S1A_scene"
    assert plain()["SAR_H5_FORMAT"] == FORMAT


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"FORMAT": "patch 2"}, "update sar_h5"),
        ({"PIXELS": "db"}, "values or dn in SAR_H5_PIXELS"),
        ({"POLARIZATION": "xx"}, "SAR_H5_POLARIZATION"),
        ({"VMIN": "nan"}, "1 finite numbers in SAR_H5_VMIN"),
        ({"VMAX": "1 2"}, "1 finite numbers in SAR_H5_VMAX"),
        ({"VMAX": "3"}, "vmin"),
        ({"ROW": "9" * 5000}, "an integer in SAR_H5_ROW"),
        ({"ROW": "-2"}, "an integer in SAR_H5_ROW"),
        ({"COL": "2.5"}, "an integer in SAR_H5_COL"),
        ({"ROW": "450"}, "puts? a patch of 64 pixels at row 450 of a scene that has 500"),
        ({"PATCH_SIZE": "0"}, "at least 1 in SAR_H5_PATCH_SIZE"),
        ({"SCENE_TRANSFORM": "1 2 3"}, "6 finite numbers"),
        ({"SCENE_GCPS": "[[1, 2, 3]]"}, "rows of five numbers"),
        ({"SCENE_GCPS": "[" * 100_000}, "rows of five numbers"),
        ({"SCENE": '"half'}, "text in SAR_H5_SCENE"),
        ({"SCENE": '"\\ud800"'}, "text in SAR_H5_SCENE"),
        ({"SCENE": '"a" + "b"'}, "text in SAR_H5_SCENE"),
    ],
)
def test_tags_that_cannot_be_are_refused_by_name(changed: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PatchTags.from_tags(plain(**changed))


@given(st.dictionaries(st.sampled_from(sorted(plain())), st.text(max_size=9) | REALS.map(repr) | NUMBERS.map(str)))
def test_any_tags_are_read_or_refused(changed: dict[str, str]) -> None:
    try:
        tags = PatchTags.from_tags({**plain(), **changed})
    except ValueError:
        return
    assert PatchTags.from_tags(tags.to_tags()) == tags
    assert math.isfinite(tags.vmin)
    json.dumps(tags.to_tags())


def test_control_points_move_by_whole_pixels_and_keep_what_is_on_the_ground() -> None:
    points = ((0.0, 25.5, 10.1, 45.3, 33.3), (1000.25, 3.0, 11.0, 46.0, 0.0))
    moved = shift_gcps(points, -128, -64)
    assert moved == ((-128.0, -38.5, 10.1, 45.3, 33.3), (872.25, -61.0, 11.0, 46.0, 0.0))
    assert shift_gcps(moved, 128, 64) == points
