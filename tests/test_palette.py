"""Palettes: bit for bit there and back, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sar_h5.palette import (
    INVALID_CODE,
    MAX_LEVELS,
    NotInPaletteError,
    Palette,
    PaletteEncoder,
    as_codes,
    code_dtype,
    dn_palette,
    find_levels,
    predict_palettes,
    with_invalid,
)
from sar_h5.radiometry import Bounds, preprocess_sar_complete, scale_all_dn
from tests.conftest import make_dn

Array = npt.NDArray[Any]

unit = st.floats(0, 1, width=32).map(abs)  # without the negative zero
tables = npst.arrays(np.float32, st.integers(1, 60), elements=unit | st.sampled_from([0.0, 1.0, 0.5]), unique=True)
all_bounds = st.tuples(st.floats(-20, 48), st.floats(0.01, 60)).map(lambda pair: Bounds(pair[0], sum(pair)))

EVEN = (np.arange(MAX_LEVELS) / (MAX_LEVELS - 1)).astype(np.float32)
CROWDED = (np.arange(MAX_LEVELS, dtype=np.uint32) + np.uint32(0x3F000000)).view(np.float32)  # 0.5 and its neighbours
SMALLEST = np.arange(MAX_LEVELS, dtype=np.uint32).view(np.float32)  # 0 and the denormals
FEW_A_CELL = np.unique((EVEN[:, None] + np.array([0, 3e-6], np.float32)).ravel().clip(0, 1))[: MAX_LEVELS - 1]


def bits(values: Array) -> list[int]:
    return np.ascontiguousarray(values).view(np.uint32).ravel().tolist()


@pytest.mark.parametrize(("levels", "dtype"), [(1, "u1"), (256, "u1"), (257, "u2"), (65536, "u2")])
def test_codes_take_the_smallest_dtype(levels: int, dtype: str) -> None:
    assert code_dtype(levels) == dtype
    palette = Palette(EVEN[:levels])
    assert palette.dtype == dtype
    assert as_codes(np.array([0, levels - 1]), palette).dtype == dtype
    assert as_codes(np.array([0, levels - 1]), palette).tolist() == [0, levels - 1]


# Digital numbers


@settings(max_examples=40, deadline=None)
@given(bounds=all_bounds)
def test_every_digital_number_comes_back_bit_for_bit(bounds: Bounds) -> None:
    palette, codes = dn_palette(bounds)
    values = scale_all_dn(bounds)
    assert bits(palette.lut[codes][1:]) == bits(values[1:])
    assert palette.lut.dtype == np.float32
    assert codes.dtype == palette.dtype == code_dtype(len(palette.lut))
    assert np.array_equal(PaletteEncoder(palette).encode(values[1:]), codes[1:])


@settings(max_examples=40, deadline=None)
@given(bounds=all_bounds)
def test_the_code_order_of_digital_numbers_is_the_value_order(bounds: Bounds) -> None:
    palette, codes = dn_palette(bounds)
    assert (np.diff(palette.lut[1:]) > 0).all()
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert set(codes.tolist()) == set(range(len(palette.lut)))


@pytest.mark.parametrize("bounds", [Bounds(14.77, 24.54), Bounds(0, 50), Bounds(-10, 50), Bounds(-120, 60)])
def test_only_digital_number_zero_has_the_invalid_code(bounds: Bounds) -> None:
    palette, codes = dn_palette(bounds)
    assert palette.invalid_code == INVALID_CODE == 0
    assert palette.lut[INVALID_CODE] == 0
    assert np.flatnonzero(codes == INVALID_CODE).tolist() == [0]
    assert len(palette.lut) <= MAX_LEVELS


def test_bounds_that_clip_nothing_keep_all_digital_numbers_apart() -> None:
    palette, codes = dn_palette(Bounds(-10, 50))
    assert len(palette.lut) == MAX_LEVELS
    assert np.array_equal(codes, np.arange(65536))


def test_the_bounds_of_the_shards_give_257_levels() -> None:
    bounds = Bounds(14.77, 24.54)
    assert len(dn_palette(bounds)[0].lut) == 257 + 1
    assert len(predict_palettes(bounds)[0].lut) == 257


# Encoding


@settings(deadline=None)
@given(levels=tables, picks=st.lists(st.integers(0, 59), max_size=40), invalid=st.booleans())
def test_encoding_and_the_table_are_inverse(levels: Array, picks: list[int], invalid: bool) -> None:
    levels = np.sort(levels)
    palette = with_invalid(levels) if invalid else Palette(levels)
    values = levels[np.array(picks, dtype=int) % len(levels)]
    codes = PaletteEncoder(palette).encode(values)
    assert codes.dtype == palette.dtype
    assert bits(palette.lut[codes]) == bits(values)
    assert codes.tolist() == [pick % len(levels) + invalid for pick in picks]


@pytest.mark.parametrize("levels", [EVEN, CROWDED, SMALLEST, FEW_A_CELL], ids=["even", "crowded", "smallest", "few"])
@pytest.mark.parametrize("invalid", [False, True])
def test_dense_palettes_are_exact(levels: Array, invalid: bool) -> None:
    if invalid:
        levels = levels[: MAX_LEVELS - 1]
    palette = with_invalid(levels) if invalid else Palette(levels)
    order = np.random.default_rng(0).permutation(len(levels))
    codes = PaletteEncoder(palette).encode(levels[order])
    assert codes.dtype == np.uint16
    assert np.array_equal(codes, order + invalid)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 6, 40])
def test_the_table_and_the_search_agree_however_many_levels_share_a_cell(steps: int) -> None:
    crowd = np.arange(0x3F000000, 0x3F000000 + steps, dtype=np.uint32).view(np.float32)
    levels = np.concatenate([np.float32([0, 0.25]), crowd, np.float32([0.75, 1])])
    assert PaletteEncoder(Palette(levels)).encode(levels).tolist() == list(range(len(levels)))


@settings(deadline=None)
@given(levels=tables, value=unit)
def test_a_value_that_is_no_level_is_refused(levels: Array, value: float) -> None:
    levels = np.sort(levels)
    encoder = PaletteEncoder(Palette(levels))
    number = np.float32(value)
    for near in (number, *np.nextafter(levels, np.float32(2)), *np.nextafter(levels, np.float32(-1))):
        if near in levels or not 0 <= near <= 1:
            continue
        with pytest.raises(NotInPaletteError):
            encoder.encode(np.array([levels[0], near], dtype=np.float32))


@pytest.mark.parametrize("levels", [EVEN, CROWDED])
def test_values_beside_dense_levels_are_refused(levels: Array) -> None:
    encoder = PaletteEncoder(Palette(levels))
    above = np.nextafter(levels, np.float32(2))[[0, 7, 40_000, -2, -1]]
    beside = [value for value in (*above, np.float32(1 / np.pi)) if value not in levels and value <= 1]
    assert beside
    for value in beside:
        with pytest.raises(NotInPaletteError):
            encoder.encode(np.array([levels[5], value]))


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 40])
def test_values_beyond_the_last_level_are_refused(steps: int) -> None:
    levels = np.arange(0x3F000000, 0x3F000000 + steps, dtype=np.uint32).view(np.float32)
    encoder = PaletteEncoder(Palette(levels))
    for value in (np.nextafter(levels[-1], np.float32(1)), np.float32(0.6), np.float32(1)):
        with pytest.raises(NotInPaletteError):
            encoder.encode(np.array([levels[0], value]))


@pytest.mark.parametrize("levels", [np.float32([0, 0.5, 1]), SMALLEST])
def test_a_negative_zero_is_refused(levels: Array) -> None:
    encoder = PaletteEncoder(Palette(levels))
    assert encoder.encode(np.float32([0.0])).tolist() == [0]
    with pytest.raises(NotInPaletteError):
        encoder.encode(np.float32([-0.0]))


def test_zero_and_one_are_the_first_and_the_last_code() -> None:
    palette, _ = dn_palette(Bounds(14.77, 24.54))
    codes = PaletteEncoder(palette).encode(np.float32([0, 1]))
    assert codes.tolist() == [1, 257]


def test_the_invalid_code_is_no_level() -> None:
    palette = with_invalid(np.float32([0.5, 1]))
    assert PaletteEncoder(palette).encode(np.float32([1, 0.5])).tolist() == [2, 1]
    with pytest.raises(NotInPaletteError):
        PaletteEncoder(palette).encode(np.float32([0.0]))


def test_arrays_of_any_shape_and_stride_are_encoded_in_place() -> None:
    palette, codes = dn_palette(Bounds(14.77, 24.54))
    dn = make_dn(1, (4, 30, 20))
    for view in (dn, dn[:, ::2, ::-3], dn.T, dn[:0]):
        values = scale_all_dn(Bounds(14.77, 24.54))[view]
        assert np.array_equal(PaletteEncoder(palette).encode(values), codes[view])
    strided = scale_all_dn(Bounds(14.77, 24.54))[dn][:, ::2, ::-3]
    before = strided.copy()
    assert np.array_equal(PaletteEncoder(palette).encode(strided), codes[dn[:, ::2, ::-3]])
    assert bits(strided) == bits(before)


# Prediction and search


def holds(palette: Palette, values: Array) -> bool:
    try:
        codes = PaletteEncoder(palette).encode(values)
    except NotInPaletteError:
        return False
    return bits(palette.lut[codes]) == bits(values)


@settings(max_examples=25, deadline=None)
@given(bounds=all_bounds, seed=st.integers(0, 2**32))
def test_the_predicted_palettes_hold_what_the_reference_pipeline_gives(bounds: Bounds, seed: int) -> None:
    dn = np.random.default_rng(seed).integers(0, 65536, 3000).astype(np.uint16)
    x = dn.astype(np.float64)
    x[x <= 0] = 1e-10
    db64 = 10 * np.log10(x)
    db32 = np.float32(10) * np.log10(x.astype(np.float32))
    low, high = np.float64(bounds.vmin), np.float64(bounds.vmax)
    single = preprocess_sar_complete(dn, bounds.vmin, bounds.vmax)[0]
    double = ((np.clip(db64, low, high) - low) / (high - low)).astype(np.float32)
    mixed = ((np.clip(db32.astype(np.float64), low, high) - low) / (high - low)).astype(np.float32)
    # Bounds as Python numbers: their difference is taken in float64 and rounded to float32 once.
    weak = (np.clip(db32, bounds.vmin, bounds.vmax) - bounds.vmin) / (bounds.vmax - bounds.vmin)
    palettes = predict_palettes(bounds)
    assert all((np.diff(palette.lut) > 0).all() and palette.invalid_code is None for palette in palettes)
    for values in (single, double, mixed, weak):
        if values.max() <= 1:  # the last variant may overshoot by one bit, and such shards are refused
            assert any(holds(palette, values) for palette in palettes)


@settings(deadline=None)
@given(parts=st.lists(npst.arrays(np.float32, st.integers(0, 30), elements=unit), max_size=5))
def test_a_searched_palette_holds_each_distinct_value_once(parts: list[Array]) -> None:
    levels = find_levels(parts)
    assert levels is not None
    assert levels.dtype == np.float32
    assert bits(levels) == sorted({number for part in parts for number in bits(part)})
    assert (np.diff(levels) > 0).all()
    if len(levels):
        encoder = PaletteEncoder(Palette(levels))
        assert all(bits(levels[encoder.encode(part)]) == bits(part) for part in parts)


def test_a_search_stops_as_soon_as_there_are_too_many_values() -> None:
    read = []

    def batches() -> Iterator[Array]:
        for number in range(10):
            read.append(number)
            yield EVEN[number * 100 : number * 100 + 100].reshape(10, 10)

    assert find_levels(batches(), 250) is None
    assert read == [0, 1, 2]
    assert len(find_levels(batches(), 1000)) == 1000  # type: ignore[arg-type]
    assert find_levels(batches(), 999) is None


def test_a_search_accepts_as_many_values_as_two_bytes_tell_apart() -> None:
    assert np.array_equal(find_levels([EVEN[::-1]]), EVEN)  # type: ignore[arg-type]
    extra = np.float32([np.nextafter(np.float32(1), np.float32(0))])
    assert extra not in EVEN
    assert find_levels([EVEN, extra]) is None


def test_a_search_refuses_a_negative_zero() -> None:
    assert find_levels([np.float32([0.5, -0.0])]) is None
