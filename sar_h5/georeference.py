"""Where a patch lies, from where its scene lies. Pure arithmetic on affine transforms in rasterio's order."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.schema import COMPONENT_COLUMN, UNKNOWN

Transform = tuple[float, float, float, float, float, float]

PIXELS: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The transform of scenes without a geo-reference: x is the column, y the row, counted downwards."""


def patch_transform(scene: Sequence[float], row: int, col: int) -> Transform:
    """Move a scene's transform to the top-left corner of a patch.

    Args:
        scene: (a, b, c, d, e, f) of the scene; NaN where it has none, and pixels are taken instead.
        row: top row of the patch in scene pixels; -1 where unknown.
        col: left column likewise.

    Returns:
        (a, b, c, d, e, f) of the patch; NaN where its place is unknown.
    """
    if UNKNOWN in (row, col):
        return (math.nan,) * 6
    a, b, c, d, e, f = PIXELS if math.isnan(scene[0]) else (float(value) for value in scene)
    return a, b, a * col + b * row + c, d, e, d * col + e * row + f


def patch_bounds(transform: Transform, height: int, width: int) -> tuple[float, float, float, float]:
    """Return (left, bottom, right, top) of a patch: the box around its four corners."""
    a, b, c, d, e, f = transform
    corners = [(a * col + b * row + c, d * col + e * row + f) for row in (0, height) for col in (0, width)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def box_patches(
    transforms: npt.NDArray[np.float64],
    row: npt.NDArray[np.integer[Any]],
    col: npt.NDArray[np.integer[Any]],
    height: int,
    width: int,
) -> npt.NDArray[np.float64]:
    """Say where many patches lie on the ground: :func:`patch_bounds` of each.

    Args:
        transforms: float64 (n, 6), of the scene of each patch; NaN where it has none.
        row: (n,), top row of each patch in its scene; -1 where unknown.
        col: (n,), left column likewise.
        height: of a patch in pixels.
        width: likewise.

    Returns:
        float64 (n, 4): left, bottom, right, top; NaN where the scene has no geo-reference, or the place is unknown.
    """
    a, b, c, d, e, f = transforms.T
    corners = [(y, x) for y in (0, height) for x in (0, width)]
    with np.errstate(invalid="ignore", over="ignore"):  # of transforms that lead to infinity
        left, top = a * col + b * row + c, d * col + e * row + f
        xs = np.stack([a * x + b * y + left for y, x in corners])
        ys = np.stack([d * x + e * y + top for y, x in corners])
    boxes = np.stack([xs.min(axis=0), ys.min(axis=0), xs.max(axis=0), ys.max(axis=0)], axis=1)
    boxes[(row == UNKNOWN) | (col == UNKNOWN)] = math.nan
    return boxes


def short_crs(wkt: str) -> str:
    """Return the code of a reference system ("EPSG:32633") where its WKT ends with one, else the WKT itself."""
    match = _AUTHORITY.search(wkt)
    return f"{match[1]}:{match[2]}" if match else wkt


_AUTHORITY = re.compile(r'(?:AUTHORITY|ID)\["(\w+)",\s*"?(\w+)"?\]\]\s*\Z')
"""The identifier of the whole system, the last of WKT 1 and of WKT 2 alike."""


def locate_patches(
    patches: npt.NDArray[np.int64],
    index: Mapping[str, npt.NDArray[Any]],
    scenes: Mapping[str, npt.NDArray[Any]],
    height: int,
    width: int,
) -> dict[str, npt.NDArray[Any]]:
    """Say where patches lie.

    Args:
        patches: int64 (n,), numbers in the file.
        index: the columns of ``/index``.
        scenes: the columns of ``/scenes``.
        height: of a patch in pixels.
        width: likewise.

    Returns:
        ``bounds`` float64 (n, 4), ``transform`` float64 (n, 6), and ``index``, ``scene``, ``row``, ``col`` int64 (n,).
        Where places were recovered from shared pixels, these are relative to each other only: ``component`` int64 (n,)
        says to which, and ``bounds`` and ``transform`` are NaN.

    Raises:
        TypeError, ValueError: where columns hold something other than numbers, or name scenes that are not there.
    """
    scene, row, col = (index[name][patches].astype(np.int64) for name in ("scene", "row", "col"))
    count = len(scenes["transform"])
    if scene.size and not 0 <= scene.min() <= scene.max() < count:
        raise ValueError(f"/index/scene holds {scene.min()} to {scene.max()} where there are {count} scenes")
    component = index.get(COMPONENT_COLUMN.name)
    recovered = {} if component is None else {COMPONENT_COLUMN.name: component[patches].astype(np.int64)}
    transforms = [
        (math.nan,) * 6 if recovered else patch_transform(scenes["transform"][number], top, left)
        for number, top, left in zip(scene.tolist(), row.tolist(), col.tolist(), strict=True)
    ]
    bounds = [patch_bounds(transform, height, width) for transform in transforms]
    return {
        "bounds": np.array(bounds, dtype=np.float64).reshape(-1, 4),
        "transform": np.array(transforms, dtype=np.float64).reshape(-1, 6),
        "index": patches,
        "scene": scene,
        "row": row,
        "col": col,
        **recovered,
    }
