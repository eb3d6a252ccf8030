"""The reference pipeline as people run it, whole images at a time, and what a converted file must equal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the Blosc filter, as plain h5py users do
import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning


@dataclass
class Cut:
    """Patches of one or more scenes: values (n, P, P) float32, and one row of the index for each."""

    values: np.ndarray
    scene: list[int]
    row: list[int]
    col: list[int]
    fraction: list[float]


def read_whole(path: str | Path) -> np.ndarray:
    """Read the first band of a raster."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            return dataset.read(1)


def to_db(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return dB and which pixels are invalid."""
    x = image.astype(np.float32)
    invalid = (x <= 0) | np.isnan(x) | np.isinf(x)
    x[invalid] = 1e-10
    return 10 * np.log10(x), invalid


def scale(db: np.ndarray, vmin: float, vmax: float) -> np.ndarray:
    """Scale dB to [0, 1]."""
    low, high = np.float32(vmin), np.float32(vmax)
    return (np.clip(db, low, high) - low) / (high - low)


def percentile_bounds(images: list[np.ndarray], low: float = 1, high: float = 99) -> tuple[float, float]:
    """Take the bounds from all valid pixels of all images at once."""
    pairs = [to_db(image) for image in images]
    valid = np.concatenate([db[~invalid] for db, invalid in pairs]).astype(np.float64)
    vmin, vmax = np.percentile(valid, [low, high])
    return float(vmin), float(vmax)


def cut(
    scenes: list[np.ndarray],
    size: int,
    stride: int,
    min_valid: float = 0.9,
    counted: list[np.ndarray] | None = None,
) -> Cut:
    """Cut scaled scenes into patches, keep what has enough pixels inside (0.01, 0.99) (or ``counted``)."""
    result = Cut(np.empty(0), [], [], [], [])
    kept = []
    for number, scene in enumerate(scenes):
        height, width = scene.shape
        for row in range(0, height - size + 1, stride):
            for col in range(0, width - size + 1, stride):
                window = slice(row, row + size), slice(col, col + size)
                patch = scene[window]
                mask = (patch > 0.01) & (patch < 0.99) if counted is None else counted[number][window]
                if np.mean(mask) < min_valid:
                    continue
                kept.append(patch)
                result.scene.append(number)
                result.row.append(row)
                result.col.append(col)
                result.fraction.append(float(np.mean(mask)))
    result.values = np.stack(kept) if kept else np.empty((0, size, size), dtype=np.float32)
    return result


def read_plain(path: Path) -> np.ndarray:
    """Read all values with plain h5py, one patch at a time, as the README shows."""
    with h5py.File(path) as f:
        if "lut" not in f:
            return f["patches"][:]
        lut = f["lut"][:]
        return np.stack([lut[f["patches"][i]] for i in range(len(f["patches"]))])


def assert_equals(path: Path, expected: Cut) -> None:
    """Compare every value by its bits, and every row of the index."""
    values = read_plain(path)
    assert values.dtype == expected.values.dtype == np.float32
    assert values.shape == expected.values.shape
    np.testing.assert_array_equal(values.view(np.uint32), expected.values.view(np.uint32))
    with h5py.File(path) as f:
        for name in ("scene", "row", "col"):
            assert f["index"][name][:].tolist() == getattr(expected, name), name
        np.testing.assert_array_equal(f["index/valid_fraction"][:], np.array(expected.fraction, dtype=np.float32))
