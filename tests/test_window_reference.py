"""Bounds for windows come from where the user says, and from nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5.errors import BoundsError, FormatError, SettingError
from sar_h5.stores.window_reference import read_reference, window_bounds
from sar_h5.units import QUANTITIES, Units
from tests.patch_files import make_codes, make_lut, write_file


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    return write_file(tmp_path / "vv.h5", make_codes((3, 16, 16), 9, "u1"), make_lut(9))


def test_a_converted_file_tells_how_its_patches_were_made(converted: Path) -> None:
    found = read_reference(converted)
    assert (found.bounds.vmin, found.bounds.vmax) == (14.77, 24.54)
    assert (found.grid.patch_size, found.grid.stride, found.polarization) == (16, 8, "vv")
    assert found.units is None
    for units, (quantity, unit) in QUANTITIES.items():
        with h5py.File(converted, "r+") as file:
            file.attrs.update({"quantity": quantity, "units": unit})
        assert read_reference(converted).units == units


def test_an_unknown_stride_is_half_a_patch(converted: Path) -> None:
    with h5py.File(converted, "r+") as file:
        for item in (file, file["patches"]):
            item.attrs["stride"] = -1
    assert read_reference(converted).grid.stride == 8


def test_files_of_others_tell_nothing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["patches"] = np.zeros((2, 8, 8), np.float32)
    with pytest.raises(FormatError, match="that sar-h5 convert has made"):
        read_reference(tmp_path / "x.h5")


def test_each_way_of_giving_bounds(converted: Path, tmp_path: Path) -> None:
    given = tmp_path / "bounds.json"
    given.write_text(json.dumps({"vv": [10, 20], "vh": [5, 15]}))
    reference = read_reference(converted)
    assert window_bounds(1, 2, None, None, "vv").vmax == 2
    assert window_bounds(None, None, given, None, "vh").vmin == 5
    assert window_bounds(None, None, None, reference, "vv") == reference.bounds


def test_none_and_too_many_are_refused(converted: Path) -> None:
    reference = read_reference(converted)
    with pytest.raises(BoundsError, match="never taken from the image itself: the same backscatter"):
        window_bounds(None, None, None, None, "vv")
    with pytest.raises(SettingError, match="belong together"):
        window_bounds(1, None, None, None, "vv")
    for both in ((1, 2, None, reference), (1, 2, "b.json", None), (None, None, "b.json", reference)):
        with pytest.raises(SettingError, match="found more than one of them"):
            window_bounds(*both, "vv")
    with pytest.raises(BoundsError, match="vmin must be below vmax"):
        window_bounds(2, 1, None, None, "vv")


def test_units_are_told_apart() -> None:
    assert len(set(QUANTITIES.values())) == len(Units)
