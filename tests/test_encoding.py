"""Encoders: what is stored decodes to what the reference pipeline gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.encoding import (
    DnEncoder,
    DnPatchEncoder,
    FloatEncoder,
    ShardEncoder,
    Storage,
    float_storage,
    mask_dn,
    palette_storage,
)
from sar_h5.palette import NotInPaletteError, Palette, find_levels, with_invalid
from sar_h5.radiometry import Bounds, from_db, is_inside, preprocess_sar_complete, scale_all_dn
from sar_h5.schema import Encoding
from sar_h5.settings import ValidMeasure
from sar_h5.units import Units
from tests.conftest import make_dn

Array = npt.NDArray[Any]
BOUNDS = Bounds(14.77, 24.54)


def bordered_dn(seed: int = 0) -> Array:
    dn = make_dn(seed, (40, 50))
    dn[:, :7] = 0
    return dn


def decode(stored: Array, storage: Storage) -> Array:
    assert stored.dtype == storage.dtype
    values: Array = stored if storage.lut is None else storage.lut[stored]
    return values


def assert_same_bits(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype == np.float32
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
@pytest.mark.parametrize("measure", ["range", "pixels"])
def test_digital_numbers_decode_to_the_reference(encoding: Encoding, measure: ValidMeasure) -> None:
    dn = bordered_dn()
    encoder = DnEncoder(encoding, BOUNDS, measure)
    band = encoder.encode(dn, None)
    expected = preprocess_sar_complete(dn, BOUNDS.vmin, BOUNDS.vmax)[0]
    assert_same_bits(decode(band.stored, encoder.storage), expected)
    assert np.array_equal(band.counted, is_inside(expected) if measure == "range" else dn > 0)
    assert encoder.storage.encoding == encoding
    assert encoder.storage.from_dn == (encoding != "float32")


@settings(max_examples=20, deadline=None)
@given(vmin=st.floats(-20, 40), span=st.floats(0.1, 60), seed=st.integers(0, 2**32))
def test_any_bounds_leave_digital_numbers_lossless(vmin: float, span: float, seed: int) -> None:
    bounds = Bounds(vmin, vmin + span)
    dn = np.random.default_rng(seed).integers(0, 65536, (30, 30)).astype(np.uint16)
    dn[0, 0] = 65535
    encoder = DnEncoder("palette", bounds, "range")
    values = decode(encoder.encode(dn, None).stored, encoder.storage)
    assert_same_bits(values[dn > 0], scale_all_dn(bounds)[dn][dn > 0])
    assert (values[dn == 0] == 0).all()


@pytest.mark.parametrize("encoding", ["palette", "dn"])
def test_the_invalid_code_marks_the_border_and_nodata_alone(encoding: Encoding) -> None:
    dn = bordered_dn()
    dn[5, 20:30] = 4711
    encoder = DnEncoder(encoding, BOUNDS, "pixels")
    band = encoder.encode(dn, 4711.0)
    invalid = (dn == 0) | (dn == 4711)
    assert np.array_equal(band.stored == encoder.storage.invalid_code, invalid)
    assert np.array_equal(band.counted, ~invalid)


def test_the_encoding_dn_keeps_the_digital_numbers_themselves() -> None:
    dn = bordered_dn()
    encoder = DnEncoder("dn", BOUNDS, "range")
    assert np.array_equal(encoder.encode(dn, None).stored, dn)
    assert encoder.storage.dtype == np.uint16
    assert_same_bits(encoder.storage.lut, scale_all_dn(BOUNDS))  # type: ignore[arg-type]


def test_float32_from_digital_numbers_has_no_table() -> None:
    storage = DnEncoder("float32", BOUNDS, "range").storage
    assert (storage.lut, storage.invalid_code, storage.dtype) == (None, None, np.dtype("<f4"))


@pytest.mark.parametrize("nodata", [None, 0.0, -9999.0, np.nan, np.inf, 7.5, 70000.0])
def test_a_nodata_value_that_no_digital_number_takes_masks_nothing(nodata: float | None) -> None:
    dn = np.array([0, 1, 7, 8, 4464, 65535], dtype=np.uint16)  # 70000 - 65536 = 4464
    assert np.array_equal(mask_dn(dn, nodata), dn)


def test_a_nodata_digital_number_becomes_zero_in_a_copy() -> None:
    dn = np.array([3, 65535, 3], dtype=np.uint16)
    masked = mask_dn(dn, 65535.0)
    assert (masked.tolist(), masked.dtype) == ([3, 0, 3], np.uint16)
    assert dn.tolist() == [3, 65535, 3]


# Float rasters


def float_pixels(units: Units, dtype: npt.DTypeLike) -> tuple[Array, Array]:
    """Backscatter in few levels, with NaN, infinities, -9999 and zeros; and which of them are invalid."""
    db = np.random.default_rng(1).integers(-60, 20, (30, 40)) / 4
    pixels = (db if units == Units.DB else from_db(db)).astype(dtype)
    pixels[0, :4] = np.nan, np.inf, -np.inf, -9999
    invalid = np.zeros(pixels.shape, dtype=bool)
    invalid[0, :4] = True
    if units == Units.LINEAR:
        pixels[1, :2], invalid[1, :2] = (0, -1), True
    return pixels, invalid


@pytest.mark.parametrize("units", [Units.LINEAR, Units.DB])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("measure", ["range", "pixels"])
@pytest.mark.parametrize("vmin", [-15.0, -200.0])
def test_floats_decode_to_the_reference_by_value_and_by_palette(
    units: Units, dtype: npt.DTypeLike, measure: ValidMeasure, vmin: float
) -> None:
    bounds = Bounds(vmin, 3)
    pixels, invalid = float_pixels(units, dtype)
    low, high = np.float32(vmin), np.float32(3)
    with np.errstate(invalid="ignore", divide="ignore"):
        single = pixels.astype(np.float32)
        db = single if units == Units.DB else 10 * np.log10(single)
        expected = (np.clip(db, low, high) - low) / (high - low)
    expected[invalid] = 0
    plain = FloatEncoder(float_storage(), units, bounds, measure).encode(pixels, -9999.0)
    assert_same_bits(plain.stored, expected)
    assert np.array_equal(plain.counted, is_inside(expected) if measure == "range" else ~invalid)
    levels = find_levels([expected])
    assert levels is not None
    storage = palette_storage(with_invalid(levels), from_dn=False)
    band = FloatEncoder(storage, units, bounds, measure).encode(pixels, -9999.0)
    assert_same_bits(decode(band.stored, storage), expected)
    assert np.array_equal(band.stored == storage.invalid_code, invalid)
    assert np.array_equal(band.counted, plain.counted)


def test_floats_that_are_not_in_the_palette_are_refused() -> None:
    storage = palette_storage(with_invalid(np.float32([0, 0.5, 1])), from_dn=False)
    encoder = FloatEncoder(storage, Units.DB, Bounds(0, 10), "range")
    assert encoder.encode(np.float32([[-3, 5, 12, np.nan]]), None).stored.tolist() == [[1, 2, 3, 0]]
    with pytest.raises(NotInPaletteError):
        encoder.encode(np.float32([[5.1]]), None)


def test_encoders_leave_pixels_as_they_were() -> None:
    pixels, _ = float_pixels(Units.DB, np.float32)
    dn = bordered_dn()
    before = pixels.copy(), dn.copy()
    FloatEncoder(float_storage(), Units.DB, BOUNDS, "range").encode(pixels, -9999.0)
    DnEncoder("palette", BOUNDS, "range").encode(dn, float(dn.max()))
    assert np.array_equal(pixels, before[0], equal_nan=True)
    assert np.array_equal(dn, before[1])


# Shards


@pytest.mark.parametrize("measure", ["range", "pixels"])
@pytest.mark.parametrize("by_palette", [False, True])
def test_shards_decode_to_themselves(measure: ValidMeasure, by_palette: bool) -> None:
    values = scale_all_dn(BOUNDS)[make_dn(2, (5, 16, 16))]
    values[:, :3] = 0
    storage = palette_storage(Palette(np.unique(values)), from_dn=False) if by_palette else float_storage("asked")
    stored, fraction = ShardEncoder(storage).encode(values, measure)
    assert_same_bits(decode(stored, storage), values)
    inside = (values > 0.01) & (values < 0.99) if measure == "range" else values > 0
    assert fraction.dtype == np.float64
    assert fraction.tolist() == [int(patch.sum()) / 256 for patch in inside]
    assert (storage.invalid_code, storage.from_dn) == (None, False)


def test_the_valid_fraction_of_shards_meets_the_threshold_exactly() -> None:
    values = np.zeros((1, 10, 10), dtype=np.float32)
    values.ravel()[:90] = 0.5
    assert ShardEncoder(float_storage()).encode(values, "range")[1].tolist() == [0.9]


def test_a_shard_value_outside_the_palette_is_refused() -> None:
    encoder = ShardEncoder(palette_storage(Palette(np.float32([0, 1])), from_dn=False))
    with pytest.raises(NotInPaletteError):
        encoder.encode(np.full((1, 2, 2), 0.5, dtype=np.float32), "range")


@pytest.mark.parametrize("piece", [1, 49, 50, 51, 130, 10_000])
def test_floats_encoded_in_pieces_are_those_encoded_whole(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    pixels = np.random.default_rng(0).gamma(4.4, 0.05 / 4.4, (40, 50)).astype(np.float32)
    pixels[:, :7], pixels[3, 20:25], pixels[9, 9] = np.nan, -1, 0.25
    bounds = Bounds(-20, -8)
    values = preprocess_sar_complete(np.where(pixels == 0.25, np.nan, pixels), -20, -8)[0]
    levels = find_levels([values])
    assert levels is not None
    monkeypatch.setattr("sar_h5.units.PIECE_PIXELS", piece)
    for storage in (float_storage(), palette_storage(with_invalid(levels), from_dn=False)):
        band = FloatEncoder(storage, Units.LINEAR, bounds, "pixels").encode(pixels, 0.25)
        assert_same_bits(decode(band.stored, storage), values)
        assert np.array_equal(band.counted, (pixels > 0) & (pixels != 0.25))
        if storage.lut is not None:
            assert np.array_equal(band.stored == 0, ~band.counted)


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
@pytest.mark.parametrize("measure", ["range", "pixels"])
def test_patches_of_digital_numbers_are_encoded_as_their_scene_is(encoding: Encoding, measure: ValidMeasure) -> None:
    bounds = Bounds(14.77, 24.54)
    patches = np.random.default_rng(0).integers(0, 60, (3, 16, 16)).astype(np.uint16)
    stored, fraction = DnPatchEncoder(encoding, bounds).encode(patches, measure)
    for patch, encoded, share in zip(patches, stored, fraction, strict=True):
        band = DnEncoder(encoding, bounds, measure).encode(patch, None)
        np.testing.assert_array_equal(encoded, band.stored)
        assert share == band.counted.mean()
    assert DnPatchEncoder(encoding, bounds).storage.from_dn == (encoding == "dn")
