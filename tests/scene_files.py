"""Small files whose scenes lie where a test says, written with plain h5py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from sar_h5 import schema
from sar_h5.schema import FileSettings
from tests.patch_files import LZ4, make_codes, make_lut

NO_TRANSFORM = (float("nan"),) * 6
WGS84 = "EPSG:4326"
SIZE, STRIDE = 16, 8


@dataclass(frozen=True)
class Place:
    """A scene of a file: patches of 16 pixels lie at every 8th row and column of it."""

    height: int = 48
    width: int = 64
    name: str = "S1A_scene"
    platform: str = "S1A"
    start_time: str = "2021-01-19T03:16:53"
    orbit: int = 36201
    crs: str = ""
    transform: tuple[float, ...] = NO_TRANSFORM
    gcp_crs: str = ""
    gcps: tuple[tuple[float, ...], ...] = ()

    def corners(self) -> list[tuple[int, int]]:
        """Row and column of its patches; (-1, -1) four times where the size is unknown."""
        if self.height < 0:
            return [(-1, -1)] * 4
        rows, cols = (range(0, length - SIZE + 1, STRIDE) for length in (self.height, self.width))
        return [(row, col) for row in rows for col in cols]


def write_scenes(
    path: Path, places: Sequence[Place], split: np.ndarray | None = None, split_name: str = schema.DEFAULT_SPLIT
) -> Path:
    """Write a file with these scenes, and codes of 100 levels drawn at random."""
    corners = [(number, *corner) for number, place in enumerate(places) for corner in place.corners()]
    scene, row, col = np.array(corners).T
    settings = FileSettings(14.77, 24.54, SIZE, STRIDE, 0.0, "vv", "palette")
    patches = make_codes((len(corners), SIZE, SIZE), 100, "u1")
    ends = np.cumsum([len(place.gcps) for place in places])
    columns: dict[str, object] = {
        name: [getattr(place, name) for place in places]
        for name in ("height", "width", "name", "platform", "start_time", "orbit", "crs", "transform", "gcp_crs")
    }
    columns |= {"gcp_count": [len(place.gcps) for place in places]}
    columns |= {"gcp_start": ends - columns["gcp_count"], "patch_count": np.bincount(scene, minlength=len(places))}
    with h5py.File(path, "w", libver=schema.LIBVER) as file:
        file.attrs.update({"format": schema.FORMAT, "format_version": schema.FORMAT_VERSION, **settings.to_attrs()})
        dataset = file.create_dataset("patches", data=patches, chunks=(1, SIZE, SIZE), **LZ4)
        dataset.attrs.update(settings.to_attrs())
        file["lut"] = make_lut(100)
        index = {"scene": scene, "row": row, "col": col}
        for column in schema.INDEX_COLUMNS:
            file[f"index/{column.name}"] = column.to_array(index.get(column.name, np.zeros(len(corners))))
        for column in schema.SCENE_COLUMNS:
            empty = [""] * len(places) if column.dtype == "utf-8" else np.zeros(len(places))
            file[f"scenes/{column.name}"] = column.to_array(columns.get(column.name, empty))
        points = np.array([point for place in places for point in place.gcps], dtype=np.float64)
        file["scenes/gcps"] = points.reshape(-1, 5)
        if split is not None:
            file[f"splits/{split_name}"] = split.astype(np.uint8)
    return path


def grid_points(
    rows: Sequence[float], cols: Sequence[float], west: float, north: float, step: float
) -> tuple[tuple[float, ...], ...]:
    """Control points on a grid over a sheared map: x grows with the column, and a little with the row."""
    return tuple(
        (row, col, west + step * (col + 0.2 * row), north - step * (row - 0.1 * col), 0.0)
        for row in rows
        for col in cols
    )
