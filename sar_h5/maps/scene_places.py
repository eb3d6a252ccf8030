"""Where scenes and their patches lie: on the ground where a scene is geo-referenced, otherwise in pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError
from sar_h5.maps.gcp_mapping import AffineMapping, Floats64, GroundMapping, gcp_mapping

Columns = Mapping[str, npt.NDArray[Any]]

_EDGE_STEPS = 16
"""Into how many straight pieces a side of a scene is cut: geolocation bends it."""

_GAP = 0.08
"""Space between scenes that are drawn side by side, in widths of a scene."""


@dataclass(frozen=True)
class ScenePlace:
    """One scene with its mapping to the ground.

    Attributes:
        scene: its number in ``/scenes``.
        height, width: of the scene in pixels.
        crs: reference system of the mapping, WKT; empty where it is unknown.
        mapping: from (row, col) to (x, y).
    """

    scene: int
    height: int
    width: int
    crs: str
    mapping: GroundMapping

    def outline(self) -> Floats64:
        """Return the border of the scene: float64 (n, 2), x and y, clockwise in the image from its first pixel."""
        steps = np.arange(_EDGE_STEPS) / _EDGE_STEPS
        zeros, ones = np.zeros(_EDGE_STEPS), np.ones(_EDGE_STEPS)
        rows = np.concatenate([zeros, steps, ones, 1 - steps]) * self.height
        cols = np.concatenate([steps, ones, 1 - steps, zeros]) * self.width
        return self.mapping(rows, cols)

    def boxes(self, rows: npt.ArrayLike, cols: npt.ArrayLike, height: float, width: float) -> Floats64:
        """Return the corners of boxes of one size.

        Args:
            rows: (n,) top edges in scene pixels.
            cols: (n,) left edges.
            height: of a box in pixels.
            width: likewise.

        Returns:
            float64 (n, 4, 2), x and y, clockwise in the image from the top left.
        """
        top, left = np.asarray(rows, dtype=np.float64)[:, None], np.asarray(cols, dtype=np.float64)[:, None]
        down, right = np.array([0, 0, 1, 1]) * height, np.array([0, 1, 1, 0]) * width
        return self.mapping(top + down, left + right)


def scenes_on_ground(scenes: Columns, gcps: npt.NDArray[np.float64]) -> list[ScenePlace]:
    """Place the scenes that have a transform or enough control points.

    Args:
        scenes: the columns of ``/scenes``.
        gcps: float64 (m, 5), ``/scenes/gcps``.

    Returns:
        One place for each scene of known size that is geo-referenced; others are left out.
    """
    places = []
    for scene, (height, width) in enumerate(_sizes(scenes)):
        found = _mapping(scenes, gcps, scene) if min(height, width) > 0 else None
        if found is not None:
            places.append(ScenePlace(scene, height, width, *found))
    return places


def _mapping(scenes: Columns, gcps: npt.NDArray[np.float64], scene: int) -> tuple[str, GroundMapping] | None:
    transform = tuple(scenes["transform"][scene].tolist())
    # Zeros stand for no transform too: no pixel has the size zero.
    if np.isfinite(transform).all() and transform[0] * transform[4] != transform[1] * transform[3]:
        return str(scenes["crs"][scene]), AffineMapping(transform)
    start, count = int(scenes["gcp_start"][scene]), int(scenes["gcp_count"][scene])
    try:
        return str(scenes["gcp_crs"][scene]), gcp_mapping(_without_jump(gcps[start : start + count]))
    except SettingError:
        return None


def _without_jump(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Let longitudes go on beyond 180 degrees in scenes on the date line: nothing can be interpolated over a jump."""
    xs = points[:, 2]
    if len(xs) == 0 or np.abs(xs).max() > 180 or np.ptp(xs) <= 180:
        return points
    return np.column_stack([points[:, :2], xs % 360, points[:, 3:]])


def scenes_side_by_side(scenes: Columns) -> list[ScenePlace]:
    """Place scenes of known size beside each other in pixels, x to the right and y downwards.

    They stand in rows, as many in each that all of them together are about as high as wide.

    Args:
        scenes: the columns of ``/scenes``.
    """
    sized = [(scene, height, width) for scene, (height, width) in enumerate(_sizes(scenes)) if min(height, width) > 0]
    if not sized:
        return []
    tallest, widest = (max(size[axis] for size in sized) for axis in (1, 2))
    step_down, step_right = tallest + _GAP * widest, widest * (1 + _GAP)
    columns = max(1, round(float(np.sqrt(len(sized) * step_down / step_right))))
    return [
        ScenePlace(
            scene, height, width, "",
            AffineMapping((1.0, 0.0, number % columns * step_right, 0.0, 1.0, number // columns * step_down)),
        )
        for number, (scene, height, width) in enumerate(sized)
    ]  # fmt: skip


def _sizes(scenes: Columns) -> list[tuple[int, int]]:
    return list(zip(scenes["height"].tolist(), scenes["width"].tolist(), strict=True))
