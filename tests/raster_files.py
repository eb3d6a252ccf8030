"""Small GeoTIFFs for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint

from tests.conftest import make_dn

TRANSFORM = rasterio.Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 4_649_776.22)
GCPS = [
    GroundControlPoint(row=row, col=col, x=10 + col / 977, y=45 - row / 991, z=row / 3)
    for row in (0, 20, 39)
    for col in (0, 25.5, 49)
]


def write_raster(
    path: Path, pixels: np.ndarray | None = None, descriptions: tuple[str, ...] = (), **profile: Any
) -> np.ndarray:
    """Write pixels, (H, W) or (bands, H, W), 40 x 50 digital numbers unless told; return them."""
    pixels = make_dn(0, (40, 50)) if pixels is None else pixels
    bands = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    placed = {} if "gcps" in profile else {"crs": "EPSG:32633", "transform": TRANSFORM}
    options = {"driver": "GTiff", "count": len(bands), "dtype": bands.dtype, **placed, **profile}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", height=bands.shape[1], width=bands.shape[2], **options) as dataset:
        dataset.write(bands)
        for number, text in enumerate(descriptions, start=1):
            dataset.set_band_description(number, text)
    return pixels
