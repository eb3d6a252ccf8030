"""Scenes and places of patches for tests of splits, without files."""

from __future__ import annotations

import numpy as np

from sar_h5.adjacency import recover_places
from sar_h5.splits.scenes import PatchPlaces, SplitScene

UTM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_600_000.0)
NOWHERE = (np.nan,) * 6


def make_scene(
    name: str, height: int = 100, width: int = 120, day: int = 1, place: tuple[int, int] | None = None
) -> SplitScene:
    """A scene; at a place (row, col) of one grid of pixels on the ground, or nowhere."""
    a, b, c, d, e, f = UTM
    transform = NOWHERE if place is None else (a, b, c + a * place[1], d, e, f + e * place[0])
    time = f"2021-01-{day:02}T03:16:53" if day else ""
    return SplitScene(name, height, width, time, "" if place is None else "EPSG:32633", transform)


def make_places(
    scenes: list[SplitScene], size: int = 10, stride: int = 5, keep: float = 1.0, seed: int = 0
) -> PatchPlaces:
    """The grid of patches of each scene, of which a filter keeps some."""
    rows = [
        (number, row, col)
        for number, scene in enumerate(scenes)
        for row in range(0, scene.height - size + 1, stride)
        for col in range(0, scene.width - size + 1, stride)
    ]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
    columns = columns[np.random.default_rng(seed).random(len(columns)) < keep]
    return PatchPlaces(tuple(scenes), *columns.T, size)


def lose_places(places: PatchPlaces) -> PatchPlaces:
    """The same patches as shards have them: without their places, of scenes of unknown size."""
    unknown = np.full_like(places.row, -1)
    scenes = tuple(SplitScene(scene.name, -1, -1, scene.start_time, "", NOWHERE) for scene in places.scenes)
    return PatchPlaces(scenes, places.scene, unknown, unknown, places.patch_size)


def recover_lost(places: PatchPlaces, block: int = 5) -> PatchPlaces:
    """The same patches once more, with the places that follow from the blocks of pixels that they share."""
    lost = lose_places(places)
    side = places.patch_size // block
    row, col, component = (np.full_like(places.row, -1) for _ in range(3))
    for _, members in places.runs():
        tops, lefts = places.row[members] // block, places.col[members] // block
        blocks = (tops[:, None, None] + np.arange(side)[:, None]) * 1000 + lefts[:, None, None] + np.arange(side)
        found = recover_places(blocks.astype(np.uint32))
        row[members] = np.where(found.known, found.row * block, -1)
        col[members] = np.where(found.known, found.col * block, -1)
        component[members] = np.where(found.known, found.component + component.max(initial=-1) + 1, -1)
    return PatchPlaces(lost.scenes, places.scene, row, col, places.patch_size, component)
