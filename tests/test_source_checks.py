"""Scenes looked into: in threads, in order, and stopped when the user has had enough."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sar_h5.errors import SourceError
from sar_h5.forecasts.source_checks import check_rasters, check_shards
from sar_h5.progress import Progress
from sar_h5.sources.discovery import discover
from sar_h5.sources.shards import NpyShard
from tests.conftest import make_shards


class Damaged(NpyShard):
    """A shard that turns out broken when all of it is read, each for a reason of its own."""

    def batches(self, most_nbytes: int) -> Iterator[np.ndarray]:
        """Fail after one batch."""
        yield next(super().batches(most_nbytes))
        raise SourceError(f"{self.info.path} is damaged")


def test_all_broken_shards_are_named_in_order_whatever_the_threads(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(2,) * 9)
    paths = sorted(tmp_path.glob("s1a*.npy"))
    shards = [(Damaged if number % 2 else NpyShard)(path, str(path), "vv") for number, path in enumerate(paths)]
    for threads in (1, 4):
        broken = check_shards(shards, "vv", threads, Progress(False), deep=True)
        assert [source.path for source in broken] == [str(path) for path in paths[1::2]]
        assert all("is damaged" in source.reason for source in broken)
    assert check_shards(shards, "vv", 2, Progress(False), deep=False) == []
    assert check_shards([], "vv", 2, Progress(False), deep=True) == []


def test_a_deep_look_at_rasters_counts_every_valid_pixel(products: Path) -> None:
    scenes = discover([products]).rasters["vv"]
    broken, counts = check_rasters(scenes, "vv", "auto", 3, Progress(False), deep=True)
    pixels = np.concatenate([scene.rows(0, scene.info.height).ravel() for scene in scenes])
    expected = np.bincount(pixels, minlength=1 << 16)
    expected[0] = 0
    assert broken == []
    assert counts is not None
    np.testing.assert_array_equal(counts, expected)
    assert check_rasters(scenes, "vv", "auto", 3, Progress(False), deep=False) == ([], None)


def test_an_interrupted_look_does_not_read_on(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(3,) * 4, size=512)
    read: list[int] = []

    class Interrupted(Progress):
        """Whoever watches has had enough after the first batch."""

        def advance(self, nbytes: int, patches: int = 0) -> None:
            read.append(nbytes + patches)
            raise KeyboardInterrupt

    shards = [NpyShard(path, str(path), "vv") for path in sorted(tmp_path.glob("s1a*.npy"))]
    with pytest.raises(KeyboardInterrupt):
        check_shards(shards, "vv", 1, Interrupted(False), deep=True)
    assert len(read) < 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sar-h5")]
