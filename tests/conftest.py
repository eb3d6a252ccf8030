"""Shared fixtures: where the real rasters are, and tiny scenes and shards made in ``tmp_path``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sar_h5.radiometry import Bounds, scale_all_dn
from sar_h5.sources.simulator import SimulatedScene, simulate_product

REAL_SCENE = "S1A_IW_GRDH_1SDV_20180716T004042_20180716T004107_022812_02792A_FD5B"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real rasters, or a skip with the reason."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("SAR_H5_TEST_DATA", default))
    if not path.is_dir():
        pytest.skip(f"real rasters are not at {path}; SAR_H5_TEST_DATA names another place")
    return path


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two simulated dual-polarization products of 400 x 600 pixels."""
    directory = tmp_path_factory.mktemp("products")
    for seed in (1, 2):
        simulate_product(directory, SimulatedScene(height=400, width=600, border_px=20, seed=seed, orbit=36200 + seed))
    return directory


def make_dn(seed: int, shape: tuple[int, ...], median: float = 120.0) -> np.ndarray:
    """Speckled digital numbers of about 4.4 looks, none of them 0."""
    generator = np.random.default_rng(seed)
    intensity = generator.gamma(4.4, 1 / 4.4, shape) * median**2
    return np.clip(np.round(np.sqrt(intensity)), 1, 65535).astype(np.uint16)


def make_shards(
    directory: Path, polarization: str = "vv", counts: tuple[int, ...] = (5, 3), size: int = 32, seed: int = 0
) -> list[np.ndarray]:
    """Write shards as the reference pipeline makes them with bounds 14.77 and 24.54 dB, with their metadata."""
    table = scale_all_dn(Bounds(14.77, 24.54))
    shards = [table[make_dn(seed + number, (count, size, size))] for number, count in enumerate(counts)]
    index = []
    for number, shard in enumerate(shards):
        name = f"s1a-iw-grd-{polarization}-2021011{number}t031653-2021011{number}t031718-03620{number}-043ed0-001.npy"
        np.save(directory / name, shard)
        index.append((name, len(shard)))
    metadata = {"file_index": index, "vmin": 14.77, "vmax": 24.54}
    np.save(directory / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    return shards
