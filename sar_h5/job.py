"""What one polarization's conversion has to provide, whether it cuts rasters or takes shards; and its plan."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from sar_h5 import schema
from sar_h5.compression import Codec, choose_codec
from sar_h5.cutting import BatchToMake, Stored
from sar_h5.encoding import Storage
from sar_h5.errors import BadSource, OutputError, SettingError
from sar_h5.palette import MAX_LEVELS
from sar_h5.progress import Progress
from sar_h5.quantiles import Counts
from sar_h5.radiometry import Bounds
from sar_h5.settings import ConvertSettings
from sar_h5.shared_blocks.grid import ExpectedBlocks, cut_sample
from sar_h5.sources.bounds_file import read_bounds_file
from sar_h5.sources.scene import SceneInfo, SourceFile

T = TypeVar("T")

SAMPLED_SCENES = 8
SAMPLED_PATCHES = 4
_PATCH_OVERHEAD_NBYTES = 64
"""What a patch takes beyond its chunk: an entry of the chunk index and a row of ``/index``, rounded up."""
_BLOCK_OVERHEAD_NBYTES = 24
"""What a block takes beyond its chunk: an entry of the chunk index and a checksum, rounded up."""

_BLOCK_NUMBER_NBYTES = np.dtype(schema.BLOCK_GRID_COLUMN.dtype).itemsize
"""What each of the numbers of a patch's blocks takes, at most."""

_NO_PALETTE = f"more than {MAX_LEVELS:,} distinct values (or a negative zero), too many for codes"


@dataclass(frozen=True)
class Plan:
    """How one file will be written.

    Attributes:
        bounds: the dB range and how it came about.
        storage: how values are stored.
        codec: how chunks are compressed.
        estimated_nbytes: about how large the file will be if no patch is dropped.
        block_size: side of the blocks that patches share, in pixels; None in layout "patches".
    """

    bounds: Bounds
    storage: Storage
    codec: Codec
    estimated_nbytes: int
    block_size: int | None = None


@dataclass(frozen=True)
class SavedJob:
    """What a job has found out, for whoever goes on with its file.

    Attributes:
        plan: how the file is written.
        units: of the pixels of rasters, see ``units``; empty for shards.
        from_pixels: whether bounds or codes were derived from the pixels of all scenes.
        bounds_scenes: names of the scenes whose pixels gave the bounds.
        counts: of valid digital numbers, uint64 (65536,), by a survey; None where there was none.
    """

    plan: Plan
    units: str
    from_pixels: bool
    bounds_scenes: tuple[str, ...]
    counts: Counts | None


class Scene(Protocol):
    """What rasters and shards have in common."""

    @property
    def info(self) -> SceneInfo:
        """What is known of it."""

    def identify(self) -> SourceFile:
        """Return size and checksum of its file."""


SceneT = TypeVar("SceneT", bound=Scene)


