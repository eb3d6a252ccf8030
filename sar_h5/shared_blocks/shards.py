"""The blocks that patches of shards are expected to share, told by their stride or by a look at some of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from sar_h5.errors import SourceError
from sar_h5.job import spread
from sar_h5.radiometry import Floats
from sar_h5.settings import ConvertSettings
from sar_h5.shared_blocks.expectation import expect_shard_blocks
from sar_h5.shared_blocks.grid import ExpectedBlocks
from sar_h5.sources.scene import ShardScene

RUN_SCENES = 4
RUN_NBYTES = 32 << 20
"""Consecutive patches that are looked at for overlap where nothing tells the stride."""


def expect_blocks(shards: Sequence[ShardScene], stride: int, settings: ConvertSettings) -> ExpectedBlocks | None:
    """Tell the blocks that patches share, by the stride or a sample; None in layout "patches", or without patches.

    Args:
        shards: of one polarization, all of one patch size.
        stride: what is known of it, -1 where nothing; that of the settings comes first.
        settings: of the conversion.

    Raises:
        SettingError: where patch size and stride leave only blocks that are far too small.
    """
    counts = [shard.count for shard in shards]
    if settings.layout != "blocks" or not any(counts):
        return None
    size = shards[0].patch_size
    known = stride if settings.stride is None else settings.stride
    return expect_shard_blocks(counts, size, known, _read_runs(shards))


def _read_runs(shards: Sequence[ShardScene]) -> Iterator[Floats]:
    """Yield the first patches of a few shards, float32 (n, P, P); what cannot be read is left for others to name."""
    for shard in spread([shard for shard in shards if shard.count], RUN_SCENES):
        count = min(shard.count, max(2, RUN_NBYTES // (shard.patch_size**2 * 4)))
        with contextlib.suppress(SourceError):
            yield shard.patches(0, count)
