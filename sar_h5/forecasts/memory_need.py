"""How much memory a conversion of certain scenes takes, and whether this process may have it."""

from __future__ import annotations

from collections.abc import Sequence

from sar_h5.errors import InsufficientMemoryError
from sar_h5.forecasts.memory_limit import allowed_memory_nbytes
from sar_h5.forecasts.planning import conversion_memory
from sar_h5.forecasts.rounding import bytes_in_words
from sar_h5.raster_job import expect_blocks as expect_raster_blocks
from sar_h5.schema import UNKNOWN
from sar_h5.settings import ConvertSettings
from sar_h5.shared_blocks.shards import RUN_NBYTES
from sar_h5.shared_blocks.shards import expect_blocks as expect_shard_blocks
from sar_h5.sources.scene import RasterScene, ShardScene


def rasters_memory(scenes: Sequence[RasterScene], settings: ConvertSettings) -> int:
    """Return about the most bytes of memory that converting rasters of one polarization takes."""
    grid = settings.grid
    sizes = [scene.info.height * scene.info.width * scene.dtype.itemsize for scene in scenes]
    return conversion_memory(
        sum(grid.count(scene.info.height, scene.info.width) for scene in scenes),
        grid.patch_size,
        threads=settings.threads,
        raster_width=max((scene.info.width for scene in scenes), default=1),
        raster_itemsize=max((scene.dtype.itemsize for scene in scenes), default=2),
        blocks=expect_raster_blocks(scenes, settings),
        cached_nbytes=min(settings.cache_nbytes, sum(nbytes for nbytes in sizes if nbytes <= settings.cache_nbytes)),
    )


def shards_memory(shards: Sequence[ShardScene], settings: ConvertSettings, stride: int = UNKNOWN) -> int:
    """Return about the most bytes of memory that converting shards of one polarization takes.

    Args:
        shards: theirs.
        settings: of the conversion.
        stride: what is known of it, -1 where nothing; that of the settings comes first.
    """
    size = max((shard.patch_size for shard in shards), default=1)
    blocks = expect_shard_blocks(shards, stride, settings)
    need = conversion_memory(sum(shard.count for shard in shards), size, threads=settings.threads, blocks=blocks)
    is_looked_for = settings.layout == "blocks" and stride == UNKNOWN and settings.stride is None
    return need + (RUN_NBYTES if is_looked_for else 0)


def check_memory(needed_nbytes: int) -> None:
    """Raise InsufficientMemoryError where this process may have less memory than is needed."""
    allowed = allowed_memory_nbytes()
    if allowed is not None and allowed < needed_nbytes:
        raise InsufficientMemoryError(
            f"converting these sources takes about {bytes_in_words(needed_nbytes)} of memory, this process may have "
            f"{bytes_in_words(allowed)} (of the machine or its control group): ask for more, or lower --patch-size, "
            "--cache-mb or --jobs; nothing was written"
        )
