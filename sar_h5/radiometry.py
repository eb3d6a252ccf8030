"""Digital numbers, dB and [0, 1]: the reference pipeline as pure functions of arrays.

The pipeline runs in float32 throughout, as the arrays that people already train on were made:

    invalid = (x <= 0) | isnan(x) | isinf(x);  x[invalid] = 1e-10
    db      = 10 * log10(x)
    value   = (clip(db, vmin, vmax) - vmin) / (vmax - vmin)

NumPy's float32 logarithm differs in the last bit between processors (with and without AVX-512), so values are bit for
bit those of the reference pipeline *on the machine that converts*; the integer codes in a file do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from sar_h5.errors import BoundsError, RadiometryError

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

DN_COUNT = 65536
"""How many values a digital number of a Sentinel-1 detected product (uint16) can take."""

INVALID_FILL = np.float32(1e-10)
"""What the reference pipeline puts in place of pixels without a logarithm: -100 dB, below any bounds in use."""

INSIDE_LOW = np.float32(0.01)
INSIDE_HIGH = np.float32(0.99)
"""A scaled pixel counts as inside the range where ``INSIDE_LOW < value < INSIDE_HIGH``; the rest is border or
clipped."""


@dataclass(frozen=True)
class Bounds:
    """The dB range that is scaled to [0, 1], checked when made.

    Attributes:
        vmin: dB value that becomes 0.
        vmax: dB value that becomes 1.
        origin: how the bounds came about, in words for the summary and the file.

    Raises:
        BoundsError: where in float32, in which the scaling is computed, a bound or their distance is not finite, or
            ``vmin >= vmax``.
    """

    vmin: float
    vmax: float
    origin: str = "given"

    def __post_init__(self) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            vmin, vmax = np.float32(self.vmin), np.float32(self.vmax)
            span = vmax - vmin
        if not np.isfinite([vmin, vmax, span]).all():
            raise BoundsError(
                f"bounds must be finite dB values; found vmin={self.vmin}, vmax={self.vmax} ({self.origin})"
            )
        if not vmin < vmax:
            raise BoundsError(
                f"vmin must be below vmax; found vmin={self.vmin} dB, vmax={self.vmax} dB ({self.origin}). "
                "A constant or nearly constant image leaves no range: give --vmin and --vmax."
            )


class Preprocessed(TypedDict):
    """The second result of :func:`preprocess_sar_complete`."""

    vmin: float
    vmax: float
    invalid_mask: Mask


def handle_invalid_values(image: npt.ArrayLike) -> tuple[Floats, Mask]:
    """Replace pixels that have no logarithm by 1e-10.

    Args:
        image: linear values of any real dtype and shape, for example DN of shape (H, W).

    Returns:
        The image as float32 with ``x <= 0``, NaN and infinities replaced by 1e-10, and the bool mask of what was
        replaced (True = invalid), both of the image's shape.

    Raises:
        RadiometryError: where the image is complex or not numeric.
    """
    array = np.asarray(image)
    if array.dtype.kind not in "uifb":
        raise RadiometryError(
            f"expected real numbers (detected amplitude or intensity), found dtype {array.dtype}; "
            "detect complex (SLC) data first, for example as abs(x) ** 2"
        )
    values = as_float32(array)
    invalid: Mask = ~(values > 0) | np.isinf(values)
    values[invalid] = INVALID_FILL
    return values, invalid


def as_float32(array: npt.NDArray[Any]) -> Floats:
    """Cast to float32; what lies beyond its range becomes infinite."""
    with np.errstate(over="ignore"):  # float64 beyond float32, such as GDAL's usual nodata -1.8e308, becomes infinite
        return array.astype(np.float32)


def to_db(values: npt.ArrayLike) -> Floats:
    """Convert linear values to decibels: ``10 * log10(x)`` in float32.

    Args:
        values: positive linear values of any shape; pass them through :func:`handle_invalid_values` first.

    Returns:
        float32 dB of the same shape. Zero gives -inf and negative values NaN, as the logarithm does.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.float32(10) * np.log10(np.asarray(values, dtype=np.float32)), dtype=np.float32)


def from_db(db: npt.ArrayLike) -> Floats:
    """Convert decibels to linear values, the inverse of :func:`to_db`: ``10 ** (db / 10)`` in float32.

    Args:
        db: values in dB of any shape.

    Returns:
        float32 linear values of the same shape.
    """
    return np.asarray(np.float32(10) ** (np.asarray(db, dtype=np.float32) / np.float32(10)), dtype=np.float32)


