"""Radiometry against a literal transcription of the reference pipeline, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sar_h5.errors import BoundsError, RadiometryError, SarH5Error
from sar_h5.image_statistics import analyze_sar_statistics
from sar_h5.radiometry import (
    INVALID_FILL,
    Bounds,
    check_percentiles,
    compute_clip_bounds,
    from_db,
    handle_invalid_values,
    is_inside,
    preprocess_sar_complete,
    scale_all_dn,
    scale_db,
    to_db,
)
from sar_h5.units import Units, guess_units, pixels_to_db
from tests.conftest import make_dn

Array = npt.NDArray[Any]

HARD = np.array(
    [np.nan, np.inf, -np.inf, -1.0, -0.0, 0.0, 1e-45, 1e-38, 1e-10, 0.5, 1.0, 29.9, 283.5, 65535.0, 3e38],
    dtype=np.float32,
)
any_float32 = npst.arrays(np.float32, npst.array_shapes(max_dims=3, max_side=8), elements=st.floats(width=32))
bounds_pairs = st.tuples(st.floats(-60, 40, width=32), st.floats(0.0625, 60, width=32)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)


def reference(image: Array, vmin: float, vmax: float) -> tuple[Array, Array, Array]:
    """Value, dB and invalid mask, as format.md writes the pipeline down."""
    x = np.array(image).astype(np.float32)
    invalid = (x <= 0) | np.isnan(x) | np.isinf(x)
    x[invalid] = 1e-10
    db = 10 * np.log10(x)
    low, high = np.float32(vmin), np.float32(vmax)
    return (np.clip(db, low, high) - low) / (high - low), db, invalid


def assert_same_bits(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype == np.float32
    assert found.shape == expected.shape
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


@settings(deadline=None)
@given(image=any_float32, pair=bounds_pairs)
def test_the_whole_pipeline_equals_the_reference_bit_for_bit(image: Array, pair: tuple[float, float]) -> None:
    value, db, invalid = reference(image, *pair)
    before = image.copy()
    if invalid.all():
        with pytest.raises(BoundsError, match=f"no valid pixel among {image.size}"):
            preprocess_sar_complete(image, *pair)
        return
    found, told = preprocess_sar_complete(image, *pair)
    assert_same_bits(found, value)
    assert_same_bits(to_db(handle_invalid_values(image)[0]), db)
    assert np.array_equal(told["invalid_mask"], invalid)
    assert (told["vmin"], told["vmax"]) == pair
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.array_equal(image.view(np.uint32), before.view(np.uint32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.int16, np.int64, np.float16, np.float32, np.float64])
def test_every_real_dtype_is_computed_in_float32(dtype: npt.DTypeLike) -> None:
    image = make_dn(1, (40, 30)).astype(dtype)
    image[:3] = 0
    found, told = preprocess_sar_complete(image, 14.77, 24.54)
    value, _, invalid = reference(image, 14.77, 24.54)
    assert_same_bits(found, value)
    assert told["invalid_mask"].dtype == bool
    assert np.array_equal(told["invalid_mask"], invalid)


def test_bools_count_as_zero_and_one() -> None:
    values, invalid = handle_invalid_values([True, False])
    assert values.tolist() == [1.0, float(INVALID_FILL)]
    assert invalid.tolist() == [False, True]


def test_strided_and_read_only_images_are_taken_as_they_are() -> None:
    image = make_dn(2, (60, 50)).astype(np.float32)[::2, ::-3]
    image.flags.writeable = False
    value, _, _ = reference(image, 14.77, 24.54)
    assert_same_bits(preprocess_sar_complete(image, 14.77, 24.54)[0], value)


def test_values_without_a_logarithm_become_1e_10() -> None:
    values, invalid = handle_invalid_values(HARD)
    assert_same_bits(values[:6], np.full(6, 1e-10, dtype=np.float32))
    assert invalid.tolist() == [True] * 6 + [False] * 9
    assert_same_bits(values[6:], HARD[6:])


def test_float64_beyond_float32_is_invalid_without_a_warning() -> None:
    values, invalid = handle_invalid_values(np.array([1e300, -1.7976931348623157e308, 1e-300, 2.0]))
    assert invalid.tolist() == [True, True, True, False]
    assert values.tolist() == [float(INVALID_FILL)] * 3 + [2.0]


@pytest.mark.parametrize("function", [handle_invalid_values, preprocess_sar_complete, analyze_sar_statistics])
@pytest.mark.parametrize("image", [np.ones((2, 2), np.complex64), np.array(["1"]), np.array([None])])
def test_what_is_not_real_numbers_is_refused(function: Any, image: Array) -> None:
    with pytest.raises(RadiometryError, match=r"expected real numbers .* found dtype"):
        function(image)


def test_no_function_changes_its_argument() -> None:
    image, db = HARD.copy(), np.array([-5.0, 3.0, 30.0], dtype=np.float32)
    handle_invalid_values(image)
    to_db(image)
    preprocess_sar_complete(image)
    analyze_sar_statistics(image)
    for units in Units:
        pixels_to_db(image, units, 0.5)
    assert np.array_equal(image.view(np.uint32), HARD.view(np.uint32))
    from_db(db)
    scale_db(db, Bounds(0, 10))
    compute_clip_bounds(db, invalid_mask=np.zeros(3, dtype=bool))
    assert db.tolist() == [-5.0, 3.0, 30.0]


def test_to_db_of_zero_and_negative_numbers_follows_the_logarithm() -> None:
    db = to_db([0.0, -1.0, 1.0, 100.0])
    assert db.dtype == np.float32
    assert db[0] == -np.inf
    assert np.isnan(db[1])
    assert db[2:] == pytest.approx([0.0, 20.0])


@given(st.floats(-99, 99, width=32))
def test_from_db_is_the_inverse_of_to_db_to_float32_precision(db: float) -> None:
    linear = from_db(db)
    assert linear.dtype == np.float32
    assert float(to_db(linear)) == pytest.approx(db, abs=2e-5)
    assert float(linear) == pytest.approx(10 ** (db / 10), rel=1e-5)


def test_from_db_is_computed_in_float32() -> None:
    db = np.linspace(-30, 50, 1000)
    assert_same_bits(from_db(db), np.float32(10) ** (db.astype(np.float32) / np.float32(10)))


# Bounds


@pytest.mark.parametrize(
    ("vmin", "vmax"), [(np.nan, 1), (0, np.nan), (-np.inf, 1), (0, np.inf), (0, 1e39), (-3e38, 3e38)]
)
def test_bounds_that_are_not_finite_in_float32_are_refused(vmin: float, vmax: float) -> None:
    with pytest.raises(BoundsError, match=r"bounds must be finite dB values; found vmin=.*, vmax=.*given"):
        Bounds(vmin, vmax)


@pytest.mark.parametrize(("vmin", "vmax"), [(1, 1), (2, 1), (20.0, 20.0 + 1e-9)])
def test_bounds_without_a_range_in_float32_are_refused(vmin: float, vmax: float) -> None:
    with pytest.raises(BoundsError, match=r"vmin must be below vmax; .*\(file x\)"):
        Bounds(vmin, vmax, "file x")


@pytest.mark.parametrize("percentiles", [(1, 99), (0, 100), (2.5, 97.5), (49, 50)])
def test_clip_bounds_are_the_percentiles_of_the_valid_pixels(percentiles: tuple[float, float]) -> None:
    image = make_dn(3, (80, 70))
    image[:20] = 0
    _, db, invalid = reference(image, 0, 1)
    expected = np.percentile(db[~invalid], percentiles)
    assert compute_clip_bounds(db, percentiles, invalid) == tuple(expected.tolist())
    _, told = preprocess_sar_complete(image, clip_percentiles=percentiles)
    assert (told["vmin"], told["vmax"]) == tuple(expected.tolist())


def test_clip_bounds_leave_out_what_is_not_finite_even_without_a_mask() -> None:
    db = np.array([np.nan, 1, 2, 3, np.inf, -np.inf], dtype=np.float32)
    assert compute_clip_bounds(db, (0, 100)) == (1.0, 3.0)
    assert compute_clip_bounds(db, (0, 100), np.arange(6) == 1) == (2.0, 3.0)


@pytest.mark.parametrize("given_bound", ["vmin", "vmax"])
def test_one_given_bound_is_kept_and_the_other_taken_from_the_image(given_bound: str) -> None:
    image = make_dn(4, (50, 50))
    low, high = np.percentile(reference(image, 0, 1)[1], [1, 99]).tolist()
    expected = {"vmin": low, "vmax": high} | {given_bound: 19.5}
    found, told = preprocess_sar_complete(image, **{given_bound: 19.5})
    assert (told["vmin"], told["vmax"]) == (expected["vmin"], expected["vmax"])
    assert_same_bits(found, reference(image, **expected)[0])


@pytest.mark.parametrize("fill", [0, -3, np.nan, np.inf])
def test_an_image_without_a_valid_pixel_is_an_error(fill: float) -> None:
    image = np.full((4, 4), fill, dtype=np.float32)
    with pytest.raises(BoundsError, match="no valid pixel among 16"):
        preprocess_sar_complete(image)
    with pytest.raises(BoundsError, match="no valid pixel among 16"):
        compute_clip_bounds(to_db(np.zeros_like(image)))
    with pytest.raises(RadiometryError, match="no valid pixel among 16"):
        analyze_sar_statistics(image)


def test_an_empty_image_is_an_error() -> None:
    with pytest.raises(BoundsError, match="no valid pixel among 0"):
        preprocess_sar_complete(np.zeros((0, 4)), 0, 1)


def test_a_constant_image_is_an_error_unless_bounds_are_given() -> None:
    image = np.full((4, 4), 100, dtype=np.uint16)
    with pytest.raises(BoundsError, match=r"vmin must be below vmax.*percentiles 1 and 99.*constant"):
        preprocess_sar_complete(image)
    value, _ = preprocess_sar_complete(image, 10, 30)
    assert value == pytest.approx(np.full((4, 4), 0.5))


@pytest.mark.parametrize("percentiles", [(-1, 99), (1, 101), (50, 50), (99, 1), (np.nan, 99), (1, np.nan)])
def test_percentiles_out_of_order_or_range_are_refused(percentiles: tuple[float, float]) -> None:
    for function in (check_percentiles, lambda pair: compute_clip_bounds([1.0, 2.0], pair)):
        with pytest.raises(BoundsError, match="percentiles must satisfy 0 <= low < high <= 100"):
            function(percentiles)


# Tables and measures


@settings(deadline=None)
@given(pair=bounds_pairs)
def test_the_table_of_all_digital_numbers_equals_the_pipeline(pair: tuple[float, float]) -> None:
    table = scale_all_dn(Bounds(*pair))
    assert_same_bits(table, reference(np.arange(65536), *pair)[0])
    assert (np.diff(table) >= 0).all()


def test_the_table_gives_the_same_bits_as_the_image() -> None:
    dn = make_dn(5, (100, 100))
    assert_same_bits(scale_all_dn(Bounds(14.77, 24.54))[dn], preprocess_sar_complete(dn, 14.77, 24.54)[0])


@given(npst.arrays(np.float32, 30, elements=st.floats(0, 1, width=32) | st.sampled_from([0.01, 0.99]).map(np.float32)))
def test_is_inside_is_strict_at_both_ends(values: Array) -> None:
    assert np.array_equal(is_inside(values), (values > 0.01) & (values < 0.99))


def test_the_ends_of_the_range_are_not_inside_but_their_neighbours_are() -> None:
    low, high = np.float32(0.01), np.float32(0.99)
    values = np.array([low, np.nextafter(low, np.float32(1)), np.nextafter(high, np.float32(0)), high])
    assert is_inside(values).tolist() == [False, True, True, False]


# Float rasters


@pytest.mark.parametrize("units", [Units.DN, Units.LINEAR])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear_pixels_go_through_the_reference_and_nodata_is_invalid(units: Units, dtype: npt.DTypeLike) -> None:
    pixels = np.concatenate([HARD.astype(dtype), [0.1, 7]]).astype(dtype)
    _, expected, invalid = reference(pixels, 0, 1)
    db, found = pixels_to_db(pixels, units, None)
    assert_same_bits(db, expected)
    assert np.array_equal(found, invalid)
    db, found = pixels_to_db(pixels, units, 0.1)
    invalid[-2], expected[-2] = True, expected[0]
    assert_same_bits(db, expected)
    assert np.array_equal(found, invalid)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_in_db_stay_as_they_are_and_invalid_ones_become_minus_100(dtype: npt.DTypeLike) -> None:
    pixels = np.array([np.nan, np.inf, -np.inf, -20.5, 0, 3.25, 0.1], dtype=dtype)
    db, invalid = pixels_to_db(pixels, Units.DB, 0.1)
    assert db.dtype == np.float32
    assert db[[3, 4, 5]].tolist() == [-20.5, 0, 3.25]
    assert db[[0, 1, 2, 6]] == pytest.approx(-100, abs=1e-4)
    assert invalid.tolist() == [True, True, True, False, False, False, True]
    assert not pixels_to_db(pixels, Units.DB, None)[1][-1]


@pytest.mark.parametrize("units", list(Units))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_least_float64_is_a_nodata_value_like_any_other(units: Units, dtype: npt.DTypeLike) -> None:
    with np.errstate(over="ignore"):
        pixels = np.array([-1.7976931348623157e308, 2.5]).astype(dtype)
    assert pixels_to_db(pixels, units, -1.7976931348623157e308)[1].tolist() == [True, False]


@pytest.mark.parametrize("nodata", [np.nan, -9999.0, 7.5, 1e300, 0.0])
def test_a_nodata_value_that_integers_cannot_take_hides_no_digital_number(nodata: float) -> None:
    pixels = np.array([0, 7, 8, 65535], dtype=np.uint16)
    assert pixels_to_db(pixels, Units.DN, nodata)[1].tolist() == [True, False, False, False]


def test_a_nodata_digital_number_is_invalid() -> None:
    db, invalid = pixels_to_db(np.array([[1, 65535]], dtype=np.uint16), Units.DN, 65535.0)
    assert db == pytest.approx(np.array([[0, -100]]), abs=1e-4)
    assert invalid.tolist() == [[False, True]]


def test_units_are_guessed_where_there_is_no_doubt() -> None:
    generator = np.random.default_rng(6)
    power = generator.gamma(4.4, 0.1 / 4.4, 5000).astype(np.float32)
    assert guess_units(power) is Units.LINEAR
    assert guess_units(to_db(power)) is Units.DB
    assert guess_units(np.where(np.arange(5000) < 20, np.float32(5000), power)) is Units.LINEAR  # ships


@pytest.mark.parametrize(
    "sample",
    [
        [],
        [100.0, 120.0, 90.0],  # amplitudes, or dB of digital numbers
        [0.1, 0.2, 0.3, 200.0, 300.0],  # power with too much of it far above any natural scene
        [-1.0, 2.0, 3.0],  # few negative values: neither power nor clearly dB
        [-1.0, 1.0],  # just half of them
        [-9999.0, -12.0, -13.0],  # dB with an undeclared fill value
        [-100.0, -12.0],
        [1.0, 1.0],
    ],
)
def test_units_stay_in_doubt_elsewhere(sample: list[float]) -> None:
    assert guess_units(np.array(sample, dtype=np.float32)) is None


# Statistics


def test_statistics_describe_the_valid_pixels() -> None:
    image = make_dn(7, (60, 50))
    image[:6] = 0
    found = analyze_sar_statistics(image)
    valid = image[6:].astype(np.float64).ravel()
    db = (10 * np.log10(image[6:].astype(np.float32))).astype(np.float64)
    assert (found["shape"], found["dtype"]) == ((60, 50), "uint16")
    assert (found["total_pixels"], found["valid_pixels"], found["valid_fraction"]) == (3000, 2700, 0.9)
    assert (found["min"], found["max"], found["median"]) == (valid.min(), valid.max(), np.median(valid))
    assert (found["mean"], found["std"]) == pytest.approx((valid.mean(), valid.std()))
    assert (found["db_min"], found["db_max"]) == (db.min(), db.max())
    assert (found["db_mean"], found["db_std"]) == pytest.approx((db.mean(), db.std()))
    assert found["db_percentiles"] == pytest.approx({p: np.percentile(db, p) for p in (1, 5, 25, 50, 75, 95, 99)})


def test_equivalent_looks_of_speckle_are_those_it_was_made_with() -> None:
    intensity = np.random.default_rng(8).gamma(4.4, 1 / 4.4, (400, 400))
    assert analyze_sar_statistics(100 * np.sqrt(intensity))["equivalent_looks"] == pytest.approx(4.4, rel=0.03)
    assert analyze_sar_statistics(np.full((3, 3), 7))["equivalent_looks"] == np.inf


def test_errors_of_this_module_share_the_root_and_are_value_errors() -> None:
    for kind in (BoundsError, RadiometryError):
        assert issubclass(kind, SarH5Error)
        assert issubclass(kind, ValueError)
