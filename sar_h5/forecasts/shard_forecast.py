"""What converting shards will give, told from a few stretches of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from sar_h5.cutting import BATCH_NBYTES
from sar_h5.encoding import DnPatchEncoder, PatchEncoder, ShardEncoder, Storage, float_storage, palette_storage
from sar_h5.errors import SourceError
from sar_h5.forecasts.forecast import (
    PIXELS_DECIDE,
    SAMPLED_PLACES,
    SAMPLED_SCENES,
    Forecast,
    Sample,
    Work,
    make_forecast,
)
from sar_h5.job import spread, why_no_palette
from sar_h5.palette import Palette, find_levels
from sar_h5.radiometry import Bounds, Floats
from sar_h5.schema import UNKNOWN
from sar_h5.settings import ConvertSettings
from sar_h5.shard_job import ShardBatch, dn_storage, predict_storage
from sar_h5.shared_blocks.shards import expect_blocks
from sar_h5.sources.scene import ShardScene


def forecast_shards(
    shards: Sequence[ShardScene],
    bounds: Bounds | None,
    settings: ConvertSettings,
    polarization: str,
    stride: int = UNKNOWN,
) -> Forecast:
    """Tell from samples what shards will become.

    Args:
        shards: of one polarization, all of one patch size.
        bounds: theirs, or None where nothing tells.
        settings: of the conversion.
        polarization: theirs.
        stride: what is known of it, -1 where nothing; that of the settings comes first.

    Raises:
        SettingError: where the settings cannot hold their values.
    """
    sample = Sample()
    runs = list(_read_runs(shards, sample))
    encoder: PatchEncoder
    if bounds is not None and shards and shards[0].dtype == np.uint16:
        storage, note = dn_storage(settings, bounds), ""
        encoder = DnPatchEncoder(storage.encoding, bounds)
    else:
        storage, note = _shard_storage(runs, bounds, settings)
        encoder = ShardEncoder(storage)
    sample.batches += [
        ShardBatch(run, 0, np.full((len(run), 2), UNKNOWN, np.int32), encoder, settings.valid_measure, 0.0)
        for run in runs
    ]
    for run in runs:
        sample.patches += len(run)
        sample.kept += int((encoder.encode(run, settings.valid_measure)[1] >= settings.shard_min_valid).sum())
    passes = 1 if note == "" or storage.lut is None else 2
    bounds_note = "missing" if bounds is None else bounds.origin
    patches, size = sum(shard.count for shard in shards), max((shard.patch_size for shard in shards), default=0)
    work = Work(polarization, patches, size, passes * patches * size**2 * 4, 1, expect_blocks(shards, stride, settings))
    return make_forecast(bounds, bounds_note, storage, note, sample, work, settings)


def _read_runs(shards: Sequence[ShardScene], sample: Sample) -> Iterator[Floats]:
    for shard in spread([shard for shard in shards if shard.count], SAMPLED_SCENES):
        length = max(1, min(BATCH_NBYTES // (shard.patch_size**2 * 4), shard.count))
        for start in spread(range(0, shard.count - length + 1, length), SAMPLED_PLACES):
            started = time.perf_counter()
            with suppress(SourceError):  # the check names it
                values = shard.patches(start, start + length)
                sample.read_seconds += time.perf_counter() - started
                sample.read_nbytes += values.nbytes
                yield values


def _shard_storage(runs: Sequence[Floats], bounds: Bounds | None, settings: ConvertSettings) -> tuple[Storage, str]:
    if settings.encoding == "float32":
        return float_storage(), ""
    predicted = None if bounds is None else predict_storage(bounds, [patch for run in runs for patch in run])
    if predicted is not None:
        return predicted, ""
    levels = find_levels(iter(runs))
    if levels is None or not len(levels):
        return float_storage(), why_no_palette(settings) if runs else ""
    return palette_storage(Palette(levels), from_dn=False), f"which values there are {PIXELS_DECIDE}"
