"""``CachedScene``: pixels stay in memory where they will be needed again and the budget allows it; they stay the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from sar_h5.errors import SourceError
from sar_h5.pixel_cache import CachedScene, PixelCache
from sar_h5.sources.scene import SceneInfo, SourceFile
from tests.conftest import make_dn

HEIGHT, WIDTH = 50, 40
NBYTES = HEIGHT * WIDTH * 2


class CountingScene:
    """A raster in memory that counts its passes; reading stops with an error at a row, where one is given."""

    def __init__(self, seed: int = 0, broken_at: int | None = None) -> None:
        self.pixels = make_dn(seed, (HEIGHT, WIDTH))
        self.info = SceneInfo("s", "s-vv.tif", "vv", HEIGHT, WIDTH)
        self.dtype, self.nodata = self.pixels.dtype, 7.0
        self.passes: list[int] = []
        self._broken_at = broken_at

    @contextlib.contextmanager
    def bands(self, height: int, jobs: int = 1) -> Iterator[Iterator[np.ndarray]]:
        self.passes.append(jobs)
        yield (self.rows(start, min(start + height, HEIGHT)) for start in range(0, HEIGHT, height))

    def rows(self, start: int, stop: int) -> np.ndarray:
        if self._broken_at is not None and stop > self._broken_at:
            raise SourceError("broken")
        return self.pixels[start:stop].copy()

    def identify(self) -> SourceFile:
        return SourceFile(1, 2)


def read(scene: CachedScene, height: int = 8) -> np.ndarray:
    with scene.bands(height) as bands:
        parts = list(bands)
    assert all(1 <= len(part) <= height for part in parts)
    return np.concatenate(parts)


def make(cache: PixelCache, seed: int = 0, broken_at: int | None = None) -> tuple[CountingScene, CachedScene]:
    raster = CountingScene(seed, broken_at)
    return raster, CachedScene(raster, cache, 3)


def test_a_pass_that_is_not_the_last_keeps_the_pixels() -> None:
    raster, scene = make(PixelCache(NBYTES))
    scene.will_be_read_again()
    for _ in range(4):
        assert np.array_equal(read(scene), raster.pixels)
    assert raster.passes == [3]


@pytest.mark.parametrize("height", [1, 3, 8, 11, 50, 99])
def test_other_bands_than_those_kept_may_be_asked_for(height: int) -> None:
    raster, scene = make(PixelCache(NBYTES))
    scene.will_be_read_again()
    read(scene)
    assert np.array_equal(read(scene, height), raster.pixels)
    assert len(raster.passes) == 1


def test_the_only_pass_keeps_nothing() -> None:
    raster, scene = make(PixelCache(NBYTES))
    for _ in range(3):
        assert np.array_equal(read(scene), raster.pixels)
    assert len(raster.passes) == 3


def test_a_scene_beyond_the_budget_is_read_again_and_smaller_budgets_hold_none() -> None:
    cache = PixelCache(2 * NBYTES + NBYTES // 2)
    scenes = [make(cache, seed) for seed in range(4)]
    for _, scene in scenes:
        scene.will_be_read_again()
    for _ in range(3):
        for raster, scene in scenes:
            assert np.array_equal(read(scene), raster.pixels)
    assert [len(raster.passes) for raster, _ in scenes] == [1, 1, 3, 3]
    raster, scene = make(PixelCache(NBYTES - 1))
    scene.will_be_read_again()
    assert [len(read(scene)) for _ in range(2)] == [HEIGHT] * 2
    assert len(raster.passes) == 2


def test_a_scene_that_breaks_on_the_way_keeps_nothing_and_gives_its_budget_back() -> None:
    cache = PixelCache(NBYTES)
    _, broken = make(cache, broken_at=30)
    broken.will_be_read_again()
    for _ in range(2):
        with pytest.raises(SourceError, match="broken"):
            read(broken)
    raster, scene = make(cache)
    scene.will_be_read_again()
    assert np.array_equal(read(scene), read(scene))
    assert len(raster.passes) == 1


def test_a_pass_that_stops_early_keeps_nothing() -> None:
    cache = PixelCache(NBYTES)
    raster, scene = make(cache)
    scene.will_be_read_again()
    with scene.bands(8) as bands:
        next(bands)
    assert np.array_equal(read(scene), raster.pixels)
    assert len(raster.passes) == 2
    scene.will_be_read_again()
    assert np.array_equal(read(scene), read(scene))
    assert len(raster.passes) == 3


def test_all_else_is_the_raster_s_own() -> None:
    raster, scene = make(PixelCache(0))
    assert (scene.info, scene.dtype, scene.nodata, scene.nbytes) == (raster.info, raster.dtype, 7.0, NBYTES)
    assert scene.identify() == SourceFile(1, 2)
    assert np.array_equal(scene.rows(3, 9), raster.pixels[3:9])
