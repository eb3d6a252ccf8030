"""Values of patches counted: exactly for codes, in bins for floats, and what holds no value apart."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5.errors import FormatError
from sar_h5.reader import PatchReader
from sar_h5.value_counts import count_values
from tests.patch_files import make_codes, make_lut, read_plain, write_file


def test_codes_are_counted_by_value(tmp_path: Path) -> None:
    lut = make_lut(100)
    lut[1] = lut[0]  # as the code for invalid pixels has the value of the lower end
    path = write_file(tmp_path / "a.h5", make_codes((6, 20, 20), 100, "u1"), lut)
    numbers = np.array([1, 4, 5])
    counted = count_values(PatchReader(path), numbers)
    levels, counts = np.unique(read_plain(path, numbers), return_counts=True)
    assert np.array_equal(counted.levels[counted.counts > 0], levels.astype(np.float64))
    assert np.array_equal(counted.counts[counted.counts > 0], counts)
    assert counted.missing == 0


def test_invalid_pixels_of_a_palette_are_no_values(tmp_path: Path) -> None:
    codes = make_codes((3, 8, 8), 50, "u1")
    path = write_file(tmp_path / "a.h5", codes, make_lut(50))
    with h5py.File(path, "r+") as file:
        file["patches"].attrs["invalid_code"] = 0
    counted = count_values(PatchReader(path), np.arange(3))
    assert counted.missing == np.sum(codes == 0)
    assert counted.counts.sum() == np.sum(codes != 0)


def test_floats_are_counted_in_bins_with_their_ends_apart(tmp_path: Path) -> None:
    values = np.clip(np.random.default_rng(0).normal(-12, 4, (4, 30, 50)), -20, -5).astype(np.float32)
    values[0, :5] = np.nan
    values[1, 0, 0] = np.inf
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = values
    counted = count_values(PatchReader(tmp_path / "a.h5"), np.arange(4))
    assert counted.missing == 251
    assert counted.counts.sum() == values.size - 251
    assert counted.levels[[0, -1]].tolist() == [-20, -5]
    assert counted.counts[[0, -1]].tolist() == [np.sum(values == -20), np.sum(values == -5)]
    assert (np.diff(counted.levels) > 0).all()


def test_small_integers_of_others_get_a_bin_each(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(3, 9, (2, 10, 10)).astype(np.int16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = values
    counted = count_values(PatchReader(tmp_path / "a.h5"), np.arange(2))
    assert counted.levels.tolist() == [3, 4, 5, 6, 7, 8]
    assert counted.counts.tolist() == [np.sum(values == level) for level in range(3, 9)]


def test_one_value_and_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.stack([np.full((4, 4), 2.5), np.full((4, 4), np.nan)])
    reader = PatchReader(tmp_path / "a.h5")
    assert count_values(reader, np.arange(2)).levels.tolist() == [2.5]
    with pytest.raises(FormatError, match=r"a\.h5: expected values to count; 1 patches hold none"):
        count_values(reader, np.array([1]))
