"""The table of a file, and patches of dtypes that have no compiled loop."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.lookup import COMPILED_DTYPES, Lookup
from sar_h5.symmetry import SYMMETRIES, apply_symmetry
from tests.patch_files import make_lut


@pytest.mark.parametrize("dtype", ["i1", "<i2", "<i4", "<u4", ">u2", ">f4", "<f2", "<f8", "<i8"])
@pytest.mark.parametrize("shape", [(5, 5), (4, 7)])
def test_other_dtypes_go_through_numpy_and_give_the_same(dtype: str, shape: tuple[int, int]) -> None:
    assert np.dtype(dtype) not in COMPILED_DTYPES
    patch = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    for symmetry in range(SYMMETRIES) if shape[0] == shape[1] else (0, 2, 4, 6):
        out = np.full(shape, np.nan, dtype=np.float32)
        Lookup(None, patch.dtype).place(patch, symmetry, out)
        np.testing.assert_array_equal(out, apply_symmetry(patch, symmetry).astype(np.float32))


def test_native_byte_order_by_another_name_has_a_compiled_loop() -> None:
    assert np.dtype(np.uint16) in COMPILED_DTYPES
    assert np.dtype("=f4") in COMPILED_DTYPES
    assert np.dtype(">u2") not in COMPILED_DTYPES


@pytest.mark.parametrize(("dtype", "levels"), [("u1", 1), ("u1", 256), ("<u2", 300), ("<u2", 65536)])
def test_the_table_is_as_long_as_the_dtype_has_values(dtype: str, levels: int) -> None:
    lut = make_lut(levels)
    lookup = Lookup(lut, np.dtype(dtype))
    assert lookup.levels == levels
    assert lookup.table is not None
    assert len(lookup.table) == np.iinfo(dtype).max + 1
    assert lookup.table[:levels].tobytes() == lut.tobytes()
    assert not lookup.table[levels:].any()


def test_entries_that_no_code_can_reach_are_left_out() -> None:
    lookup = Lookup(make_lut(1000), np.dtype("u1"))
    assert lookup.levels == 256
    out = np.zeros((1, 1), dtype=np.float32)
    lookup.place(np.array([[255]], dtype=np.uint8), 0, out)
    assert out[0, 0] == make_lut(1000)[255]


def test_an_empty_table_has_no_codes() -> None:
    with pytest.raises(ValueError, match="a code lies outside the table of 0"):
        Lookup(np.zeros(0, np.float32), np.dtype("u1")).place(
            np.zeros((2, 2), np.uint8), 0, np.zeros((2, 2), np.float32)
        )


def test_a_code_outside_the_table_is_an_error_that_says_so() -> None:
    lookup = Lookup(make_lut(5), np.dtype("u1"))
    patch = np.array([[0, 5]], dtype=np.uint8)
    with pytest.raises(ValueError, match="a code lies outside the table of 5"):
        lookup.place(patch, 0, np.zeros((1, 2), np.float32))


def test_patches_of_read_only_bytes_and_of_any_strides_are_placed() -> None:
    codes = np.arange(36, dtype=np.uint8).reshape(6, 6)
    read_only = np.frombuffer(codes.tobytes(), dtype=np.uint8).reshape(6, 6)
    lut = make_lut(36)
    for patch in (read_only, codes.T, codes[::-1, ::-1]):
        out = np.zeros((6, 6), dtype=np.float32)
        Lookup(lut, codes.dtype).place(patch, 5, out)
        assert out.tobytes() == np.ascontiguousarray(apply_symmetry(lut[patch], 5)).tobytes()


def test_compiling_early_changes_nothing() -> None:
    lookup = Lookup(make_lut(4), np.dtype("u1"))
    table = lookup.table.copy()
    lookup.compile_loop(np.dtype("u1"))
    assert np.array_equal(lookup.table, table)
    Lookup(None, np.dtype("<f4")).compile_loop(np.dtype("<f8"))  # which goes through NumPy
