"""Converted files to split: copies of one conversion of co-registered rasters, VV and VH, four dates."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import rasterio

from sar_h5 import convert
from sar_h5.splits.shared_pixels import PAIRS
from tests.conftest import make_dn
from tests.raster_files import TRANSFORM, write_raster

DATES = 5


def make_rasters(directory: Path, height: int = 120, width: int = 160) -> Path:
    """Five dates of one place, co-registered, on grids shifted by a few pixels; VH has a hole that a filter drops."""
    for number in range(DATES):
        moved = TRANSFORM @ rasterio.Affine.translation(3 * number, 2 * number)
        name = (
            f"S1A_IW_GRDH_1SDV_2021010{number + 1}T031653_2021010{number + 1}T031718_03620{number}_043ED0_000{number}"
        )
        for polarization in ("vv", "vh"):
            pixels = make_dn(number + 10 * (polarization == "vh"), (height, width))
            if polarization == "vh":
                pixels[:30, :40] = 0
            write_raster(directory / f"{name}_{polarization}.tif", pixels, transform=moved)
    return directory


def convert_rasters(directory: Path) -> Path:
    """Convert them into ``h5`` below the directory."""
    convert(make_rasters(directory / "rasters"), directory / "h5", patch_size=16, stride=8)
    return directory / "h5"


def copy_files(source: Path, directory: Path) -> list[Path]:
    """Copy vv.h5 and vh.h5."""
    return [Path(shutil.copy(source / name, directory / name)) for name in ("vv.h5", "vh.h5")]


def paint_splits(path: Path, name: str = "default") -> dict[tuple[int, int], int]:
    """Count the pixels of each pair of splits on pictures of all scenes, with plain h5py."""
    with h5py.File(path) as f:
        codes, size = f[f"splits/{name}"][:], int(f.attrs["patch_size"])
        scene, row, col = (f[f"index/{column}"][:] for column in ("scene", "row", "col"))
        shape = (len(f["scenes/name"]), 4, f["scenes/height"][:].max(), f["scenes/width"][:].max())
    picture = np.zeros(shape, dtype=bool)
    for code, number, y, x in zip(codes, scene, row, col, strict=True):
        picture[number, code, y : y + size, x : x + size] = True
    return {(one, other): int((picture[:, one] & picture[:, other]).sum()) for one, other in PAIRS}


def codes_by_place(path: Path, name: str = "default") -> dict[tuple[str, int, int], int]:
    """Return the split of each patch by its scene and place."""
    with h5py.File(path) as f:
        scenes = f["scenes/name"].asstr()[:]
        columns = [f[f"index/{column}"][:].tolist() for column in ("scene", "row", "col")]
        codes = f[f"splits/{name}"][:].tolist()
    return {(scenes[scene], row, col): code for scene, row, col, code in zip(*columns, codes, strict=True)}
