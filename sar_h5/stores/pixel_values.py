"""Pixels of a raster to values in [0, 1] in two steps: what is worth keeping once, and what is done for each window.

Digital numbers are kept as they are, in half the memory, and looked up with each window; floats are scaled first. The
values are those that a conversion makes of the same pixels, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.encoding import mask_dn
from sar_h5.lookup import Lookup
from sar_h5.radiometry import Bounds, scale_all_dn, scale_db
from sar_h5.units import Units, pixels_to_db, row_pieces

Pixels = npt.NDArray[Any]


class PixelValues:
    """How pixels of one unit become values.

    Args:
        units: what the pixels are.
        bounds: the dB range.

    Attributes:
        dtype: of what :meth:`prepare` returns, in which 0 stands for no data.
        lookup: turns that into values.
    """

    def __init__(self, units: Units, bounds: Bounds) -> None:
        self._units, self._bounds = units, bounds
        self.dtype: np.dtype[Any] = np.dtype("<u2" if units == Units.DN else "<f4")
        table = None
        if units == Units.DN:
            table = scale_all_dn(bounds)
            table[0] = 0  # no data, whatever the bounds
        self.lookup = Lookup(table, self.dtype)

    def prepare(self, pixels: Pixels, nodata: float | None) -> Pixels:
        """Return what windows are cut from: uint16 digital numbers, or float32 values, (h, W).

        Args:
            pixels: uint16, float32 or float64 (h, W), as the unit has them.
            nodata: declared value of pixels without data, or None.
        """
        if self._units == Units.DN:
            return mask_dn(pixels, nodata)
        values = np.empty(pixels.shape, dtype=np.float32)
        for rows in row_pieces(*pixels.shape):
            db, invalid = pixels_to_db(pixels[rows], self._units, nodata)
            values[rows] = scale_db(db, self._bounds)
            values[rows][invalid] = 0
        return values