class Job(Protocol[SceneT]):
    """One polarization's way from scenes to patches.

    Attributes:
        polarization: "vv", "vh", "hh" or "hv".
        scenes: those that can be used; planning may set some aside.
        broken: the others, and why.
        patch_size, stride: in pixels; stride -1 where unknown.
        min_valid: least valid fraction to keep a patch.
        quantity, units: what the source's pixels are.
    """

    polarization: str
    scenes: list[SceneT]
    broken: list[BadSource]
    patch_size: int
    stride: int
    min_valid: float
    quantity: str
    units: str

    @property
    def source_nbytes(self) -> int:
        """Size of all pixels of the scenes, uncompressed."""

    @property
    def histogram(self) -> Counts | None:
        """Counts of valid digital numbers once all scenes are cut, or None where they are not known.

        Of the scenes that gave the bounds, or, where bounds were given, of all scenes.
        """

    @property
    def bounds_scenes(self) -> Sequence[str]:
        """Names of the scenes whose pixels gave the bounds; none where bounds were given."""

    @property
    def terms(self) -> Mapping[str, str]:
        """What decides the content of the file beyond the user's settings, in words; known from the start."""

    @property
    def running_counts(self) -> Counts | None:
        """Counts of digital numbers that cutting has gathered so far, or None where it gathers none."""

    def save(self, plan: Plan) -> SavedJob:
        """Return what was found out, for :meth:`restore`."""

    def restore(self, saved: SavedJob) -> None:
        """Take over what an earlier run found out, instead of a survey and a plan.

        Raises:
            ValueError: where it would not come out the same here, with the reason.
        """

    def restore_counts(self, counts: Counts) -> None:
        """Take over what an earlier run's cutting had gathered."""

    def survey(self, progress: Progress) -> None:
        """Look at all pixels where bounds or units depend on them; set broken scenes aside."""

    def plan(self, progress: Progress) -> Plan:
        """Decide everything else, for the scenes that are left."""

    def replan(self, progress: Progress) -> Plan:
        """Decide again after a value has turned up that the plan's palette does not hold."""

    def positions(self, scene: SceneT) -> int:
        """Return how many patches a scene holds before any is dropped."""

    def cut(self, scene: SceneT, progress: Progress) -> Iterator[BatchToMake]:
        """Yield the patches of a scene to keep; it, or making them, raises SourceError where it turns out broken."""

    def check(self, scene: SceneT, progress: Progress) -> None:
        """Read a scene for nothing but to raise SourceError where it is broken; needs no plan."""


def make_plan(
    bounds: Bounds,
    storage: Storage,
    sample: Sequence[Stored],
    most_patches: int,
    settings: ConvertSettings,
    blocks: ExpectedBlocks | None = None,
) -> Plan:
    """Choose the codec from sample patches and estimate the size of the file.

    Args:
        bounds: the dB range.
        storage: how values are stored.
        sample: patches (P, P) as they will be stored.
        most_patches: how many there are if none is dropped.
        settings: the user's.
        blocks: what is known of the blocks that patches share; None in layout "patches".
    """
    chunks = sample if blocks is None else cut_sample(sample, blocks.size)
    codec = choose_codec(settings.codec, chunks, settings.clevel, settings.shuffle, blocks=blocks is not None)
    mean = sum(len(codec.compress(chunk)) for chunk in chunks) / max(len(chunks), 1)
    if blocks is None:
        return Plan(bounds, storage, codec, int(most_patches * (mean + _PATCH_OVERHEAD_NBYTES)))
    per_patch = _PATCH_OVERHEAD_NBYTES + (len(chunks) // max(len(sample), 1)) * _BLOCK_NUMBER_NBYTES
    nbytes = blocks.count * (mean + _BLOCK_OVERHEAD_NBYTES) + most_patches * per_patch
    return Plan(bounds, storage, codec, int(nbytes), blocks.size)


def given_bounds(settings: ConvertSettings, polarization: str) -> Bounds | None:
    """Return the bounds that the settings give, as numbers or as a file, or None."""
    if settings.bounds_file is not None:
        return read_bounds_file(settings.bounds_file, polarization)
    return settings.given_bounds


def why_no_palette(settings: ConvertSettings) -> str:
    """Return why values are stored as float32, or raise SettingError where the settings insist on a palette."""
    if settings.encoding == "palette":
        raise SettingError(
            f"--encoding palette cannot hold these values: {_NO_PALETTE}; use --encoding float32 or auto"
        )
    return _NO_PALETTE


def check_disk(directory: Path, needed_nbytes: int, option: str = "--out") -> None:
    """Raise OutputError where less than ``needed_nbytes`` is free below ``directory``."""
    free = shutil.disk_usage(directory).free
    if free < needed_nbytes:
        raise OutputError(
            f"{directory}: expected about {needed_nbytes / 1e9:.3f} GB of free disk for the result, found "
            f"{free / 1e9:.3f} GB; free some, or choose another {option}"
        )


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return at most ``count`` items at even distances, the middle of each part."""
    parts = min(count, len(items))
    return [items[(2 * part + 1) * len(items) // (2 * parts)] for part in range(parts)]
