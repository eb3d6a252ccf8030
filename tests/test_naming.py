from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.sources.naming import (
    POLARIZATIONS,
    NameFacts,
    find_polarization,
    find_product_name,
    iso_time,
    parse_name,
    scene_name,
)

PRODUCT = "S1A_IW_GRDH_1SDV_20210119T031653_20210119T031718_036201_043ED0_8255"
MEASUREMENT = "s1a-iw-grd-{}-20210119t031653-20210119t031718-036201-043ed0-{}"
VV, VH = MEASUREMENT.format("vv", "001"), MEASUREMENT.format("vh", "002")
FACTS = NameFacts("S1A", "IW", "GRD", "2021-01-19T03:16:53", 36201)


@pytest.mark.parametrize(
    ("name", "polarization"),
    [
        (VV, "vv"),
        (VH + ".tiff", "vh"),
        (VH.upper(), "vh"),
        ("iw-vv.tiff", "vv"),
        ("S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48_VH", "vh"),
        ("S1A__IW___A_20150309T173017_VV_grd_mli_geo_norm_db", "vv"),
        ("OPERA_L2_RTC-S1_T009-019294-IW2_20240123T084748Z_20240123T162136Z_S1A_30_v1.0_VH_cropped", "vh"),
        ("vv", "vv"),
        ("Scene.Hh.tif", "hh"),
        ("patches hv 7", "hv"),
        ("vv_tile_vv", "vv"),
        ("vv-vh-ratio", None),
        ("savvy", None),
        ("vv1", None),
        ("2vv", None),
        ("SDV", None),
        (PRODUCT, None),
        ("", None),
    ],
)
def test_a_polarization_is_found_only_where_it_stands_alone(name: str, polarization: str | None) -> None:
    assert find_polarization(name) == polarization


@pytest.mark.parametrize(
    "name", [PRODUCT, PRODUCT + ".SAFE", PRODUCT + ".SAFE.zip", f"D:\\data\\{PRODUCT}.SAFE", VV, VH, VV.upper()]
)
def test_product_and_measurement_names_tell_the_same_facts(name: str) -> None:
    assert parse_name(name) == FACTS


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        (
            "S1B_EW_GRDM_1SDH_20200101T010203_20200101T010303_019600_0250B2_00AF",
            NameFacts("S1B", "EW", "GRD", "2020-01-01T01:02:03", 19600),
        ),
        (
            "S1A_S3_GRDH_1SSV_20150222T170750_20150222T170815_004738_005DD8_3D1D",
            NameFacts("S1A", "S3", "GRD", "2015-02-22T17:07:50", 4738),
        ),
        (
            "s1c-iw3-slc-vh-20250304t170750-20250304t170815-001738-005dd8-003",
            NameFacts("S1C", "IW", "SLC", "2025-03-04T17:07:50", 1738),
        ),
        (
            "s1a-s3-grd-hh-20150222t170750-20150222t170815-004738-005dd8-001",
            NameFacts("S1A", "S3", "GRD", "2015-02-22T17:07:50", 4738),
        ),
    ],
)
def test_other_modes_platforms_and_levels_are_read(name: str, facts: NameFacts) -> None:
    assert parse_name(name) == facts


@pytest.mark.parametrize(
    "name",
    [
        "iw-vv",
        "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48",  # BigEarthNet's names stop after the start time
        "S1A__IW___A_20150309T173017_VV_grd_mli_geo_norm_db",  # pyroSAR's
        "S2A_MSIL1C_20210119T031653",
        "",
    ],
)
def test_a_name_of_another_kind_tells_nothing(name: str) -> None:
    assert parse_name(name) is None
    assert find_product_name(name) is None


def test_a_product_name_is_found_within_a_path() -> None:
    assert find_product_name(f"/data/S1/{PRODUCT}.SAFE/measurement/iw-vv.tiff") == PRODUCT
    assert find_product_name(f"C:\\S1\\{PRODUCT}.zip") == PRODUCT


@pytest.mark.parametrize(
    ("one", "other", "scene"),
    [
        (VV, VH, "s1a-iw-grd-20210119t031653-20210119t031718-036201-043ed0"),
        (VV + "_tile7", VH + "_tile7", "s1a-iw-grd-20210119t031653-20210119t031718-036201-043ed0_tile7"),
        (f"{PRODUCT}_VV", f"{PRODUCT}_VH", PRODUCT),
        (f"{PRODUCT}-vv-3", f"{PRODUCT}-VH-3", f"{PRODUCT}-3"),
        ("iw-vv", "iw-vh", "iw"),
        ("S1A_20150309_VV_norm_db", "S1A_20150309_VH_norm_db", "S1A_20150309_norm_db"),
        ("vv_2021", "vh_2021", "2021"),
        ("vv", "vh", ""),
        ("patches.HH", "patches.HV", "patches"),
    ],
)
def test_all_polarizations_of_one_acquisition_give_one_scene_name(one: str, other: str, scene: str) -> None:
    assert scene_name(one) == scene_name(other) == scene


def test_a_scene_name_keeps_digits_that_are_no_image_number() -> None:
    assert scene_name(VV[:-4] + "-20210401").endswith("-043ed0-20210401")


def test_scenes_with_different_names_keep_them_apart() -> None:
    stems = ["a-vv-1", "a-vv-2", "b-vv-1", "savvy-1", "s1a-vv"]
    assert len({scene_name(stem) for stem in stems}) == len(stems)


def test_time_is_written_as_iso_8601() -> None:
    assert iso_time("20210119t031653") == "2021-01-19T03:16:53"


@given(st.text(), st.sampled_from(POLARIZATIONS), st.sampled_from("-_. "))
def test_any_name_can_be_given_a_polarization(stem: str, polarization: str, separator: str) -> None:
    other = find_polarization(stem)
    named = f"{stem}{separator}{polarization}"
    assert find_polarization(named) == (polarization if other in (None, polarization) and not _torn(stem) else None)


def _torn(stem: str) -> bool:
    """Whether the stem names two polarizations by itself."""
    return find_polarization(stem) is None and find_polarization(f"{stem} vv") is None
