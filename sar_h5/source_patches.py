"""The patches of a source, converted again as an existing file says, each with its number in that file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.cutting import PatchBatch, Stored
from sar_h5.encoding import Storage, float_storage
from sar_h5.errors import BadSource, SourceError
from sar_h5.file_structure import Structure
from sar_h5.job import Job
from sar_h5.pixel_cache import PixelCache
from sar_h5.progress import Progress
from sar_h5.raster_job import RasterJob
from sar_h5.schema import UNKNOWN
from sar_h5.shard_job import ShardJob
from sar_h5.sources.discovery import discover
from sar_h5.sources.scene import SourceFile
from sar_h5.stated_settings import conversion_settings
from sar_h5.workers import in_order

IN_FLIGHT_NBYTES = 20 << 20
"""How many bytes of patches are made ahead at most."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SourceBatch:
    """Some patches of one scene of the source.

    Attributes:
        numbers: int64 (n,), their numbers in the file; -1 where it does not have them.
        positions: int64 (n,), their positions among the patches that the conversion keeps of the scene.
        made: the patches.
    """

    numbers: Numbers
    positions: Numbers
    made: PatchBatch


class SourcePatches:
    """Runs the conversion of a file again, scene by scene.

    Args:
        found: the structure of the file.
        sources: products, GeoTIFFs or shards.
        jobs: number of threads.
        as_stored: whether patches must come as the file stores them; else they may come as values.

    Attributes:
        storage: what patches come out as.
        broken: what of the source cannot be used.

    Raises:
        SourceError: where the source holds nothing of the file's polarization.
        RadiometryError: where it holds pixels of another unit.
    """

    def __init__(self, found: Structure, sources: Sequence[str | Path], jobs: int, *, as_stored: bool = False) -> None:
        self._found, self._jobs = found, jobs
        settings = conversion_settings(found, jobs)
        polarization = found.settings.polarization
        inventory = discover(sources, (polarization,), with_bounds=False)
        self._job: Job[Any]
        if rasters := inventory.rasters.get(polarization):
            self._job = RasterJob(polarization, rasters, settings, PixelCache(0))
            self._job.survey(Progress(False))
            self.storage = self._job.adopt(_file_storage(found) if as_stored or found.from_dn else float_storage())
        elif shards := inventory.shards.get(polarization):
            if as_stored and found.settings.invalid_code is not None and shards[0].dtype != np.uint16:
                raise SourceError(f"{_names(sources)}: expected the rasters that the file was made from, found shards")
            self._job = ShardJob(polarization, shards, None, found.settings.stride, settings)
            self.storage = self._job.adopt(_file_storage(found) if as_stored else float_storage())
        else:
            broken = "".join(f"\n  {source}" for source in inventory.broken)
            raise SourceError(f"{_names(sources)}: expected scenes of polarization {polarization}, found none{broken}")
        self.broken: tuple[BadSource, ...] = (*inventory.broken, *self._job.broken)
        self._scenes = {scene.info.name: scene for scene in self._job.scenes}

    @property
    def paths(self) -> dict[str, str]:
        """Where the source's scenes lie, by their names."""
        return {name: str(scene.info.path) for name, scene in self._scenes.items()}

    def path(self, scene: int) -> str | None:
        """Return where scene number ``scene`` of the file lies in the source; None where it is not there."""
        source = self._scenes.get(self._found.scenes["name"][scene])
        return None if source is None else str(source.info.path)

    def identify(self, scene: int) -> SourceFile:
        """Return size and checksum of a scene's file.

        Raises:
            SourceError: where it cannot be read.
        """
        identity: SourceFile = self._scenes[self._found.scenes["name"][scene]].identify()
        return identity

    def nbytes(self, scenes: Sequence[int]) -> int:
        """Return about how many bytes of pixels some scenes take to read."""
        share = sum(self.path(scene) is not None for scene in scenes) / max(len(self._scenes), 1)
        return int(self._job.source_nbytes * share)

    def batches(self, scene: int, progress: Progress) -> Iterator[SourceBatch]:
        """Yield the patches that the conversion keeps of a scene of the file, in order.

        Raises:
            SourceError: where it cannot be read.
            NotInPaletteError: where it holds values that the file's table has not.
        """
        source = self._scenes[self._found.scenes["name"][scene]]
        numbering = _Numbering(self._found, scene)
        start = 0
        batches = self._job.cut(source, progress)
        for made in in_order(lambda item: item.make(), batches, lambda item: item.nbytes, self._jobs, IN_FLIGHT_NBYTES):
            positions = np.arange(start, start + len(made.rows), dtype=np.int64)
            yield SourceBatch(numbering.numbers(made, positions), positions, made)
            start += len(positions)

    @property
    def can_take_single(self) -> bool:
        """Whether :meth:`patch` works: where patches lie in the source is known without reading all of it."""
        if isinstance(self._job, RasterJob):
            return bool((self._found.told_places[0] != UNKNOWN).all())
        return self._found.settings.min_valid == 0

    def patch(self, number: int) -> Stored | None:
        """Return patch number ``number`` of the file, (P, P), as the source has it; None where it has not.

        Raises:
            SourceError: where it cannot be read.
        """
        found, scene = self._found, int(self._found.index["scene"][number])
        source: Any = self._scenes[found.scenes["name"][scene]]
        if isinstance(self._job, RasterJob):
            return self._job.cut_at(source, int(found.index["row"][number]), int(found.index["col"][number]))
        if not isinstance(self._job, ShardJob):
            raise TypeError("there are rasters and shards, and no other jobs")
        return self._job.cut_at(source, int(found.positions(scene)[number - found.rows_of(scene).start]))


class _Numbering:
    """Which number each patch of the source has in the file: by its place, or by its position where that is unknown."""

    def __init__(self, found: Structure, scene: int) -> None:
        rows = found.rows_of(scene)
        self._start = rows.start
        self._positions = found.positions(scene)
        top, left = (axis[rows] for axis in found.told_places)
        keys = _keys(top, left)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._has_places = len(keys) > 0 and int(top[0]) != UNKNOWN

    def numbers(self, made: PatchBatch, positions: Numbers) -> Numbers:
        by_place = self._has_places and bool((made.rows != UNKNOWN).all())
        known, wanted = (self._keys, _keys(made.rows, made.cols)) if by_place else (self._positions, positions)
        if not len(known):
            return np.full(len(wanted), -1, np.int64)
        nearest = np.searchsorted(known, wanted).clip(max=len(known) - 1)
        local = self._order[nearest] if by_place else nearest
        return np.where(known[nearest] == wanted, self._start + local, -1).astype(np.int64)


def _keys(rows: npt.NDArray[np.int32], cols: npt.NDArray[np.int32]) -> Numbers:
    keys: Numbers = rows.astype(np.int64) << 32 | cols.astype(np.int64) & 0xFFFFFFFF
    return keys


def _file_storage(found: Structure) -> Storage:
    settings = found.settings
    return Storage(settings.encoding, found.lut, settings.invalid_code, found.dtype, found.from_dn)


def _names(sources: Sequence[str | Path]) -> str:
    return ", ".join(str(source) for source in sources)
