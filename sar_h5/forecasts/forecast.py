"""What converting one polarization will give, told from samples of its scenes: bounds, encoding, size, speed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sar_h5.cutting import BatchToMake
from sar_h5.encoding import Storage
from sar_h5.forecasts.planning import MEASURED_CODECS, file_nbytes
from sar_h5.job import make_plan, spread
from sar_h5.packing import Packer
from sar_h5.radiometry import Bounds
from sar_h5.settings import AUTO, ConvertSettings
from sar_h5.shared_blocks.grid import ExpectedBlocks

SAMPLED_SCENES = 8
SAMPLED_PLACES = 2
"""Stretches of patches of a shard, or rows of patches of a raster, that stand for all of it."""

MOST_PATCHES = 6
"""Patches of a stretch that are compressed to tell the size of all."""

PIXELS_DECIDE = "needs a pass over all pixels"


@dataclass
class Sample:
    """Patches of a few scenes, and how long they took.

    Attributes:
        batches: the patches, ready to be packed.
        patches: how many the places that were looked at hold.
        kept: how many of them pass the filter.
        read_nbytes, read_seconds: pixels read and decoded, and the time that took in one thread.
        encode_nbytes, encode_seconds: pixels encoded, and the time that took, where packing does not include it.
    """

    batches: list[BatchToMake] = field(default_factory=list)
    patches: int = 0
    kept: int = 0
    read_nbytes: int = 0
    read_seconds: float = 0.0
    encode_nbytes: int = 0
    encode_seconds: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """What to expect of the conversion of one polarization.

    Attributes:
        bounds: the dB range, or a guess from the sample where the conversion takes it from all pixels; None where
            nothing tells.
        bounds_note: how they come about.
        encoding: how values will be stored.
        encoding_note: why, or what could still change it; empty where there is nothing to say.
        levels: how many codes there are, 0 for float32.
        codec: how chunks will be compressed.
        nbytes: about how large the file will be, if no patch is dropped.
        kept_share: about which part of the patches passes the filter, in [0, 1].
        sampled: how many patches were compressed to tell; 0 where ratios measured on simulated scenes had to do.
        seconds: about how long it takes with the threads asked for; None where nothing could be measured.
        block_size: side of the blocks that patches share, in pixels; None in layout "patches".
    """

    bounds: Bounds | None
    bounds_note: str
    encoding: str
    encoding_note: str
    levels: int
    codec: str
    nbytes: int
    kept_share: float
    sampled: int
    seconds: float | None
    block_size: int | None = None


@dataclass(frozen=True)
class Work:
    """What a conversion has to do.

    Attributes:
        polarization: "vv", "vh", "hh" or "hv".
        patches: how many there are at most.
        patch_size: their side in pixels.
        read_nbytes: bytes of pixels that are read, over all passes.
        read_threads: how many threads read and decode them.
        blocks: what is known of the blocks that patches share; None in layout "patches".
    """

    polarization: str
    patches: int
    patch_size: int
    read_nbytes: int
    read_threads: int
    blocks: ExpectedBlocks | None = None


def make_forecast(
    bounds: Bounds | None,
    bounds_note: str,
    storage: Storage,
    encoding_note: str,
    sample: Sample,
    work: Work,
    settings: ConvertSettings,
) -> Forecast:
    """Compress a sample for size and speed.

    Args:
        bounds: the dB range, or None.
        bounds_note: how it comes about.
        storage: how values will be stored.
        encoding_note: what could still change it.
        sample: some patches; where there are none, the size follows from ratios measured on simulated scenes.
        work: what there is to do.
        settings: of the conversion.
    """
    made = [batch.make() for batch in sample.batches]
    stored = [batch.patches[place] for batch in made for place in spread(range(len(batch.patches)), MOST_PATCHES)]
    if not stored:
        return _forecast_by_ratio(bounds, bounds_note, work, settings)
    plan = make_plan(bounds or Bounds(0, 1), storage, stored, work.patches, settings, work.blocks)
    return Forecast(
        bounds=bounds,
        bounds_note=bounds_note,
        encoding=storage.encoding,
        encoding_note=encoding_note,
        levels=0 if storage.lut is None else len(storage.lut),
        codec=str(plan.codec),
        nbytes=plan.estimated_nbytes,
        kept_share=sample.kept / sample.patches if sample.patches else 1.0,
        sampled=len(stored),
        seconds=_estimate_seconds(sample, Packer(storage, plan.codec), work, settings),
        block_size=plan.block_size,
    )


def _forecast_by_ratio(bounds: Bounds | None, bounds_note: str, work: Work, settings: ConvertSettings) -> Forecast:
    encoding = "palette" if settings.encoding == AUTO else settings.encoding
    codec = settings.codec if settings.codec in MEASURED_CODECS else "fast"
    expected = file_nbytes(work.patches, work.patch_size, codec, encoding, work.polarization, work.blocks)
    nbytes = sum(expected) if work.patches else 0
    return Forecast(
        bounds=bounds,
        bounds_note=bounds_note,
        encoding=encoding,
        encoding_note=PIXELS_DECIDE,
        levels=0,
        codec=settings.codec,
        nbytes=nbytes,
        kept_share=1.0,
        sampled=0,
        seconds=None,
        block_size=None if work.blocks is None else work.blocks.size,
    )


def _estimate_seconds(sample: Sample, packer: Packer, work: Work, settings: ConvertSettings) -> float | None:
    """Pack the sample against the clock, and add what reading took, for all patches and pixels."""
    if not sample.read_nbytes:
        return None
    packer.pack(sample.batches[0])  # loads compiled loops
    started = time.perf_counter()
    packed = sum(len(packer.pack(batch).frames) for batch in sample.batches)
    pack_seconds = (time.perf_counter() - started) / max(packed, 1)
    read_seconds = sample.read_seconds / sample.read_nbytes / work.read_threads
    encode_seconds = sample.encode_seconds / max(sample.encode_nbytes, 1)
    return work.patches * pack_seconds / settings.threads + work.read_nbytes * (read_seconds + encode_seconds)
