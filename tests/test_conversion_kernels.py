"""The compiled loops against NumPy, over every length that blocks and tails meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5 import conversion_kernels as kernels
from sar_h5.palette import NotInPaletteError, Palette, PaletteEncoder, dn_palette
from sar_h5.radiometry import Bounds
from tests.conftest import make_dn

Array = npt.NDArray[Any]
LENGTHS = [0, 1, 2, 3, 5, 1023, 1024, 1025, 5000]
LOW, HIGH = np.float32(0.01), np.float32(0.99)
NAN = np.uint32(0x7FC00000).view(np.float32)


def values_and_codes(length: int) -> tuple[PaletteEncoder, Array, Array]:
    palette, table = dn_palette(Bounds(14.77, 24.54))
    codes = table[make_dn(length, (length,))]
    return PaletteEncoder(palette), palette.lut[codes], codes


@pytest.mark.parametrize("length", LENGTHS)
def test_values_are_encoded_and_counted_in_one_pass(length: int) -> None:
    encoder, values, expected = values_and_codes(length)
    codes = np.zeros(length, dtype=expected.dtype)
    (counted,) = encoder.encode_into(values[np.newaxis], codes[np.newaxis], (LOW, HIGH))
    assert counted == np.count_nonzero((values > LOW) & (values < HIGH))
    assert np.array_equal(codes, expected)
    assert kernels.count_between(values, LOW, HIGH) == counted


@pytest.mark.parametrize("pixels", [1, 7, 1024, 2500])
def test_values_are_counted_by_patch(pixels: int) -> None:
    encoder, values, expected = values_and_codes(6 * pixels)
    values, expected = values.reshape(6, pixels), expected.reshape(6, pixels)
    codes = np.zeros_like(expected)
    counted = encoder.encode_into(values, codes, (LOW, HIGH))
    assert counted.tolist() == np.count_nonzero((values > LOW) & (values < HIGH), axis=1).tolist()
    assert np.array_equal(codes, expected)


@pytest.mark.parametrize("position", [0, 1, 1023, 1024, 2999])
@pytest.mark.parametrize(
    "bad", [NAN, -NAN, np.inf, -np.inf, np.float32(-0.0), np.float32(-1e-45), np.float32(1e30), np.float32(1.5),
            np.nextafter(np.float32(1), np.float32(2)), np.float32(0.123456)]
)  # fmt: skip
def test_one_value_that_is_no_level_is_refused_wherever_it_is(position: int, bad: np.float32) -> None:
    encoder, values, codes = values_and_codes(3000)
    values[position] = bad
    with pytest.raises(NotInPaletteError):
        encoder.encode_into(values[np.newaxis], codes[np.newaxis], (LOW, HIGH))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 0x3F800000), min_size=1, max_size=300, unique=True), st.integers(0, 1), st.data())
def test_any_levels_are_found_and_nothing_between_them(bits: list[int], invalid: int, data: st.DataObject) -> None:
    levels = np.sort(np.array(bits, dtype=np.uint32)).view(np.float32)
    lut = np.concatenate([np.zeros(invalid, np.float32), levels])
    encoder = PaletteEncoder(Palette(lut, 0 if invalid else None))
    numbers = np.array(data.draw(st.lists(st.integers(0, len(levels) - 1), max_size=50)), dtype=np.intp)
    assert encoder.encode(levels[numbers]).tolist() == (numbers + invalid).tolist()
    near = np.uint32(data.draw(st.sampled_from(bits)) + 1)
    if near not in np.array(bits, dtype=np.uint32):
        with pytest.raises(NotInPaletteError):
            encoder.encode(np.array([near], dtype=np.uint32).view(np.float32))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_codes_are_looked_up(length: int, dtype: type) -> None:
    codes = np.random.default_rng(length).integers(0, 200, length).astype(dtype)
    lut = np.linspace(0, 1, 200, dtype=np.float32)
    values = np.full(length, -1, dtype=np.float32)
    kernels.look_up(codes, lut, values)
    assert np.array_equal(values, lut[codes])


@pytest.mark.parametrize("nodata", [0, 7, 65535])
@pytest.mark.parametrize("counting", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_digital_numbers_are_looked_up_told_apart_and_counted_in_one_pass(
    nodata: int, counting: bool, dtype: type
) -> None:
    dn = np.random.default_rng(nodata).choice(np.uint16([0, 1, 7, 9, 100, 65535]), 3001)
    table = (np.arange(65536) % 251).astype(dtype)
    stored, counted = np.zeros(len(dn), dtype), np.zeros(len(dn), bool)
    counts = np.ones(65536, np.uint64) if counting else None
    kernels.encode_dn(dn, nodata, table, 7, 100, stored, counted, counts)
    masked = np.where(dn == nodata, np.uint16(0), dn)
    assert np.array_equal(stored, table[masked])
    assert np.array_equal(counted, (masked >= 7) & (masked <= 100))
    if counts is not None:
        assert np.array_equal(counts, 1 + np.bincount(masked, minlength=65536))


@pytest.mark.parametrize("length", LENGTHS)
def test_numbers_are_added_to_what_was_counted_before(length: int) -> None:
    numbers = np.random.default_rng(length).integers(0, 65536, length).astype(np.uint16)
    counts = np.full(65536, 1 << 40, np.uint64)
    kernels.add_numbers(numbers, counts)
    assert np.array_equal(counts, (1 << 40) + np.bincount(numbers, minlength=65536))


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (300, 64), (2, 70_000)])
def test_columns_are_counted(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.3
    columns = np.full(shape[1], 10, np.int32)
    kernels.count_columns(mask, columns)
    assert np.array_equal(columns, 10 + mask.sum(axis=0))


@pytest.mark.parametrize("distinct", [1, 2, 100, 1000])
def test_distinct_values_are_collected_until_there_are_too_many(distinct: int) -> None:
    generator = np.random.default_rng(distinct)
    pool = generator.choice(1 << 30, distinct, replace=False).astype(np.uint32)
    parts = [pool[generator.integers(0, distinct, 5000)] for _ in range(3)] + [pool]
    for most, fits in ((distinct, True), (distinct + 5, True), (distinct - 1, False)):
        table, known = np.full(4096, 0xFFFFFFFF, np.uint32), 0
        for part in parts:
            if known >= 0:
                known = kernels.collect_distinct(part, table, known, most)
        assert known == (distinct if fits else -1)
        if fits:
            assert np.array_equal(np.sort(table[table != 0xFFFFFFFF]), np.sort(pool))


def test_a_hash_set_that_is_half_full_of_neighbours_works() -> None:
    neighbours = np.arange(0x3F000000, 0x3F000000 + 65536, dtype=np.uint32)
    table = np.full(1 << 17, 0xFFFFFFFF, np.uint32)
    assert kernels.collect_distinct(neighbours, table, 0, 65536) == 65536
    assert kernels.collect_distinct(neighbours[::-1].copy(), table, 65536, 65536) == 65536
    assert kernels.collect_distinct(np.uint32([5]), table, 65536, 65536) == -1
