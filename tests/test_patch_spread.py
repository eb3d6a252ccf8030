"""A few patches that stand for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.errors import SettingError
from sar_h5.patch_spread import spread_patches


@given(st.integers(0, 800_000), st.integers(1, 100), st.integers(0, 2**32))
def test_one_patch_comes_from_each_stretch_and_the_seed_decides_which(count: int, wanted: int, seed: int) -> None:
    numbers = spread_patches(count, wanted, seed)
    assert len(numbers) == min(count, wanted)
    assert np.array_equal(numbers, spread_patches(count, wanted, seed))
    assert (np.diff(numbers) > 0).all()
    if wanted < count:
        edges = [count * stretch // wanted for stretch in range(wanted + 1)]
        assert all(low <= number < high for low, number, high in zip(edges[:-1], numbers, edges[1:], strict=True))


def test_other_seeds_choose_others() -> None:
    assert len({tuple(spread_patches(10_000, 5, seed)) for seed in range(10)}) == 10


def test_no_patch_is_refused() -> None:
    with pytest.raises(SettingError, match=r"expected at least 1 patch to show; found 0"):
        spread_patches(5, 0)
