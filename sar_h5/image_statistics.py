"""What one image holds: how much of it is valid, and how its valid pixels are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.errors import RadiometryError
from sar_h5.radiometry import handle_invalid_values, to_db


def analyze_sar_statistics(image: npt.ArrayLike) -> dict[str, Any]:
    """Describe one image: how much of it is valid, and the distribution of its valid pixels, linear and in dB.

    Args:
        image: linear values (DN, sigma0...) of any real dtype and shape.

    Returns:
        A dict with ``shape``, ``dtype``, ``total_pixels``, ``valid_pixels``, ``valid_fraction``; ``min``, ``max``,
        ``mean``,
        ``std``, ``median`` of the valid linear values; ``db_min``, ``db_max``, ``db_mean``, ``db_std`` and
        ``db_percentiles`` (a dict of percentile 1, 5, 25, 50, 75, 95, 99 to dB); and ``equivalent_looks``, mean^2 /
        variance of the
        intensity ``x ** 2`` (amplitude data), meaningful over a homogeneous area (Oliver and Quegan, Understanding
        Synthetic Aperture Radar Images, section 4.3).

    Raises:
        RadiometryError: where the image is complex, not numeric, or holds no valid pixel.
    """
    values, invalid = handle_invalid_values(image)
    valid = values[~invalid].astype(np.float64)
    if valid.size == 0:
        raise RadiometryError(f"no valid pixel among {values.size}: there is nothing to describe")
    db = to_db(values[~invalid]).astype(np.float64)
    intensity = valid**2
    variance = float(intensity.var())
    percentiles = (1, 5, 25, 50, 75, 95, 99)
    return {
        "shape": values.shape,
        "dtype": str(np.asarray(image).dtype),
        "total_pixels": values.size,
        "valid_pixels": valid.size,
        "valid_fraction": valid.size / values.size,
        "min": float(valid.min()),
        "max": float(valid.max()),
        "mean": float(valid.mean()),
        "std": float(valid.std()),
        "median": float(np.median(valid)),
        "db_min": float(db.min()),
        "db_max": float(db.max()),
        "db_mean": float(db.mean()),
        "db_std": float(db.std()),
        "db_percentiles": dict(zip(percentiles, np.percentile(db, percentiles).tolist(), strict=True)),
        "equivalent_looks": float(intensity.mean() ** 2 / variance) if variance > 0 else float("inf"),
    }
