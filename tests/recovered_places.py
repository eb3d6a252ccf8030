"""Shards without places, cut from scenes of speckle and flat water, whose true places the tests know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import convert
from sar_h5.radiometry import Bounds, scale_all_dn
from tests.conftest import make_dn

BOUNDS = Bounds(14.77, 24.54)
WANTED = {"vmin": 14.77, "vmax": 24.54}
SIZE, STRIDE = 32, 16

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TruePlaces:
    """Which scene the patches of a file are from, and where they truly lie, in the order of the file."""

    scene: Numbers
    row: Numbers
    col: Numbers


def make_ground(seed: int, height: int = 240, width: int = 320, water: bool = True) -> npt.NDArray[np.uint16]:
    """Speckle with two lakes at the lower bound, one of them with a few brighter pixels."""
    ground = make_dn(seed, (height, width))
    if water:
        ground[60:140, 90:190] = 1
        ground[150:230, 200:290] = 1
        places = np.random.default_rng(seed).integers(0, (80, 90), (9, 2))
        ground[150 + places[:, 0], 200 + places[:, 1]] = 400
    return ground


def shard_name(number: int) -> str:
    day = f"202101{number + 11:02}"
    return f"s1a-iw-grd-vv-{day}t031653-{day}t031718-03620{number}-043ed0-001.npy"


def cut_shards(
    directory: Path, grounds: list[Any], keep: float = 1.0, seed: int = 0, stride: int = STRIDE, edge: str = "drop"
) -> TruePlaces:
    """Cut each ground into a shard: patches in any order, those of which too little is valid or that chance drops gone."""
    directory.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    table = scale_all_dn(BOUNDS)
    found = []
    for number, ground in enumerate(grounds):
        starts = [list(range(0, length - SIZE + 1, stride)) for length in ground.shape]
        if edge == "shift":
            starts = [[*places, length - SIZE] for places, length in zip(starts, ground.shape, strict=True)]
        corners = [(row, col) for row in starts[0] for col in starts[1]]
        patches = {(r, c): table[ground[r : r + SIZE, c : c + SIZE]] for r, c in corners}
        corners = [
            corner
            for corner in corners
            if ((patches[corner] > 0.01) & (patches[corner] < 0.99)).mean() >= 0.5 and generator.random() < keep
        ]
        corners = [corners[position] for position in generator.permutation(len(corners))]
        np.save(directory / shard_name(number), np.stack([patches[corner] for corner in corners]))
        found.append(np.array([(number, *corner) for corner in corners]).reshape(-1, 3))
    return TruePlaces(*np.concatenate(found).T)


def convert_blocks(source: Path | list[Path], out: Path, **settings: Any) -> Path:
    """Convert shards to layout "blocks" with nothing dropped."""
    options = {"layout": "blocks", "stride": STRIDE, "min_valid": 0, **WANTED, **settings}
    return Path(convert(source, out, **options)[0].path)


def read_recovered(path: Path) -> tuple[Numbers, Numbers, Numbers]:
    """Row, column and component of each patch, with plain h5py."""
    with h5py.File(path) as f:
        row, col, component = (f[f"index/{name}"][:].astype(np.int64) for name in ("row", "col", "component"))
    return row, col, component


def check_against(truth: TruePlaces, row: Numbers, col: Numbers, component: Numbers, size: int = SIZE) -> None:
    """Within a component places are the true ones but for one offset, and known patches that overlap are in the same."""
    unknown = component == -1
    assert (row[unknown] == -1).all()
    assert (col[unknown] == -1).all()
    for part in np.unique(component[~unknown]):
        own = np.flatnonzero(component == part)
        assert len(np.unique(np.stack([truth.scene, row - truth.row, col - truth.col])[:, own], axis=1).T) == 1
    overlapping = (
        (truth.scene[:, None] == truth.scene)
        & (abs(truth.row[:, None] - truth.row) < size)
        & (abs(truth.col[:, None] - truth.col) < size)
    )
    both = ~unknown[:, None] & ~unknown
    assert (component[:, None] == component)[overlapping & both].all()
