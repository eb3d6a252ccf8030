"""The compiled loop of shards stops where something is not as it should be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sar_h5.native import find_native_reads
from sar_h5.stores.shard_kernels import read_floats

NATIVE = find_native_reads()


@pytest.mark.skipif(NATIVE is None, reason="no compiled way on this machine")
@pytest.mark.parametrize(
    ("value", "done"), [(0.0, 3), (1.0, 3), (1e-45, 3), (-0.0, 1), (1.0000001, 1), (np.nan, 1), (-np.inf, 1)]
)
def test_it_stops_at_the_first_value_outside_the_range(tmp_path: Path, value: float, done: int) -> None:
    assert NATIVE is not None
    patches = np.full((3, 9, 9), 0.5, np.float32)
    patches[1, 8, 8] = value
    (tmp_path / "raw").write_bytes(patches.tobytes())
    offsets, turns, places = np.arange(3) * 324, np.zeros(3, np.uint8), np.array([2, 0, 1])
    out = np.zeros((3, 9, 9), np.float32)
    scratch = np.empty((9, 9), np.float32)
    descriptor = os.open(tmp_path / "raw", os.O_RDONLY)
    assert read_floats(NATIVE.pread, descriptor, offsets, turns, places, True, scratch, out) == done
    assert np.array_equal(out[2], patches[0])
    assert read_floats(NATIVE.pread, descriptor, offsets, turns, places, False, scratch, out) == 3
    assert np.array_equal(out[places], patches, equal_nan=True)
    assert read_floats(NATIVE.pread, descriptor, offsets + 324, turns, places, False, scratch, out) == 2
    os.close(descriptor)
    assert read_floats(NATIVE.pread, -1, offsets, turns, places, False, scratch, out) == 0
