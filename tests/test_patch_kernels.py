"""The compiled pass over codes counts what NumPy counts."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.patch_kernels import measure_codes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_codes_are_measured_as_numpy_measures_them(dtype: type) -> None:
    generator = np.random.default_rng(0)
    most = np.iinfo(dtype).max + 1
    codes = generator.integers(0, most, (6, 50)).astype(dtype)
    codes[0], codes[1] = 0, most - 1
    counted = generator.random(most) < 0.4
    highest, counts = np.empty(6), np.empty(6, np.int64)
    measure_codes(codes, counted, highest, counts)
    assert highest.tolist() == codes.max(axis=1).tolist()
    assert counts.tolist() == counted[codes].sum(axis=1).tolist()
