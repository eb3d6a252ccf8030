"""What every source yields: scenes, either rasters read in row bands or shards read in batches of patches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sar_h5.schema import UNKNOWN

Places = npt.NDArray[np.int32]
"""(n, 2): row and column of the top-left corner of each patch in its scene, -1 where unknown."""


@dataclass(frozen=True)
class Georeference:
    """Where a scene lies on the ground.

    Attributes:
        crs: WKT of the coordinate reference system of ``transform``, empty where the scene has none.
        transform: affine from (col, row) to (x, y) as (a, b, c, d, e, f) in rasterio's order; NaN where there is none.
        gcps: ground control points, one tuple (row, col, x, y, z) each, in pixels and in units of ``gcp_crs``.
        gcp_crs: WKT of the reference system of the ground control points, empty where there are none.
    """

    crs: str = ""
    transform: tuple[float, ...] = (float("nan"),) * 6
    gcps: tuple[tuple[float, float, float, float, float], ...] = ()
    gcp_crs: str = ""


@dataclass(frozen=True)
class SceneInfo:
    """What is known of a scene before its pixels are read.

    Attributes:
        name: the acquisition's name, the same for all polarizations of one product.
        path: the raster or shard, as a user would type it.
        polarization: "vv", "vh", "hh" or "hv".
        height, width: pixels; -1 for shards, which have lost their scene.
        platform, mode, product_type: for example "S1A", "IW", "GRD"; empty where unknown.
        start_time: start of sensing, ISO 8601, UTC; empty where unknown.
        orbit: absolute orbit number; -1 where unknown.
        orbit_pass: "ASCENDING" or "DESCENDING"; empty where unknown.
        georeference: where it lies.
    """

    name: str
    path: str
    polarization: str
    height: int = UNKNOWN
    width: int = UNKNOWN
    platform: str = ""
    mode: str = ""
    product_type: str = ""
    start_time: str = ""
    orbit: int = UNKNOWN
    orbit_pass: str = ""
    georeference: Georeference = field(default_factory=Georeference)


@dataclass(frozen=True)
class SourceFile:
    """The identity of the file that a scene was read from.

    Attributes:
        nbytes: its size.
        crc32: CRC-32 of its bytes (of the member, where it lies in a ZIP archive).
    """

    nbytes: int
    crc32: int


@runtime_checkable
class RasterScene(Protocol):
    """A scene whose pixels are read in full-width row bands."""

    @property
    def info(self) -> SceneInfo:
        """What is known of it."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """uint16 (digital numbers), float32 or float64."""

    @property
    def nodata(self) -> float | None:
        """The declared value of pixels without data."""

    def bands(self, height: int, jobs: int = 1) -> AbstractContextManager[Iterator[npt.NDArray[np.generic]]]:
        """Open the raster and yield consecutive arrays (<= ``height``, W) from top to bottom, read in threads."""

    def rows(self, start: int, stop: int) -> npt.NDArray[np.generic]:
        """Read rows ``start`` to ``stop`` (exclusive), shape (stop - start, W)."""

    def identify(self) -> SourceFile:
        """Read size and checksum of the file."""


@runtime_checkable
class ShardScene(Protocol):
    """A scene that was cut into patches before: values in [0, 1], or digital numbers."""

    @property
    def info(self) -> SceneInfo:
        """What is known of it."""

    @property
    def patch_size(self) -> int:
        """Side of its patches in pixels."""

    @property
    def count(self) -> int:
        """How many patches it holds."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """float32 (values in [0, 1]) or uint16 (digital numbers)."""

    @property
    def places(self) -> Places | None:
        """Where each patch lies in the scene; None where that is not known of any."""

    def batches(self, most_nbytes: int) -> Iterator[npt.NDArray[Any]]:
        """Yield consecutive patches (n, P, P) in batches of about ``most_nbytes``; all values are in [0, 1]."""

    def unchecked_batches(self, most_nbytes: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the same patches, whatever their values are."""

    def patches(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Read patches ``start`` to ``stop`` (exclusive), (n, P, P)."""

    def identify(self) -> SourceFile:
        """Return size and checksum of the file; known once all batches have been read."""
