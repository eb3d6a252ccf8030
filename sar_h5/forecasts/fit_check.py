"""Whether a conversion fits into memory and onto the disk, told before any long work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sar_h5.forecasts.memory_need import check_memory, rasters_memory, shards_memory
from sar_h5.forecasts.raster_forecast import forecast_rasters
from sar_h5.forecasts.shard_forecast import forecast_shards
from sar_h5.job import Job, check_disk
from sar_h5.raster_job import RasterJob
from sar_h5.settings import ConvertSettings
from sar_h5.shard_job import ShardJob

LONG_WORK_NBYTES = 1_000_000_000
"""From so many bytes of pixels on, samples are compressed to tell the size before all of them are read for bounds or a
palette; below, the check after that comes early enough."""


def check_fit(directory: Path, jobs: Sequence[Job[Any]], settings: ConvertSettings, there_nbytes: int = 0) -> None:
    """Refuse what cannot fit.

    Args:
        directory: where the results go.
        jobs: one for each file, before any of them has read its scenes.
        settings: of the conversion.
        there_nbytes: how much of the results an earlier run has left there.

    Raises:
        InsufficientMemoryError: where this process may have less memory than the conversion takes.
        OutputError: where less disk is free than the results are expected to take.
    """
    check_memory(max((_memory_nbytes(job, settings) for job in jobs), default=0))
    if sum(job.source_nbytes for job in jobs) >= LONG_WORK_NBYTES:
        check_disk(directory, max(sum(_file_nbytes(job, settings) for job in jobs) - there_nbytes, 0))


def _memory_nbytes(job: Job[Any], settings: ConvertSettings) -> int:
    if isinstance(job, RasterJob):
        return rasters_memory(job.scenes, settings)
    return shards_memory(job.scenes, settings, job.stride)


def _file_nbytes(job: Job[Any], settings: ConvertSettings) -> int:
    if isinstance(job, RasterJob) and job.scenes:
        return forecast_rasters(job.scenes, None, settings, job.polarization).nbytes
    if isinstance(job, ShardJob):
        return forecast_shards(job.scenes, job.bounds, settings, job.polarization, job.stride).nbytes
    return 0
