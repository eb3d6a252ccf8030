"""Scenes looked into before any work starts: a few places of each, or every value, in threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

import numpy as np

from sar_h5.bands import raster_nbytes, read_bands
from sar_h5.cutting import BATCH_NBYTES
from sar_h5.errors import BadSource, RadiometryError, SourceError
from sar_h5.job import Scene, spread
from sar_h5.progress import Progress
from sar_h5.quantiles import Counts
from sar_h5.raster_units import resolve_units
from sar_h5.sources.scene import RasterScene, ShardScene
from sar_h5.survey import count_scene_db, count_scene_dn

CHECKED_PATCHES = 3
CHECKED_ROWS = 4

SceneT = TypeVar("SceneT", bound=Scene)
ResultT = TypeVar("ResultT")


def check_shards(
    shards: Sequence[ShardScene], polarization: str, threads: int, progress: Progress, *, deep: bool
) -> list[BadSource]:
    """Look for patches that hold NaN or values outside [0, 1], or cannot be read.

    Args:
        shards: of one polarization.
        polarization: theirs.
        threads: number of shards that are read at once.
        progress: told of what is read.
        deep: whether to read every value; else three patches of each shard.

    Returns:
        The shards that cannot be used, each with the first reason.
    """

    def read_all(shard: ShardScene, stopped: Event) -> None:
        for values in shard.batches(BATCH_NBYTES):
            progress.advance(values.nbytes)
            if stopped.is_set():
                return

    def read_some(shard: ShardScene, _: Event) -> None:
        for number in spread(range(shard.count), CHECKED_PATCHES):
            progress.advance(shard.patches(number, number + 1).nbytes)

    patches = sum(shard.count if deep else min(shard.count, CHECKED_PATCHES) for shard in shards)
    progress.start(f"{polarization} check", patches * (shards[0].patch_size ** 2 * 4 if shards else 0))
    return _check_all(shards, read_all if deep else read_some, threads)[0]


def check_rasters(
    scenes: Sequence[RasterScene], polarization: str, units: str, threads: int, progress: Progress, *, deep: bool
) -> tuple[list[BadSource], Counts | None]:
    """Look for rasters that cannot be read, and, where every value is read, for those without anything to scale.

    Args:
        scenes: of one polarization.
        polarization: theirs.
        units: of float rasters: "linear", "db", or "auto".
        threads: number of rasters that are read at once.
        progress: told of what is read.
        deep: whether to read every value; else four rows of each raster, the last one among them.

    Returns:
        The rasters that cannot be used, each with the reason; and how often each valid digital number occurs in the
        others, uint64 (65536,), where all were read and are digital numbers.
    """
    counts = [np.zeros(1 << 16, dtype=np.uint64)]

    def read_all(scene: RasterScene, stopped: Event) -> Counts | None:
        if scene.dtype == np.uint16:
            return count_scene_dn(scene, progress)
        try:
            count_scene_db(scene, resolve_units([scene], units), progress)
        except RadiometryError:  # whoever needs the units says that they are in doubt
            for _ in read_bands(scene, progress):
                if stopped.is_set():
                    break
        return None

    def read_some(scene: RasterScene, _: Event) -> None:
        height = scene.info.height
        # The last row too: a file that was cut off lacks it.
        for row in sorted({*spread(range(height), CHECKED_ROWS - 1), height - 1}):
            progress.advance(scene.rows(row, row + 1).nbytes)

    rows = sum(scene.info.width * scene.dtype.itemsize * CHECKED_ROWS for scene in scenes)
    progress.start(f"{polarization} check", raster_nbytes(scenes) if deep else rows)
    broken, counted = _check_all(scenes, read_all if deep else read_some, threads)
    counts += [some for some in counted if some is not None]
    return broken, np.sum(counts, axis=0, dtype=np.uint64) if len(counts) > 1 else None


def _check_all(
    scenes: Sequence[SceneT], check: Callable[[SceneT, Event], ResultT], threads: int
) -> tuple[list[BadSource], list[ResultT]]:
    """Call a function with each scene, in threads; return the scenes it fails for, in order, and other results."""
    stopped = Event()

    def attempt(scene: SceneT) -> ResultT | BadSource:
        try:
            return check(scene, stopped)
        except SourceError as error:
            return BadSource(scene.info.path, str(error))

    with ThreadPoolExecutor(threads, thread_name_prefix="sar-h5") as pool:
        futures = [pool.submit(attempt, scene) for scene in scenes]
        try:
            outcomes = [future.result() for future in futures]
        except BaseException:
            stopped.set()  # an interrupted scan does not read on to the end
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    broken = [outcome for outcome in outcomes if isinstance(outcome, BadSource)]
    return broken, [outcome for outcome in outcomes if not isinstance(outcome, BadSource)]
