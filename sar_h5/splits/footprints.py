"""Which scenes cover the same ground: quadrilaterals from transforms or ground control points that meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST_SCENES = 2000
"""Scenes that are compared with each other; more would take more than a moment."""

_TOUCHING = 0.01
"""Which part of a scene's width two scenes may share and still count as neighbours: slices of one pass touch."""


@dataclass(frozen=True)
class Footprints:
    """The corners of scenes on the ground.

    Attributes:
        crs: the reference system of each scene's corners; empty where they are not known.
        corners: float64 (S, 4, 2), x and y in order around the scene; NaN where they are not known.
    """

    crs: tuple[str, ...]
    corners: Floats

    def pairs(self) -> npt.NDArray[np.int64] | None:
        """Return the pairs of scenes that cover the same ground, int64 (n, 2); None where there are too many scenes."""
        if len(self.crs) > MOST_SCENES:
            return None
        names = {name: number for number, name in enumerate(dict.fromkeys(self.crs))}
        systems = np.array([names[name] for name in self.crs], dtype=np.int64)
        known = np.flatnonzero(
            np.isfinite(self.corners).all(axis=(1, 2)) & np.array([name != "" for name in self.crs], dtype=np.bool_)
        )
        lows, highs = self.corners.min(axis=1), self.corners.max(axis=1)
        found = []
        for place, one in enumerate(known.tolist()):
            others = known[place + 1 :]
            near = (lows[others] < highs[one]).all(axis=1) & (lows[one] < highs[others]).all(axis=1)
            others = others[near & (systems[others] == systems[one])]
            meeting = others[_meet(self.corners[one], self.corners[others])]
            found.append(np.stack([np.full_like(meeting, one), meeting], axis=1))
        return np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)


def scene_footprints(scenes: Mapping[str, npt.NDArray[Any]], gcps: Floats) -> Footprints:
    """Find the corners of scenes.

    Args:
        scenes: the columns of ``/scenes``.
        gcps: float64 (n, 5), row, col, x, y, z of the ground control points of all scenes.
    """
    crs: list[str] = []
    corners = np.full((len(scenes["name"]), 4, 2), np.nan)
    for number in range(len(corners)):
        start, count = int(scenes["gcp_start"][number]), int(scenes["gcp_count"][number])
        points = gcps[max(start, 0) : max(start + count, 0)]
        if scenes["crs"][number] and np.isfinite(scenes["transform"][number]).all() and scenes["height"][number] > 0:
            crs.append(scenes["crs"][number])
            corners[number] = _transformed(
                scenes["transform"][number], scenes["height"][number], scenes["width"][number]
            )
        elif scenes["gcp_crs"][number] and len(points) >= 3:
            crs.append(scenes["gcp_crs"][number])
            corners[number] = _outermost(points)
        else:
            crs.append("")
    return Footprints(tuple(crs), corners)


def _transformed(transform: Floats, height: int, width: int) -> Floats:
    pixels = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)], dtype=np.float64)
    result: Floats = pixels @ transform.reshape(2, 3).T
    return result


def _outermost(points: Floats) -> Floats:
    """Take the points nearest to the corners of the image, where product grids have some."""
    row, col = points[:, 0], points[:, 1]
    numbers = [np.argmin(row + col), np.argmin(row - col), np.argmax(row + col), np.argmax(row - col)]
    result: Floats = points[numbers, 2:4]
    return result


def _meet(one: Floats, others: Floats) -> npt.NDArray[np.bool_]:
    """Whether a quadrilateral (4, 2) meets each of others (n, 4, 2), all convex: no side of either parts them.

    Separating axis theorem: Gottschalk, Lin and Manocha, OBBTree, SIGGRAPH 1996.
    """
    meeting = np.ones(len(others), dtype=np.bool_)
    for quads in (np.broadcast_to(one, others.shape), others):
        for corner in range(4):
            side = quads[:, (corner + 1) % 4] - quads[:, corner]
            normal = np.stack([-side[:, 1], side[:, 0]], axis=1)
            mine, theirs = np.einsum("kc,nc->nk", one, normal), np.einsum("nkc,nc->nk", others, normal)
            shared = np.minimum(mine.max(1), theirs.max(1)) - np.maximum(mine.min(1), theirs.min(1))
            meeting &= shared > _TOUCHING * np.minimum(np.ptp(mine, axis=1), np.ptp(theirs, axis=1))
    return meeting
