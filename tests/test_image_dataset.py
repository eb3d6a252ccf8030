"""``SARImageDataset`` gives the windows that a conversion cuts, and the others, with their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from torch.utils.data import DataLoader

from sar_h5 import SARH5Dataset, SARImageDataset, convert
from sar_h5.errors import BoundsError, SettingError
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from tests.conftest import make_dn
from tests.raster_files import TRANSFORM, write_raster


def number_of(windows: SARImageDataset) -> dict[tuple[str, int, int], int]:
    names, index = windows.scenes["name"], windows.index
    places = zip(*(index[name].tolist() for name in ("scene", "row", "col")), strict=True)
    return {(names[scene], row, col): number for number, (scene, row, col) in enumerate(places)}


def check_against(path: Path, windows: SARImageDataset) -> int:
    """Compare every patch of a file with the window at its place, and return how many there are."""
    patches = SARH5Dataset(path, sample="dict")
    numbers = number_of(windows)
    (found,) = DataLoader(patches, len(patches))
    names = [patches.scenes["name"][scene] for scene in found["scene"].tolist()]
    places = zip(names, found["row"].tolist(), found["col"].tolist(), strict=True)
    (expected,) = DataLoader(windows, len(patches), sampler=[numbers[place] for place in places])
    for key in ("image", "bounds", "transform"):
        assert found[key].numpy().tobytes() == expected[key].numpy().tobytes()
    return len(patches)


@pytest.mark.parametrize("options", [{}, {"encoding": "dn"}, {"encoding": "float32"}])
def test_every_patch_of_a_converted_product_is_the_window_at_its_place(
    products: Path, tmp_path: Path, options: Any
) -> None:
    convert(products, tmp_path, patch_size=64, stride=48, min_valid=0.0, **options)
    for polarization in ("vv", "vh"):
        path = tmp_path / f"{polarization}.h5"
        windows = SARImageDataset(products, like=path)
        assert (windows.polarization, windows.patch_size, windows.stride) == (polarization, 64, 48)
        assert check_against(path, windows) == 2 * 8 * 12
        assert len(windows) == 2 * 8 * 13  # rows end with the scene, columns do not


@pytest.mark.parametrize(
    "place",
    [
        "S1A_IW_GRDH_1SDV_20180716T004042_20180716T004107_022812_02792A_FD5B",
        "opera_rtc_nan",
        "pyrosar/S1A__IW___A_20150309T173017_VV_grd_mli_geo_norm_db.tif",
    ],
)
def test_every_patch_of_real_rasters_is_the_window_at_its_place(real_data: Path, tmp_path: Path, place: str) -> None:
    convert(real_data / place, tmp_path, patch_size=64, stride=64, min_valid=0.2)
    for path in tmp_path.glob("*.h5"):
        assert check_against(path, SARImageDataset(real_data / place, like=path)) > 5


def test_a_zipped_product_gives_the_same(tmp_path: Path) -> None:
    scene = SimulatedScene(height=200, width=300, border_px=10)
    options: Any = {"polarization": "vh", "vmin": 14.0, "vmax": 24.0, "patch_size": 64}
    plain = SARImageDataset(simulate_product(tmp_path, scene), **options)
    zipped = SARImageDataset(simulate_product(tmp_path, scene, zipped=True), **options)
    assert plain.stride == 32
    for one, other in zip(DataLoader(plain, 16), DataLoader(zipped, 16, num_workers=1), strict=True):
        assert torch.equal(one["image"], other["image"])


def test_predictions_can_be_put_back_so_that_the_scene_is_whole(tmp_path: Path) -> None:
    pixels = write_raster(tmp_path / "a-vv.tif", make_dn(0, (90, 131)))
    whole = SARImageDataset(tmp_path, vmin=14, vmax=24, patch_size=200)[0]["image"][0, :90, :131]
    windows = SARImageDataset(tmp_path, vmin=14, vmax=24, patch_size=32, stride=20)
    scene = torch.full(pixels.shape, torch.nan)
    for batch in DataLoader(windows, 7):
        for image, row, col in zip(batch["image"], batch["row"], batch["col"], strict=True):
            scene[row : row + 32, col : col + 32] = image[0]
    assert torch.equal(scene, whole)
    sample = windows[-1]
    transform = rasterio.Affine(*sample["transform"].tolist())
    assert transform @ (0, 0) == TRANSFORM @ (131 - 32, 90 - 32)


def test_no_data_and_what_lies_beyond_the_scene_are_0(tmp_path: Path) -> None:
    pixels = make_dn(0, (40, 50))
    pixels[:5], pixels[5:9] = 0, 7
    write_raster(tmp_path / "a-vv.tif", pixels, nodata=7)
    for edge, count in (("shift", 1), ("pad", 1)):
        windows = SARImageDataset(tmp_path, vmin=-90, vmax=30, patch_size=64, edge=edge)
        assert len(windows) == count
        image = windows[0]["image"][0]
        assert not image[:9].any()
        assert image[9:40, :50].all()
        assert not image[40:].any()
        assert not image[:, 50:].any()
    with pytest.raises(SettingError, match="no window of 64 x 64 pixels fits"):
        SARImageDataset(tmp_path, vmin=-90, vmax=30, patch_size=64, edge="drop")


def test_bounds_come_from_a_file_or_are_asked_for(tmp_path: Path) -> None:
    write_raster(tmp_path / "a-vv.tif")
    (tmp_path / "bounds.json").write_text(json.dumps({"vv": {"vmin": 14, "vmax": 24}}))
    windows = SARImageDataset([tmp_path / "a-vv.tif"], bounds=tmp_path / "bounds.json", patch_size=32)
    assert (windows.vmin, windows.vmax) == (14, 24)
    assert torch.equal(windows[0]["image"], SARImageDataset(tmp_path, vmin=14, vmax=24, patch_size=32)[0]["image"])
    with pytest.raises(BoundsError, match=r'like="vv\.h5" takes those of the file that a model was trained on'):
        SARImageDataset(tmp_path)


def test_a_file_of_another_polarization_does_not_fit(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=128, polarization="vv")
    with pytest.raises(SettingError, match="holds vv, and its bounds are for that; found polarization='vh'"):
        SARImageDataset(products, like=tmp_path / "vv.h5", polarization="vh")
    assert SARImageDataset(products, like=tmp_path / "vv.h5", patch_size=100).stride == 50
    assert SARImageDataset(products, like=tmp_path / "vv.h5", stride=30).patch_size == 128
    assert np.isnan(SARImageDataset(products, like=tmp_path / "vv.h5").scenes["transform"]).all()