def compute_clip_bounds(
    db: npt.ArrayLike, percentiles: tuple[float, float] = (1, 99), invalid_mask: npt.ArrayLike | None = None
) -> tuple[float, float]:
    """Take the clip bounds of one image from percentiles of its valid pixels.

    For a data set use ``convert``, which takes the percentiles over all scenes at once: bounds per image would give the
    same backscatter another value in every scene.

    Args:
        db: values in dB of any shape; values that are not finite do not count.
        percentiles: lower and upper percentile in [0, 100], linearly interpolated as by ``numpy.percentile``.
        invalid_mask: True where a pixel must not count; None where all finite ones do.

    Returns:
        (vmin, vmax) in dB.

    Raises:
        BoundsError: where no pixel is valid, or the percentiles coincide.
    """
    array = np.asarray(db, dtype=np.float32)
    valid = np.isfinite(array)
    if invalid_mask is not None:
        valid &= ~np.asarray(invalid_mask, dtype=bool)
    low, high = check_percentiles(percentiles)
    if not valid.any():
        raise BoundsError(
            f"no valid pixel among {array.size}: all are zero, negative, NaN or infinite, so there are no bounds"
        )
    vmin, vmax = (float(bound) for bound in np.percentile(array[valid], [low, high]))
    Bounds(vmin, vmax, f"percentiles {low:g} and {high:g}")
    return vmin, vmax


def check_percentiles(percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return (low, high) as floats, or raise BoundsError unless ``0 <= low < high <= 100``."""
    low, high = (float(percentile) for percentile in percentiles)
    if not 0 <= low < high <= 100:
        raise BoundsError(f"percentiles must satisfy 0 <= low < high <= 100; found {low:g} and {high:g}")
    return low, high


def scale_db(db: npt.ArrayLike, bounds: Bounds) -> Floats:
    """Clip dB to the bounds and scale to [0, 1] in float32: ``(clip(db, vmin, vmax) - vmin) / (vmax - vmin)``.

    Args:
        db: values in dB of any shape, without NaN.
        bounds: the range; both ends are cast to float32 first.

    Returns:
        float32 values in [0, 1] of the same shape.
    """
    vmin, vmax = np.float32(bounds.vmin), np.float32(bounds.vmax)
    clipped = np.clip(np.asarray(db, dtype=np.float32), vmin, vmax)
    return np.asarray((clipped - vmin) / (vmax - vmin), dtype=np.float32)


def preprocess_sar_complete(
    image: npt.ArrayLike,
    vmin: float | None = None,
    vmax: float | None = None,
    clip_percentiles: tuple[float, float] = (1, 99),
) -> tuple[Floats, Preprocessed]:
    """Run the reference pipeline over one image: invalid values, dB, clip, [0, 1].

    Args:
        image: linear values (DN, sigma0...) of any real dtype and shape.
        vmin: lower bound in dB, or None to take it from ``clip_percentiles`` of the valid pixels.
        vmax: upper bound in dB, or None likewise.
        clip_percentiles: the percentiles for bounds that are not given.

    Returns:
        float32 values in [0, 1] of the image's shape (0 where invalid), and a dict with ``vmin`` and ``vmax`` in dB as
        used and ``invalid_mask`` (bool, True = invalid).

    Raises:
        BoundsError: where nothing is valid, the image is constant, or ``vmin >= vmax``.
        RadiometryError: where the image is complex or not numeric.
    """
    values, invalid = handle_invalid_values(image)
    if invalid.all():
        raise BoundsError(
            f"no valid pixel among {invalid.size}: all are zero, negative, NaN or infinite; there is nothing to scale"
        )
    db = to_db(values)
    if vmin is None or vmax is None:
        low, high = compute_clip_bounds(db, clip_percentiles, invalid)
        vmin, vmax = (low if vmin is None else vmin), (high if vmax is None else vmax)
    bounds = Bounds(float(vmin), float(vmax))
    return scale_db(db, bounds), {"vmin": bounds.vmin, "vmax": bounds.vmax, "invalid_mask": invalid}


def scale_all_dn(bounds: Bounds) -> Floats:
    """Apply the reference pipeline to every digital number.

    Args:
        bounds: the dB range.

    Returns:
        float32 of shape (65536,): the value in [0, 1] of DN 0 to 65535 (DN 0 is invalid and gives 0).
    """
    values, _ = handle_invalid_values(np.arange(DN_COUNT))
    return scale_db(to_db(values), bounds)


def is_inside(values: Floats) -> Mask:
    """Tell which scaled pixels lie strictly inside (0.01, 0.99), the reference measure of a usable pixel.

    Args:
        values: float32 in [0, 1] of any shape.

    Returns:
        bool of the same shape.
    """
    return np.asarray((values > INSIDE_LOW) & (values < INSIDE_HIGH))
