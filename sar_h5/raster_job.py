"""The job for rasters: survey all pixels for the bounds, then cut, encode and filter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.bands import raster_nbytes, read_bands
from sar_h5.cutting import Band, BatchToMake, Stored, cut_bands
from sar_h5.encoding import DnEncoder, FloatEncoder, Storage, float_storage, palette_storage
from sar_h5.errors import BoundsError, SettingError, SourceError
from sar_h5.job import (
    SAMPLED_PATCHES,
    SAMPLED_SCENES,
    Plan,
    SavedJob,
    Scene,
    given_bounds,
    make_plan,
    spread,
    why_no_palette,
)
from sar_h5.palette import MAX_LEVELS, NotInPaletteError, find_levels, with_invalid
from sar_h5.pixel_cache import CachedScene, PixelCache
from sar_h5.progress import Progress
from sar_h5.quantiles import Counts
from sar_h5.radiometry import Bounds, Floats
from sar_h5.raster_units import resolve_units
from sar_h5.schema import Encoding
from sar_h5.settings import AUTO, ConvertSettings
from sar_h5.shared_blocks.expectation import expect_grid_blocks
from sar_h5.shared_blocks.grid import ExpectedBlocks
from sar_h5.sources.scene import RasterScene
from sar_h5.survey import (
    ALL_SCENES,
    check_counts,
    count_scene_db,
    count_scene_dn,
    dn_bounds,
    float_bounds,
    sort_by_use,
    survey_scenes,
)
from sar_h5.units import QUANTITIES, Units
from sar_h5.workers import in_order

ENCODED_AHEAD_NBYTES = 8 << 20
"""How many bytes of float pixels are encoded ahead at most."""


class RasterJob:
    """Rasters of one polarization; see :class:`sar_h5.job.Job` for the attributes.

    Args:
        polarization: theirs.
        scenes: the rasters, in the order of the file.
        settings: the user's.
        bounds_from: names of the scenes whose pixels give the bounds; None for all.
        cache: memory for pixels that are needed twice.
    """

    def __init__(
        self,
        polarization: str,
        scenes: Sequence[RasterScene],
        settings: ConvertSettings,
        cache: PixelCache,
        bounds_from: frozenset[str] | None = None,
    ) -> None:
        sorted_scenes = sort_by_use(scenes, settings.grid)
        self.polarization = polarization
        self.scenes = [CachedScene(scene, cache, settings.threads) for scene in sorted_scenes.scenes]
        self.broken = sorted_scenes.broken
        self.patch_size, self.stride = settings.grid.patch_size, settings.grid.stride
        self.min_valid = settings.raster_min_valid
        self._settings = settings
        self._pixel_units = Units.DN
        self.quantity, self.units = QUANTITIES[self._pixel_units]
        self._bounds: Bounds | None = None
        self._encoder: DnEncoder | FloatEncoder
        self._bounds_from = bounds_from
        self._bounds_scenes: list[str] = []
        self._counts: Counts | None = None
        self._surveyed = False
        self._counted_on_the_way: Counts = np.zeros(1 << 16, dtype=np.uint64)

    @property
    def source_nbytes(self) -> int:
        """Size of all pixels of the scenes, uncompressed."""
        return raster_nbytes(self.scenes)

    @property
    def histogram(self) -> Counts | None:
        """Counts of valid digital numbers, from the survey or, where bounds were given, from cutting."""
        if self._pixel_units != Units.DN:
            return None
        return self._counted_on_the_way if self._counts is None else self._counts

    @property
    def bounds_scenes(self) -> Sequence[str]:
        """Names of the scenes whose pixels gave the bounds; none where bounds were given."""
        return self._bounds_scenes

    @property
    def terms(self) -> Mapping[str, str]:
        """The bounds, where they are given, or the scenes that are to give them."""
        given = given_bounds(self._settings, self.polarization)
        if given is not None:
            return {"bounds": f"{given.vmin!r} to {given.vmax!r} dB ({given.origin})"}
        names = ALL_SCENES if self._bounds_from is None else ", ".join(sorted(self._bounds_from))
        return {"scenes that give the bounds": names}

    @property
    def running_counts(self) -> Counts | None:
        """Counts of digital numbers gathered by cutting, where no survey has counted them."""
        return self._counted_on_the_way if self._counts is None and self._pixel_units == Units.DN else None

    def save(self, plan: Plan) -> SavedJob:
        """Return what was found out."""
        from_pixels = self._surveyed or self._pixel_units != Units.DN
        return SavedJob(plan, self._pixel_units.value, from_pixels, tuple(self._bounds_scenes), self._counts)

    def restore(self, saved: SavedJob) -> None:
        """Take over what an earlier run found out.

        Raises:
            ValueError: where digital numbers have other values on this machine.
        """
        self._pixel_units = Units(saved.units)
        self.quantity, self.units = QUANTITIES[self._pixel_units]
        self._bounds, self._counts = saved.plan.bounds, saved.counts
        self._bounds_scenes = list(saved.bounds_scenes)
        self._surveyed = bool(saved.bounds_scenes)
        storage, measure = saved.plan.storage, self._settings.valid_measure
        if self._pixel_units != Units.DN:
            self._encoder = FloatEncoder(storage, self._pixel_units, self._bounds, measure)
            return
        self._encoder = DnEncoder(storage.encoding, self._bounds, measure)
        table = self._encoder.storage.lut
        if table is not None and (storage.lut is None or table.tobytes() != storage.lut.tobytes()):
            raise ValueError("this machine computes other values from digital numbers than the one it was begun on")

    def restore_counts(self, counts: Counts) -> None:
        """Take over what an earlier run's cutting had gathered."""
        self._counted_on_the_way = counts

    def survey(self, progress: Progress) -> None:
        """Find out the units and, unless they are given, the bounds; scenes that cannot be used are set aside.

        Raises:
            RadiometryError: where the units are in doubt or differ.
            BoundsError: where the pixels leave no range.
        """
        if not self.scenes:
            return
        self._pixel_units = resolve_units(self.scenes, self._settings.units)
        self.quantity, self.units = QUANTITIES[self._pixel_units]
        self._bounds = given_bounds(self._settings, self.polarization)
        if self._bounds is None:
            self._survey_bounds(progress)

    def plan(self, progress: Progress) -> Plan:
        """Fix the storage and the codec, after the survey.

        Raises:
            SettingError: where the settings ask for an encoding that cannot hold the pixels.
        """
        if self._bounds is None:
            raise RuntimeError("plan() comes after survey()")
        self._encoder = self._make_encoder(self._bounds, progress)
        positions = sum(self.positions(scene) for scene in self.scenes)
        blocks = expect_blocks(self.scenes, self._settings)
        return make_plan(self._bounds, self._encoder.storage, self._sample(), positions, self._settings, blocks)

    def adopt(self, storage: Storage) -> Storage:
        """Take the storage of a file that is there already, in place of :meth:`plan`.

        Args:
            storage: the file's; of digital numbers only its encoding counts, since all else follows from the bounds.

        Returns:
            What patches come out as.
        """
        if self._bounds is None:
            raise RuntimeError("adopt() comes after survey()")
        measure = self._settings.valid_measure
        if self._pixel_units == Units.DN:
            self._encoder = DnEncoder(storage.encoding, self._bounds, measure)
        else:
            self._encoder = FloatEncoder(storage, self._pixel_units, self._bounds, measure)
        return self._encoder.storage

    def replan(self, progress: Progress) -> Plan:
        """Plan again; never called for rasters, whose codes are derived from all their pixels."""
        return self.plan(progress)

    def positions(self, scene: CachedScene) -> int:
        """Return how many positions of the grid lie in a scene."""
        return self._settings.grid.count(scene.info.height, scene.info.width)

    def cut(self, scene: CachedScene, progress: Progress) -> Iterator[BatchToMake]:
        """Yield the patches of a scene that pass the filter.

        Raises:
            SourceError: where the raster cannot be read, or turns out to hold nothing of use.
        """
        try:
            yield from self._cut_with(self._encoder, scene, progress)
        except NotInPaletteError:
            raise SourceError("its pixels have changed while it was read") from None

    def cut_at(self, scene: CachedScene, row: int, col: int) -> Stored | None:
        """Return the one patch (P, P) whose top-left corner is given, filter or not; None where it leaves the scene.

        Raises:
            SourceError: where the raster cannot be read.
        """
        bottom, right = row + self.patch_size, col + self.patch_size
        if min(row, col) < 0 or bottom > scene.info.height or right > scene.info.width:
            return None
        pixels = np.ascontiguousarray(scene.rows(row, bottom)[:, col:right])
        return self._encoder.encode(pixels, scene.nodata).stored

    def check(self, scene: CachedScene, progress: Progress) -> None:
        """Read a scene, unless the survey has done so.

        Raises:
            SourceError: where it cannot be read, or turns out to hold nothing of use.
        """
        if self._surveyed:
            return
        if self._pixel_units == Units.DN:
            count_scene_dn(scene, progress)
        else:
            for _ in read_bands(scene, progress):
                pass

    def _cut_with(
        self, encoder: DnEncoder | FloatEncoder, scene: CachedScene, progress: Progress
    ) -> Iterator[BatchToMake]:
        counts: Counts | None = None
        if self._counts is None and self._pixel_units == Units.DN:
            counts = np.zeros(1 << 16, dtype=np.uint64)
        bands = self._encoded_bands(encoder, scene, counts, progress)
        yield from cut_bands(bands, scene.info.height, scene.info.width, self._settings.grid, self.min_valid)
        if counts is not None:
            check_counts(counts)
            self._counted_on_the_way += counts

    def _encoded_bands(
        self, encoder: DnEncoder | FloatEncoder, scene: CachedScene, counts: Counts | None, progress: Progress
    ) -> Iterator[Band]:
        pixels = read_bands(scene, progress)
        if isinstance(encoder, DnEncoder):
            for dn in pixels:
                yield encoder.encode(dn, scene.nodata, counts)  # type: ignore[arg-type]  # the encoder was made for it
        else:
            yield from self._encoded_floats(encoder, scene, pixels)

    def _encoded_floats(
        self, encoder: FloatEncoder, scene: CachedScene, pixels: Iterator[npt.NDArray[np.generic]]
    ) -> Iterator[Band]:
        return in_order(
            lambda band: encoder.encode(band, scene.nodata),  # type: ignore[arg-type]  # the encoder was made for it
            pixels,
            lambda band: band.nbytes,
            self._settings.threads,
            ENCODED_AHEAD_NBYTES,
        )

    def _survey_bounds(self, progress: Progress) -> None:
        self._surveyed = True
        threads = self._settings.threads
        self._keep_pixels()
        progress.start(f"{self.polarization} bounds", raster_nbytes(self.scenes))
        if self._pixel_units == Units.DN:
            survey = survey_scenes(
                self.scenes, lambda scene: count_scene_dn(scene, progress), progress, self._bounds_from
            )
        else:
            survey = survey_scenes(
                self.scenes,
                lambda scene: count_scene_db(scene, self._pixel_units, progress, threads),
                progress,
                self._bounds_from,
            )
        self.scenes = survey.scenes
        self.broken += survey.broken
        if not self.scenes or (self.broken and self._settings.on_bad_source == "fail"):
            return  # the run is about to stop
        self._bounds_scenes = [scene.info.name for scene in survey.counted]
        if not self._bounds_scenes:
            raise BoundsError(
                f"--bounds-from: expected at least one {self.polarization} scene that can be read to compute bounds "
                "from, found none; list scenes of this polarization, or convert the others with --polarization"
            )
        counted = ALL_SCENES if self._bounds_from is None else f"{len(survey.counted):,} scenes (bounds_scenes)"
        percentiles = self._settings.percentiles
        if self._pixel_units == Units.DN:
            self._counts = survey.counts
            self._bounds = dn_bounds(survey.counts, percentiles, counted)
        else:
            progress.start(f"{self.polarization} exact bounds", raster_nbytes(survey.counted))
            self._bounds = float_bounds(survey, self._pixel_units, percentiles, progress, threads, counted)

    def _keep_pixels(self) -> None:
        for scene in self.scenes:
            scene.will_be_read_again()

    def _make_encoder(self, bounds: Bounds, progress: Progress) -> DnEncoder | FloatEncoder:
        measure = self._settings.valid_measure
        if self._pixel_units == Units.DN:
            asked = self._settings.encoding
            encoding: Encoding = "palette" if asked == AUTO else asked  # type: ignore[assignment]  # checked by the settings
            return DnEncoder(encoding, bounds, measure)
        if self._settings.encoding == "dn":
            raise SettingError("--encoding dn is for uint16 digital numbers; these rasters hold floats")
        plain = FloatEncoder(float_storage(), self._pixel_units, bounds, measure)
        if self._settings.encoding == "float32":
            return plain
        storage = self._search_palette(plain, progress)
        return FloatEncoder(storage, self._pixel_units, bounds, measure)

    def _search_palette(self, plain: FloatEncoder, progress: Progress) -> Storage:
        self._keep_pixels()
        progress.start(f"{self.polarization} palette", raster_nbytes(self.scenes))
        levels = find_levels(self._all_values(plain, progress), MAX_LEVELS - 1)
        if levels is None or not len(levels):
            return float_storage(why_no_palette(self._settings))
        return palette_storage(with_invalid(levels), from_dn=False)

    def _all_values(self, plain: FloatEncoder, progress: Progress) -> Iterator[Floats]:
        for number, scene in enumerate(self.scenes, start=1):
            progress.scene(number, len(self.scenes))
            # A scene that cannot be read is left for the conversion to name.
            with contextlib.suppress(SourceError):
                for band in self._encoded_floats(plain, scene, read_bands(scene, progress)):
                    yield band.stored  # type: ignore[misc]  # not by a palette, so values

    def _sample(self) -> list[Stored]:
        """Cut a few patches, spread over scenes and rows; what cannot be read is left for the conversion to name."""
        patches: list[Stored] = []
        for scene in spread(self.scenes, SAMPLED_SCENES):
            for row in spread(self._settings.grid.starts(scene.info.height), SAMPLED_PATCHES):
                with contextlib.suppress(SourceError):
                    patches.append(self._best_patch(scene, row))
        return patches

    def _best_patch(self, scene: CachedScene, row: int) -> Stored:
        """Cut the patch with the most valid pixels of those whose corners lie in one row."""
        grid = self._settings.grid
        pixels = scene.rows(row, row + grid.patch_size)
        band = self._encoder.encode(pixels, scene.nodata)  # type: ignore[arg-type]  # as in _encoded_bands
        batch = max(
            cut_bands([band], grid.patch_size, scene.info.width, grid, 0.0),
            key=lambda batch: float(batch.valid_fraction.max()),
        )
        # A copy, since a view would hold on to the whole batch.
        best: Stored = batch.patches[int(np.argmax(batch.valid_fraction))].copy()
        return best


def expect_blocks(scenes: Sequence[Scene], settings: ConvertSettings) -> ExpectedBlocks | None:
    """Tell the blocks that patches of rasters share, if none is dropped; None in layout "patches".

    Raises:
        SettingError: where patch size and stride leave only blocks that are far too small.
    """
    if settings.layout != "blocks":
        return None
    return expect_grid_blocks([(scene.info.height, scene.info.width) for scene in scenes], settings.grid)
