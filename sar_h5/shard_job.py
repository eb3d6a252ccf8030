"""The job for scenes that were cut before: take every patch, and find codes for values that are scaled already."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.cutting import BATCH_NBYTES, BatchToMake, PatchBatch, Stored
from sar_h5.encoding import DnPatchEncoder, PatchEncoder, ShardEncoder, Storage, float_storage, palette_storage
from sar_h5.errors import BadSource, BoundsError, SettingError, SourceError
from sar_h5.job import SAMPLED_PATCHES, SAMPLED_SCENES, Plan, SavedJob, given_bounds, make_plan, spread, why_no_palette
from sar_h5.palette import NotInPaletteError, Palette, PaletteEncoder, find_levels, predict_palettes
from sar_h5.progress import Progress
from sar_h5.quantiles import Counts
from sar_h5.radiometry import Bounds, Floats
from sar_h5.schema import UNKNOWN, Encoding
from sar_h5.settings import AUTO, ConvertSettings, ValidMeasure
from sar_h5.shared_blocks.shards import expect_blocks
from sar_h5.sources.scene import Places, ShardScene
from sar_h5.sources.shards import check_values
from sar_h5.units import QUANTITIES, Units

SCALED = ("backscatter in dB, clipped and scaled to [0, 1] by the source", "1")
"""Quantity and unit of values in [0, 1]."""


@dataclass(frozen=True)
class ShardBatch:
    """Consecutive patches of a shard as they were read; checked, encoded and filtered when made.

    Attributes:
        values: float32 (n, P, P), or digital numbers, uint16.
        start: the number of the first patch in its shard.
        places: int32 (n, 2), row and column of each in its scene, -1 where unknown.
        encoder: what encodes them.
        measure: what counts as valid.
        min_valid: least valid fraction to keep a patch.
    """

    values: npt.NDArray[Any]
    start: int
    places: Places
    encoder: PatchEncoder
    measure: ValidMeasure
    min_valid: float

    @property
    def nbytes(self) -> int:
        """Size of the values."""
        return self.values.nbytes

    def make(self) -> PatchBatch:
        """Check, encode and filter.

        Raises:
            SourceError: where a patch holds NaN or a value outside [0, 1].
            NotInPaletteError: where a value is not in the palette.
        """
        scaled = self.values.dtype == np.float32
        if scaled and self.encoder.storage.lut is None:
            check_values(self.values, self.start)
        try:
            stored, fraction = self.encoder.encode(self.values, self.measure)
        except NotInPaletteError:
            check_values(self.values, self.start)
            raise
        kept = fraction >= self.min_valid
        values, places = self.values, self.places
        if not kept.all():
            stored, values, places, fraction = stored[kept], values[kept], places[kept], fraction[kept]
        rows, cols = places.T
        return PatchBatch(stored, rows, cols, fraction.astype(np.float32), values if scaled else None)


class ShardJob:
    """Shards of one polarization, or patches of digital numbers; see :class:`sar_h5.job.Job` for the attributes.

    Args:
        polarization: theirs.
        scenes: the shards, in the order of the file.
        bounds: what their directory tells of the bounds, or None.
        stride: what it tells of the stride, -1 where nothing.
        settings: the user's.

    Raises:
        BoundsError: where nothing gives the bounds.
        SettingError: where the settings ask for what shards cannot give.
    """

    def __init__(
        self,
        polarization: str,
        scenes: Sequence[ShardScene],
        bounds: Bounds | None,
        stride: int,
        settings: ConvertSettings,
    ) -> None:
        self.polarization = polarization
        self.scenes = list(scenes)
        self.broken: list[BadSource] = []
        self.patch_size = self.scenes[0].patch_size
        self._holds_dn = self.scenes[0].dtype == np.uint16
        self.quantity, self.units = QUANTITIES[Units.DN] if self._holds_dn else SCALED
        self.stride = stride if settings.stride is None else settings.stride
        self.min_valid = settings.shard_min_valid
        self._settings = settings
        self._bounds = given_bounds(settings, polarization) or bounds or self._refuse_without_bounds()
        if settings.patch_size not in (None, self.patch_size):
            raise SettingError(
                f"--patch-size {settings.patch_size} does not fit the shards of {polarization}, whose patches have "
                f"{self.patch_size} pixels a side; leave it out"
            )
        if settings.bounds_from:
            raise SettingError(
                f"--bounds-from needs the products: the {polarization} shards were scaled to [0, 1] with bounds that "
                "cannot be changed any more; leave it out"
            )
        if settings.encoding == "dn" and not self._holds_dn:
            raise SettingError("--encoding dn needs the products: shards have lost their digital numbers")

    @property
    def bounds(self) -> Bounds:
        """The dB range that the values were scaled with."""
        return self._bounds

    @property
    def source_nbytes(self) -> int:
        """Size of all patches of the shards."""
        return sum(shard.count for shard in self.scenes) * self.patch_size**2 * self.scenes[0].dtype.itemsize

    @property
    def histogram(self) -> Counts | None:
        """None: shards have lost their digital numbers, and single patches overlap."""
        return None

    @property
    def bounds_scenes(self) -> Sequence[str]:
        """None: bounds come with shards."""
        return ()

    @property
    def terms(self) -> Mapping[str, str]:
        """The bounds and the stride, which come with the shards, and the size of their patches."""
        return {
            "bounds": f"{self._bounds.vmin!r} to {self._bounds.vmax!r} dB ({self._bounds.origin})",
            "stride of the shards": str(self.stride),
            "patch size of the shards": str(self.patch_size),
            **_places_term(self.scenes),
        }

    @property
    def running_counts(self) -> Counts | None:
        """None: nothing is counted."""
        return None

    def save(self, plan: Plan) -> SavedJob:
        """Return what was found out; a value that the codes do not hold is noticed, so pixels have no say."""
        return SavedJob(plan, "", from_pixels=False, bounds_scenes=(), counts=None)

    def restore(self, saved: SavedJob) -> None:
        """Take over what an earlier run found out.

        Raises:
            ValueError: where digital numbers have other values on this machine.
        """
        table = self.adopt(saved.plan.storage).lut
        saved_table = saved.plan.storage.lut
        if table is not None and (saved_table is None or table.tobytes() != saved_table.tobytes()):
            raise ValueError("this machine computes other values from digital numbers than the one it was begun on")

    def restore_counts(self, counts: Counts) -> None:
        """Never called: there are none."""

    def survey(self, progress: Progress) -> None:
        """Nothing to do: bounds are known, and shards are checked on the way, so that each is read once."""

    def plan(self, progress: Progress) -> Plan:
        """Take the palette that follows from the bounds where it holds a sample, else search all values for one."""
        sample = self._sample()
        if self._holds_dn:
            return self._make_plan(self.adopt(dn_storage(self._settings, self._bounds)), sample)
        storage = float_storage() if self._settings.encoding == "float32" else predict_storage(self._bounds, sample)
        return self._make_plan(self._search_storage(progress) if storage is None else storage, sample)

    def adopt(self, storage: Storage) -> Storage:
        """Take the storage of a file that is there already, in place of :meth:`plan`; return what patches come out as.

        Of digital numbers only the encoding counts, since all else follows from the bounds.
        """
        self._encoder: PatchEncoder
        if self._holds_dn:
            self._encoder = DnPatchEncoder(storage.encoding, self._bounds)
        else:
            self._encoder = ShardEncoder(storage)
        return self._encoder.storage

    def replan(self, progress: Progress) -> Plan:
        """Search all values for a palette, after one has turned up that the predicted palette does not hold."""
        return self._make_plan(self._search_storage(progress), self._sample())

    def positions(self, scene: ShardScene) -> int:
        """Return how many patches a shard holds."""
        return scene.count

    def cut(self, scene: ShardScene, progress: Progress) -> Iterator[BatchToMake]:
        """Yield the patches of a shard, to be encoded and filtered when made.

        Raises:
            SourceError: where the shard ends early.
        """
        start, places = 0, known_places(scene)
        for values in scene.unchecked_batches(BATCH_NBYTES):
            some = places[start : start + len(values)]
            yield ShardBatch(values, start, some, self._encoder, self._settings.valid_measure, self.min_valid)
            progress.advance(values.nbytes)
            start += len(values)

    def cut_at(self, scene: ShardScene, position: int) -> Stored | None:
        """Return the one patch (P, P) at a position, filter or not; None where the shard has no so many.

        Raises:
            SourceError: where it cannot be read, or holds NaN or values outside [0, 1].
        """
        if position >= scene.count:
            return None
        patches, _ = self._encoder.encode(scene.patches(position, position + 1), self._settings.valid_measure)
        patch: Stored = patches[0]
        return patch

    def check(self, scene: ShardScene, progress: Progress) -> None:
        """Read a shard.

        Raises:
            SourceError: where it holds NaN or values outside [0, 1], or ends early.
        """
        for values in scene.batches(BATCH_NBYTES):
            progress.advance(values.nbytes)

    def _refuse_without_bounds(self) -> Bounds:
        raise BoundsError(
            f"the {self.polarization} shards are scaled to [0, 1], but nothing tells with which bounds in dB: "
            "expected vmin and "
            "vmax in metadata.npy or global_bounds.npy beside them; give them with --vmin and --vmax, or --bounds FILE"
        )

    def _make_plan(self, storage: Storage, sample: Sequence[Floats]) -> Plan:
        self.adopt(storage)
        stored: list[Stored] = [self._encoder.encode(patch[np.newaxis], "range")[0][0] for patch in sample]
        positions = sum(self.positions(shard) for shard in self.scenes)
        blocks = expect_blocks(self.scenes, self.stride, self._settings)
        return make_plan(self._bounds, storage, stored, positions, self._settings, blocks)

    def _sample(self) -> list[Floats]:
        """Read a few patches, spread over the shards; what cannot be read is left for the conversion to name."""
        patches: list[Floats] = []
        for shard in spread([shard for shard in self.scenes if shard.count], SAMPLED_SCENES):
            for number in spread(range(shard.count), SAMPLED_PATCHES):
                try:
                    patches.append(shard.patches(number, number + 1)[0])
                except SourceError:
                    break
        return patches

    def _search_storage(self, progress: Progress) -> Storage:
        progress.start(f"{self.polarization} palette", self.source_nbytes)
        levels = find_levels(self._all_values(progress))
        if levels is None or not len(levels):
            return float_storage(why_no_palette(self._settings))
        return palette_storage(Palette(levels), from_dn=False)

    def _all_values(self, progress: Progress) -> Iterator[Floats]:
        for number, shard in enumerate(self.scenes, start=1):
            progress.scene(number, len(self.scenes))
            try:
                for values in shard.batches(BATCH_NBYTES):
                    yield values
                    progress.advance(values.nbytes)
            except SourceError:
                continue  # the conversion names it


def known_places(scene: ShardScene) -> Places:
    """Return where each patch of a scene lies, int32 (n, 2); -1 where that is unknown."""
    return np.full((scene.count, 2), UNKNOWN, dtype=np.int32) if scene.places is None else scene.places


def _places_term(scenes: Sequence[ShardScene]) -> dict[str, str]:
    """Return what tells whether patches lie where they did, in the terms of a conversion; empty where unknown."""
    if all(scene.places is None for scene in scenes):
        return {}
    checksum = 0
    for scene in scenes:
        checksum = zlib.crc32(known_places(scene).tobytes(), checksum)
    return {"places of the patches": f"those of checksum {checksum:08x}"}


def dn_storage(settings: ConvertSettings, bounds: Bounds) -> Storage:
    """Return how patches of digital numbers are stored: as such, unless the settings ask for less."""
    encoding: Encoding = "dn" if settings.encoding == AUTO else settings.encoding  # type: ignore[assignment]  # checked
    return DnPatchEncoder(encoding, bounds).storage


def predict_storage(bounds: Bounds, sample: Sequence[Floats]) -> Storage | None:
    """Return storage by the palette that follows from the bounds, where it holds a sample, else None.

    Args:
        bounds: the dB range that the values were scaled with.
        sample: float32 (P, P) each.
    """
    for palette in predict_palettes(bounds):
        encoder = PaletteEncoder(palette)
        try:
            for patch in sample:
                encoder.encode(patch)
        except NotInPaletteError:
            continue
        return palette_storage(palette, from_dn=False)
    return None
