"""Rasters of one polarization: found, checked, in a unit that fits; or an error that says what is in the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sar_h5.errors import BadSourceError, RadiometryError, SettingError, SourceError
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from sar_h5.stores.image_sources import find_images, image_units
from sar_h5.units import Units
from tests.conftest import make_dn, make_shards
from tests.raster_files import write_raster


def test_of_several_polarizations_one_must_be_chosen(products: Path) -> None:
    with pytest.raises(SettingError, match='found rasters of vv and vh; say which to read, with polarization="vv"'):
        find_images([products], None, skip_broken=False)
    polarization, scenes = find_images([products], "vh", skip_broken=False)
    assert polarization == "vh"
    assert [scene.info.polarization for scene in scenes] == ["vh", "vh"]
    with pytest.raises(SettingError, match="found 'xx'"):
        find_images([products], "xx", skip_broken=False)


def test_every_broken_raster_is_named_or_left_out(tmp_path: Path) -> None:
    for name in ("a-vv", "b-vv", "c-vv"):
        write_raster(tmp_path / f"{name}.tif")
    for name in ("a-vv", "b-vv"):
        (tmp_path / f"{name}.tif").write_bytes(b"II*\0")
    with pytest.raises(BadSourceError, match="2 sources are broken; nothing can be read") as caught:
        find_images([tmp_path], None, skip_broken=False)
    assert [Path(bad.path).name for bad in caught.value.sources] == ["a-vv.tif", "b-vv.tif"]
    assert [scene.info.name for scene in find_images([tmp_path], None, skip_broken=True)[1]] == ["c"]


def test_a_damaged_archive_is_found_before_its_pixels_are_used(tmp_path: Path) -> None:
    path = simulate_product(
        tmp_path, SimulatedScene(height=60, width=80, border_px=0, polarizations=("VV",)), zipped=True
    )
    assert len(find_images([path], "vv", skip_broken=False)[1]) == 1
    data = bytearray(path.read_bytes())
    place = data.index(b"II*\0") + 3000
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BadSourceError, match="the archive is damaged"):
        find_images([path], "vv", skip_broken=False)


def test_shards_complex_images_and_nothing_are_refused(tmp_path: Path, real_data: Path) -> None:
    with pytest.raises(SourceError, match="found no scene"):
        find_images([tmp_path], None, skip_broken=False)
    make_shards(tmp_path)
    with pytest.raises(SourceError, match="found shards, which LazyPatchDataset reads"):
        find_images([tmp_path], "vv", skip_broken=False)
    with pytest.raises(BadSourceError, match=r"expected detected amplitude or intensity, found complex|SLC"):
        find_images([real_data / "slc_complex"], None, skip_broken=False)


def test_units_must_be_those_that_the_bounds_are_for(tmp_path: Path) -> None:
    write_raster(tmp_path / "dn-vv.tif", make_dn(0, (40, 50)))
    write_raster(tmp_path / "odd-vh.tif", np.full((40, 50), 7, np.float32))
    _, integers = find_images([tmp_path], "vv", skip_broken=False)
    _, floats = find_images([tmp_path], "vh", skip_broken=False)
    assert image_units(integers, "auto", None) == image_units(integers, "auto", Units.DN) == Units.DN
    assert image_units(floats, "auto", Units.DB) == Units.DB  # as the file says; the pixels leave a doubt
    with pytest.raises(RadiometryError, match="cannot tell whether"):
        image_units(floats, "auto", None)
    with pytest.raises(RadiometryError, match=r"digital numbers, those of the file given as like= were in dB"):
        image_units(integers, "auto", Units.DB)
    with pytest.raises(RadiometryError, match=r"pixels are linear power, those .* were in dB"):
        image_units(floats, "linear", Units.DB)
    with pytest.raises(SettingError, match="found 'amplitude'"):
        image_units(floats, "amplitude", None)
