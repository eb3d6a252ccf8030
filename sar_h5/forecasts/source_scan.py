"""``scan``: what lies below some sources, what of it is broken, and what converting it will take."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from sar_h5.bands import raster_nbytes
from sar_h5.errors import BadSource, BoundsError, RadiometryError
from sar_h5.forecasts.forecast import Forecast
from sar_h5.forecasts.memory_limit import allowed_memory_nbytes
from sar_h5.forecasts.memory_need import rasters_memory, shards_memory
from sar_h5.forecasts.raster_forecast import forecast_rasters
from sar_h5.forecasts.scan_report import PolarizationPlan, ScanReport
from sar_h5.forecasts.shard_forecast import forecast_shards
from sar_h5.forecasts.source_checks import check_rasters, check_shards
from sar_h5.job import Scene
from sar_h5.progress import Progress
from sar_h5.quantiles import Counts
from sar_h5.radiometry import Bounds
from sar_h5.settings import DEFAULT_CACHE_NBYTES, ConvertSettings, ValidMeasure
from sar_h5.shard_job import ShardJob
from sar_h5.sources.discovery import Inventory, discover
from sar_h5.sources.scene import RasterScene, ShardScene
from sar_h5.survey import sort_by_use

SceneT = TypeVar("SceneT", bound=Scene)


def scan(
    sources: str | Path | Sequence[str | Path],
    *,
    out: str | Path = ".",
    deep: bool = False,
    patch_size: int | None = None,
    stride: int | None = None,
    min_valid: float | None = None,
    valid_by: ValidMeasure = "range",
    percentiles: tuple[float, float] = (1, 99),
    vmin: float | None = None,
    vmax: float | None = None,
    bounds: str | Path | None = None,
    polarization: str | Sequence[str] = (),
    units: str = "auto",
    encoding: str = "auto",
    codec: str = "fast",
    clevel: int | None = None,
    shuffle: str | None = None,
    layout: str = "patches",
    jobs: int | None = None,
    cache_nbytes: int = DEFAULT_CACHE_NBYTES,
    progress: bool | None = None,
) -> ScanReport:
    """Look at sources before they are converted; nothing is written.

    Args:
        sources: as for :func:`convert`.
        out: where the results are to go, for the disk to look at; need not exist.
        deep: whether to read every value, in threads; else headers, sizes, and a few places of each file.
        patch_size: as for :func:`convert`, like all that follow.
        stride: distance of neighbouring patches.
        min_valid: least valid fraction to keep a patch.
        valid_by: what the fraction counts.
        percentiles: that give the bounds where none are given.
        vmin: bound in dB that becomes 0.
        vmax: bound in dB that becomes 1.
        bounds: file with the bounds.
        polarization: only these.
        units: of float rasters.
        encoding: how values are stored.
        codec: how they are compressed.
        clevel: compression level.
        shuffle: of the codec.
        layout: "patches" or "blocks".
        jobs: number of threads.
        cache_nbytes: memory for pixels of rasters that are needed twice.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Returns:
        What is there, what is broken, and what converting it will take. ``report.ok`` tells whether ``convert`` can go
        ahead, as far as was looked.

    Raises:
        SettingError: where a setting cannot be honoured.
        SourceError: where sources are missing, or the metadata of shards are unusable.
        BoundsError: where shard directories contradict each other about the bounds.
    """
    settings = ConvertSettings(
        patch_size=patch_size,
        stride=stride,
        min_valid=min_valid,
        valid_measure=valid_by,
        percentiles=percentiles,
        vmin=vmin,
        vmax=vmax,
        bounds_file=None if bounds is None else Path(bounds),
        polarizations=(polarization,) if isinstance(polarization, str) else tuple(polarization),
        units=units,
        encoding=encoding,
        codec=codec,
        clevel=clevel,
        shuffle=shuffle,
        jobs=jobs,
        layout=layout,
        cache_nbytes=cache_nbytes,
    )
    started = time.perf_counter()
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    with_bounds = settings.given_bounds is None and settings.bounds_file is None
    inventory = discover(given, settings.polarizations, with_bounds=with_bounds)
    broken, plans = list(inventory.broken), []
    with Progress(progress) as bar:
        for name in inventory.polarizations:
            planned, unusable = _plan_polarization(inventory, name, settings, bar, deep=deep)
            plans.append(planned)
            broken += unusable
    return ScanReport(
        sources=tuple(map(str, given)),
        deep=deep,
        plans=tuple(plans),
        broken=tuple(broken),
        notes=(*inventory.notes, *_existing(Path(out), inventory.polarizations)),
        out=str(out),
        out_problem=_find_out_problem(Path(out)),
        free_nbytes=shutil.disk_usage(_nearest_existing(Path(out))).free,
        memory_limit_nbytes=allowed_memory_nbytes(),
        threads=settings.threads,
        seconds=time.perf_counter() - started,
    )


def _plan_polarization(
    inventory: Inventory, polarization: str, settings: ConvertSettings, progress: Progress, *, deep: bool
) -> tuple[PolarizationPlan, list[BadSource]]:
    if rasters := inventory.rasters.get(polarization):
        sized = sort_by_use(rasters, settings.grid)
        broken, counts = check_rasters(
            sized.scenes, polarization, settings.units, settings.threads, progress, deep=deep
        )
        usable = _without(sized.scenes, broken)
        return _plan_rasters(usable, counts, settings, polarization), [*sized.broken, *broken]
    shards = inventory.shards.get(polarization, [])
    broken = check_shards(shards, polarization, settings.threads, progress, deep=deep)
    bounds = inventory.bounds.get(polarization)
    return _plan_shards(_without(shards, broken), bounds, inventory.stride, settings, polarization), broken


def _without(scenes: Sequence[SceneT], broken: Sequence[BadSource]) -> list[SceneT]:
    unusable = {source.path for source in broken}
    return [scene for scene in scenes if scene.info.path not in unusable]


def _plan_rasters(
    scenes: Sequence[RasterScene], counts: Counts | None, settings: ConvertSettings, polarization: str
) -> PolarizationPlan:
    grid = settings.grid
    patches = sum(grid.count(scene.info.height, scene.info.width) for scene in scenes)
    forecast: Forecast | None = None
    problems: tuple[str, ...] = ()
    try:
        forecast = forecast_rasters(scenes, counts, settings, polarization) if scenes else None
    except (RadiometryError, BoundsError) as error:
        problems = (str(error),)
    return PolarizationPlan(
        polarization=polarization,
        kind="raster",
        scenes=len(scenes),
        source_nbytes=raster_nbytes(scenes),
        patches=patches,
        most_scene_patches=max((grid.count(scene.info.height, scene.info.width) for scene in scenes), default=0),
        patch_size=grid.patch_size,
        stride=grid.stride,
        memory_nbytes=rasters_memory(scenes, settings),
        forecast=forecast,
        problems=problems,
    )


def _plan_shards(
    shards: Sequence[ShardScene], stated: Bounds | None, stride: int, settings: ConvertSettings, polarization: str
) -> PolarizationPlan:
    patches, size = sum(shard.count for shard in shards), shards[0].patch_size if shards else 0
    problems: tuple[str, ...] = ()
    bounds = None
    if shards:
        try:
            bounds = ShardJob(polarization, shards, stated, stride, settings).bounds
        except BoundsError as error:
            problems = (str(error),)
    return PolarizationPlan(
        polarization=polarization,
        kind="shard",
        scenes=len(shards),
        source_nbytes=patches * size**2 * 4,
        patches=patches,
        most_scene_patches=max((shard.count for shard in shards), default=0),
        patch_size=size,
        stride=stride if settings.stride is None else settings.stride,
        memory_nbytes=shards_memory(shards, settings, stride),
        forecast=forecast_shards(shards, bounds, settings, polarization, stride) if shards else None,
        problems=problems,
    )


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.is_dir())


def _find_out_problem(out: Path) -> str:
    """Say why convert could not make its results there; empty where nothing speaks against it."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        found = f"{there}, which is none"
    elif not os.access(there, os.W_OK | os.X_OK):
        found = f"{there}, where nothing can be written"
    else:
        return ""
    return f"{out}: expected a directory to write to, found {found}; choose another --out"


def _existing(out: Path, polarizations: Sequence[str]) -> list[str]:
    paths = [out / f"{name}.h5" for name in polarizations]
    return [f"{path} exists: convert needs --overwrite or another --out" for path in paths if path.exists()]
