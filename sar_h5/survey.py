"""The first pass over rasters: the histogram of all valid pixels, exact bounds, and every scene that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from sar_h5.bands import read_bands
from sar_h5.encoding import mask_dn
from sar_h5.errors import BadSource, SourceError
from sar_h5.progress import Progress
from sar_h5.quantiles import Counts, FloatPercentiles, add_dn, count_coarse, dn_percentiles
from sar_h5.radiometry import Bounds, Floats, to_db
from sar_h5.sources.scene import RasterScene
from sar_h5.tiling import PatchGrid
from sar_h5.units import Units, pixels_to_db, row_pieces
from sar_h5.workers import in_order

CONVERTED_AHEAD_NBYTES = 8 << 20
"""How many bytes of float pixels are converted to dB ahead at most."""

ALL_SCENES = "all scenes"

SceneT = TypeVar("SceneT", bound=RasterScene)


@dataclass
class Survey(Generic[SceneT]):
    """What the first pass over the scenes of one polarization found.

    Attributes:
        scenes: those that can be used.
        broken: the others, and why.
        counted: those of the scenes that count for the bounds.
        counts: uint64 (65536,), of these: valid digital numbers, or float dB by the upper half of their ordered bit
            patterns.
    """

    scenes: list[SceneT] = field(default_factory=list)
    broken: list[BadSource] = field(default_factory=list)
    counted: list[SceneT] = field(default_factory=list)
    counts: Counts = field(default_factory=lambda: np.zeros(1 << 16, dtype=np.uint64))


def check_size(scene: RasterScene, grid: PatchGrid) -> None:
    """Raise SourceError where a scene is smaller than a patch."""
    height, width = scene.info.height, scene.info.width
    if grid.count(height, width) == 0:
        raise SourceError(
            f"the scene has {height} x {width} pixels, less than one patch of {grid.patch_size} x {grid.patch_size}; "
            "choose a smaller --patch-size"
        )


def check_counts(counts: Counts) -> None:
    """Raise SourceError where the valid digital numbers of a scene are none, or all the same."""
    levels = np.flatnonzero(counts)
    if len(levels) == 0:
        raise SourceError("holds no valid pixel: all are zero or nodata")
    if len(levels) == 1:
        raise SourceError(f"is constant: every valid pixel is DN {levels[0]}, which leaves nothing to scale")


def sort_by_use(scenes: Sequence[SceneT], grid: PatchGrid) -> Survey[SceneT]:
    """Set aside the scenes that are smaller than a patch; nothing is read."""
    survey = Survey[SceneT]()
    for scene in scenes:
        try:
            check_size(scene, grid)
        except SourceError as error:
            survey.broken.append(BadSource(scene.info.path, str(error)))
        else:
            survey.scenes.append(scene)
    return survey


def survey_scenes(
    scenes: Sequence[SceneT],
    count: Callable[[SceneT], Counts],
    progress: Progress,
    wanted: Collection[str] | None = None,
) -> Survey[SceneT]:
    """Count the pixels of all scenes; a scene that fails is set aside and counts for nothing.

    Args:
        scenes: the scenes of one polarization.
        count: counts one scene, or raises SourceError.
        progress: told of each scene.
        wanted: names of the scenes that count; the others are only checked. None for all.
    """
    survey = Survey[SceneT]()
    for number, scene in enumerate(scenes, start=1):
        progress.scene(number, len(scenes))
        try:
            counts = count(scene)
        except SourceError as error:
            survey.broken.append(BadSource(scene.info.path, str(error)))
        else:
            survey.scenes.append(scene)
            if wanted is None or scene.info.name in wanted:
                survey.counted.append(scene)
                survey.counts += counts
    return survey


def count_scene_dn(scene: RasterScene, progress: Progress) -> Counts:
    """Count the valid digital numbers of one scene.

    Raises:
        SourceError: where it cannot be read, or its valid pixels are none or all the same.
    """
    counts = np.zeros(1 << 16, dtype=np.uint64)
    for band in read_bands(scene, progress):
        add_dn(counts, mask_dn(band.astype(np.uint16, copy=False), scene.nodata))
    check_counts(counts)
    return counts


def dn_bounds(counts: Counts, percentiles: tuple[float, float], scenes: str = ALL_SCENES) -> Bounds:
    """Take the bounds from the histogram of digital numbers.

    Args:
        counts: the histogram.
        percentiles: lower and upper one.
        scenes: which scenes were counted, in words for the origin.

    Raises:
        BoundsError: where the percentiles coincide.
    """
    dn = np.arange(len(counts), dtype=np.float32)
    dn[0] = 1  # never counted; any value that keeps the table rising
    vmin, vmax = dn_percentiles(counts, to_db(dn), percentiles)
    return Bounds(vmin, vmax, _percentile_origin(percentiles, scenes))


def valid_db(scene: RasterScene, units: Units, progress: Progress, jobs: int = 1) -> Iterator[Floats]:
    """Yield the valid pixels of a float scene in dB, band by band, flat; computed in threads."""

    def convert(band: npt.NDArray[np.generic]) -> Floats:
        pieces = (pixels_to_db(band[rows], units, scene.nodata) for rows in row_pieces(*band.shape))
        return np.concatenate([db[~invalid] for db, invalid in pieces])

    return in_order(convert, read_bands(scene, progress), lambda band: band.nbytes, jobs, CONVERTED_AHEAD_NBYTES)


def count_scene_db(scene: RasterScene, units: Units, progress: Progress, jobs: int = 1) -> Counts:
    """Count the valid dB values of one float scene by the upper half of their bit patterns.

    Raises:
        SourceError: where it cannot be read, or its valid pixels are none or all the same.
    """
    counts = np.zeros(1 << 16, dtype=np.uint64)
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for values in valid_db(scene, units, progress, jobs):
        counts += count_coarse(values)
        low, high = min(low, values.min(initial=low)), max(high, values.max(initial=high))
    if low > high:
        raise SourceError("holds no valid pixel: all are NaN, nodata or not positive")
    if low == high:
        raise SourceError(f"is constant: every valid pixel is {low:g} dB, which leaves nothing to scale")
    return counts


def float_bounds(
    survey: Survey[SceneT],
    units: Units,
    percentiles: tuple[float, float],
    progress: Progress,
    jobs: int = 1,
    scenes: str = ALL_SCENES,
) -> Bounds:
    """Take the bounds of float scenes exactly, by a second pass that counts the lower half of the bit patterns.

    Args:
        survey: the first pass.
        units: of the pixels.
        percentiles: lower and upper one.
        progress: told of every scene.
        jobs: number of threads.
        scenes: which scenes were counted, in words for the origin.

    Raises:
        BoundsError: where the percentiles coincide.
    """
    exact = FloatPercentiles(survey.counts, percentiles)
    for number, scene in enumerate(survey.counted, start=1):
        progress.scene(number, len(survey.counted))
        for values in valid_db(scene, units, progress, jobs):
            exact.count_fine(values)
    vmin, vmax = exact.values()
    return Bounds(vmin, vmax, _percentile_origin(percentiles, scenes))


def _percentile_origin(percentiles: tuple[float, float], scenes: str) -> str:
    low, high = percentiles
    return f"percentiles {low:g} and {high:g} of all valid pixels of {scenes}"
