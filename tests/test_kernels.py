"""The compiled loops against NumPy: look-up and symmetry in one sweep, and codes that lead outside the table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.kernels import place
from sar_h5.lookup import COMPILED_DTYPES, Lookup
from sar_h5.symmetry import SYMMETRIES, apply_symmetry
from tests.patch_files import make_lut


def make_patch(height: int, width: int, dtype: np.dtype, levels: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, levels, (height, width)).astype(dtype)


def nowhere(*shape: int) -> np.ndarray:
    """Memory in which any pixel that is left out shows."""
    return np.full(shape, np.nan, dtype=np.float32)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 15, 16, 17, 31, 64, 100])
@pytest.mark.parametrize("dtype", COMPILED_DTYPES, ids=str)
@pytest.mark.parametrize("symmetry", range(SYMMETRIES))
def test_a_patch_is_placed_as_numpy_turns_it(size: int, dtype: np.dtype, symmetry: int) -> None:
    patch, out = make_patch(size, size, dtype), nowhere(size, size)
    assert place(patch, None, 0, symmetry, out)
    np.testing.assert_array_equal(out, apply_symmetry(patch, symmetry))


@pytest.mark.parametrize("size", [1, 7, 8, 25, 64])
@pytest.mark.parametrize(("dtype", "levels"), [("u1", 256), ("u1", 3), ("<u2", 65536), ("<u2", 300), ("<u2", 1)])
@pytest.mark.parametrize("symmetry", range(SYMMETRIES))
def test_codes_are_looked_up_on_the_way(size: int, dtype: str, levels: int, symmetry: int) -> None:
    lut = make_lut(levels)
    lookup = Lookup(lut, np.dtype(dtype))
    patch, out = make_patch(size, size, np.dtype(dtype), levels), nowhere(size, size)
    assert place(patch, lookup.table, lookup.levels, symmetry, out)
    assert out.tobytes() == apply_symmetry(lut[patch], symmetry).tobytes()


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 40), symmetry=st.integers(0, 7), levels=st.integers(1, 256), seed=st.integers(0, 2**32))
def test_any_size_and_table_give_what_numpy_gives(size: int, symmetry: int, levels: int, seed: int) -> None:
    lut = np.random.default_rng(seed).random(levels, dtype=np.float32)
    lookup = Lookup(lut, np.dtype("u1"))
    patch, out = make_patch(size, size, np.dtype("u1"), levels, seed), nowhere(size, size)
    assert place(patch, lookup.table, lookup.levels, symmetry, out)
    assert out.tobytes() == apply_symmetry(lut[patch], symmetry).tobytes()


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (8, 16), (17, 5)])
@pytest.mark.parametrize("symmetry", [0, 2, 4, 6])
@pytest.mark.parametrize("dtype", COMPILED_DTYPES, ids=str)
def test_patches_that_are_not_square_are_placed_upright_or_upended(
    shape: tuple[int, int], symmetry: int, dtype: np.dtype
) -> None:
    patch, out = make_patch(*shape, dtype), nowhere(*shape)
    assert place(patch, None, 0, symmetry, out)
    np.testing.assert_array_equal(out, apply_symmetry(patch, symmetry))


@pytest.mark.parametrize("symmetry", range(SYMMETRIES))
@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_a_code_outside_the_table_is_refused_wherever_it_is(symmetry: int, dtype: str) -> None:
    lookup = Lookup(make_lut(200), np.dtype(dtype))
    patch, out = make_patch(9, 9, np.dtype(dtype), 200), nowhere(9, 9)
    for position in np.ndindex(9, 9):
        for code in (200, np.iinfo(dtype).max):
            damaged = patch.copy()
            damaged[position] = code
            assert not place(damaged, lookup.table, lookup.levels, symmetry, out)
        damaged[position] = 199  # the last one that counts
        assert place(damaged, lookup.table, lookup.levels, symmetry, out)


def test_special_values_come_through_as_they_are() -> None:
    patch = np.array([[np.nan, np.inf], [-0.0, -1e-45]], dtype=np.float32)
    for symmetry in range(SYMMETRIES):
        out = np.zeros((2, 2), dtype=np.float32)
        assert place(patch, None, 0, symmetry, out)
        assert out.tobytes() == np.ascontiguousarray(apply_symmetry(patch, symmetry)).tobytes()
