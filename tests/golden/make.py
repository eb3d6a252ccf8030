"""Make ``v1.0.h5``, the file that every later version must read: run once, in ``tests/golden``, with format 1.0.

Two scenes of 96 x 80 digital numbers (row * 31 + col * 7 + scene * 1000) mod 400 + 20, the first five columns 0,
converted with patches of 32, stride 32, bounds 14 and 26 dB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from sar_h5 import convert


def make_scene(number: int) -> np.ndarray:
    """Return the digital numbers of a scene, uint16 (96, 80)."""
    rows, cols = np.indices((96, 80))
    dn = (rows * 31 + cols * 7 + number * 1000) % 400 + 20
    dn[:, :5] = 0
    return dn.astype(np.uint16)


def main() -> None:
    """Write the rasters and convert them."""
    for number in range(2):
        profile = {"driver": "GTiff", "height": 96, "width": 80, "count": 1, "dtype": "uint16"}
        transform = rasterio.Affine(10, 0, 500_000, 0, -10, 4_600_000 + 1000 * number)
        with rasterio.open(f"golden{number}-vv.tif", "w", crs="EPSG:32633", transform=transform, **profile) as dataset:
            dataset.write(make_scene(number), 1)
    convert(["golden0-vv.tif", "golden1-vv.tif"], "made", patch_size=32, stride=32, vmin=14, vmax=26, min_valid=0.5)
    Path("made/vv.h5").replace("v1.0.h5")
    Path("made").rmdir()
    for number in range(2):
        Path(f"golden{number}-vv.tif").unlink()


if __name__ == "__main__":
    main()
