"""What patches cost in disk, memory and time: measured constants, and the sums that follow from them.

All constants come from ``python -m benchmarks.planning_constants`` on simulated products (speckle of 4.4 looks, bounds
at percentiles 1 and 99), on 2 cores of an Intel Xeon (Linux 6.18, Python 3.11), November 2026. Sizes depend on the
images and hardly on the machine; times depend on the machine, so they are good for an order of magnitude: ``sar-h5
scan`` measures the machine that will convert, ``sar-h5 bench`` the one that will train.
"""

from __future__ import annotations

from collections.abc import Mapping

from sar_h5.errors import SettingError
from sar_h5.shared_blocks.grid import ExpectedBlocks
from sar_h5.shared_blocks.table import MOST_NBYTES_PER_BLOCK

MEASURED_CODECS = ("fast", "small", "none")
"""The presets, and no compression (``--codec lz4 --clevel 0``)."""

STORED_BYTES_PER_PIXEL: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "vv": {
        "palette": {"fast": 1.11, "small": 1.09, "none": 2.0},
        "dn": {"fast": 1.14, "small": 1.13, "none": 2.0},
        "float32": {"fast": 3.42, "small": 3.10, "none": 4.0},
    },
    "vh": {
        "palette": {"fast": 1.0, "small": 0.92, "none": 1.0},
        "dn": {"fast": 1.02, "small": 0.94, "none": 2.0},
        "float32": {"fast": 3.29, "small": 2.98, "none": 4.0},
    },
}
"""Bytes per pixel in patches of 256 pixels a side; 398 codes of two bytes (VV), 218 of one (VH). Patches of 128 and 512
differ by less than 2 %, those of 64 are up to 2 % larger."""

LIKE_POLARIZATION: Mapping[str, str] = {"vv": "vv", "hh": "vv", "vh": "vh", "hv": "vh"}
"""Co-polarized images are brighter, and so have more levels, than cross-polarized ones."""

INDEX_NBYTES_PER_PATCH = 24
"""The chunk index of HDF5 and the columns of ``/index``, compressed, of many patches: 19 to 23 bytes."""

BLOCK_INDEX_NBYTES = 16
"""The chunk index of HDF5 and the checksum of each block: 14 to 16 bytes, of which nothing can be compressed."""

BLOCK_NUMBER_NBYTES = 1.0
"""Each number of a patch's blocks, compressed: 0.03 bytes where patches come row by row, 2.2 where they are shuffled
(2,883,204 numbers)."""

FIXED_NBYTES = 30_000
"""Attributes, scenes with their ground control points, and the table of values."""

CHUNK_TABLE_NBYTES_PER_PATCH = 17
"""In memory: where a patch lies (8), how large it is (8), whether it is compressed (1); or a block."""

TABLE_NBYTES_PER_BLOCK_NUMBER = 4
"""In memory: each number of a patch's blocks."""

IMPORTS_NBYTES = 210_000_000
"""A process that converts, before it begins."""

SHARDS_NBYTES = 45_000_000
"""Converting shards beyond the imports; 31 to 41 MB, plus what large patches take: see :func:`conversion_memory`."""

RASTERS_NBYTES: Mapping[str, int] = {"integers": 120_000_000, "floats": 290_000_000}
"""Converting rasters beyond the imports: GDAL's blocks, bands read ahead, patches on their way. Digital numbers of
25,000 columns took 154 to 177 MB in all, floats 291 to 366 MB."""

CONVERTED_NBYTES_PER_PATCH = 130
"""Index rows, hashes and chunk index that wait for the end of the file: 82 MB for 400,000 patches, 31 MB for few."""

BLOCKS_NBYTES = 25_000_000
"""Converting to layout "blocks": patches cut into blocks, and those that wait to be compressed."""

BLOCK_NBYTES = 20
"""Each block, where places tell which are equal: its checksum, and its entry of the chunk index."""

SEARCHED_BLOCK_NBYTES = BLOCK_NBYTES + MOST_NBYTES_PER_BLOCK
"""Each block, where they are found by content: its place in a hash table as well."""

BLOCK_NUMBER_MEMORY_NBYTES = 16
"""Each number of a patch's blocks: held until the end of the file, when it is put together, written, and counted."""

THREAD_NBYTES = 8_000_000
"""Each thread that compresses or scales: 365 MB with 8 threads instead of 315 MB with 2."""

SERVING_IMPORTS_NBYTES = 400_000_000
"""A training process with torch and this package imported."""

SERVED_NBYTES_PER_PATCH = 70
"""The chunk table, the index and the order of an epoch in the process that reads: 45 MB for 400,000 patches, with the
batches."""

SPARE_BATCHES = 3
"""Batches in memory at once: the one in use, the one being made, and one to be used again."""

WORKER_NBYTES = 30_000_000
"""Each worker process, beyond its batches and what it shares with the training process: 12 MB with tiny patches."""

SHARDS_SECONDS_PER_MEGAPIXEL: Mapping[str, Mapping[str, float]] = {
    "vv": {"fast": 0.010, "small": 0.014, "none": 0.009},
    "vh": {"fast": 0.008, "small": 0.011, "none": 0.008},
}
"""CPU seconds to convert 10^6 pixels of shards; codes of two bytes (VV) have to be compressed, those of one hardly."""

PRODUCTS_SECONDS_PER_MEGAPIXEL: Mapping[str, float] = {"fast": 0.011, "small": 0.014, "none": 0.010}
"""CPU seconds to make 10^6 pixels of patches that overlap by half from products, VV and VH."""

BLOCKS_SECONDS: Mapping[str, float] = {"shards": 1.2, "products": 0.95, "verification": 1.0, "epoch": 1.15}
"""How many times the CPU seconds of layout "patches" layout "blocks" takes at half overlap. Converting: fewer chunks
are compressed, but those of shards are searched for: 1.14 for shards in order, 1.28 shuffled; 0.92 from products.
Verifying: fewer chunks, but each patch is hashed: 0.94. An epoch: four reads for each patch in place of one: 1.10 for
codes of two bytes, 1.13 to 1.19 for those of one."""

SMALL_BLOCKS_SECONDS_PER_MEGAPIXEL: Mapping[str, float] = {"vv": 0.037, "vh": 0.030}
"""CPU seconds that codec "small" takes beyond this for 10^6 pixels of blocks, at its higher level. With bitshuffle;
codes of two bytes for which byte shuffle comes out smaller, as with 257 levels, take up to 0.25."""

VERIFICATION_SECONDS_PER_MEGAPIXEL: Mapping[str, float] = {"fast": 0.009, "small": 0.011, "none": 0.009}
"""CPU seconds per 10^6 pixels."""

EPOCH_SECONDS_PER_MEGAPIXEL: Mapping[str, Mapping[str, float]] = {
    "vv": {"fast": 0.0022, "small": 0.0026, "none": 0.0012},
    "vh": {"fast": 0.0008, "small": 0.0027, "none": 0.0009},
}
"""CPU seconds per 10^6 pixels served as float32 in augmented batches, from memory."""

SECONDS_PER_PATCH: Mapping[str, float] = {"conversion": 10e-6, "verification": 22e-6, "epoch": 3e-6}
"""CPU seconds per patch of whatever size, from patches of 8 pixels a side."""


def check_codec(codec: str) -> None:
    """Raise SettingError for a codec that was not measured."""
    if codec not in MEASURED_CODECS:
        raise SettingError(
            f"expected a codec that was measured, {', '.join(MEASURED_CODECS)}; found {codec!r}: sar-h5 scan measures "
            "any codec on samples of your source"
        )


def file_nbytes(
    patches: int,
    patch_size: int,
    codec: str,
    encoding: str,
    polarization: str,
    blocks: ExpectedBlocks | None = None,
) -> tuple[int, int]:
    """Return the size of a file in two parts, patches and all else, in bytes.

    Args:
        patches: how many.
        patch_size: their side in pixels.
        codec: "fast", "small" or "none".
        encoding: "palette", "dn" or "float32".
        polarization: "vv", "vh", "hh" or "hv".
        blocks: what patches share; None in layout "patches".
    """
    per_pixel = STORED_BYTES_PER_PIXEL[LIKE_POLARIZATION[polarization]][encoding][codec]
    rest = FIXED_NBYTES + patches * INDEX_NBYTES_PER_PATCH
    if blocks is None:
        return round(patches * patch_size**2 * per_pixel), rest
    numbers = patches * (patch_size // blocks.size) ** 2
    rest += blocks.count * BLOCK_INDEX_NBYTES + round(numbers * BLOCK_NUMBER_NBYTES)
    return round(blocks.count * blocks.size**2 * per_pixel), rest


def conversion_memory(
    patches: int,
    patch_size: int,
    *,
    threads: int,
    raster_width: int = 0,
    raster_itemsize: int = 0,
    cached_nbytes: int = 0,
    blocks: ExpectedBlocks | None = None,
) -> int:
    """Return the most bytes of memory that a conversion takes, the interpreter and its libraries included.

    Args:
        patches: how many at most, in the largest file.
        patch_size: their side in pixels.
        threads: how many compress and hash.
        raster_width: columns of the widest raster; 0 for shards.
        raster_itemsize: bytes of a pixel of the rasters; 0 for shards.
        cached_nbytes: pixels that stay in memory between two passes.
        blocks: what patches share; None in layout "patches".
    """
    common = IMPORTS_NBYTES + patches * CONVERTED_NBYTES_PER_PATCH
    if blocks is not None:
        common += BLOCKS_NBYTES + blocks.count * (BLOCK_NBYTES if raster_width else SEARCHED_BLOCK_NBYTES)
        common += patches * (patch_size // blocks.size) ** 2 * BLOCK_NUMBER_MEMORY_NBYTES
    if not raster_width:
        # Patches of 2,048 pixels (17 MB) took 70 MB more than those of 256.
        return common + SHARDS_NBYTES + 4 * patch_size**2 * 4
    # The rows that patches are being cut from, as pixels, as codes, and as which count: 6 to 13 bytes a pixel measured.
    window = 3 * raster_itemsize * patch_size * raster_width
    kind = "integers" if raster_itemsize == 2 else "floats"
    return common + RASTERS_NBYTES[kind] + window + cached_nbytes + threads * THREAD_NBYTES


def chunk_table(patches: int, patch_size: int, blocks: ExpectedBlocks | None = None) -> int:
    """Return the bytes of memory of the table that tells where patches lie.

    Args:
        patches: how many.
        patch_size: their side in pixels.
        blocks: what patches share; None in layout "patches".
    """
    if blocks is None:
        return patches * CHUNK_TABLE_NBYTES_PER_PATCH
    numbers = patches * (patch_size // blocks.size) ** 2
    return blocks.count * CHUNK_TABLE_NBYTES_PER_PATCH + numbers * TABLE_NBYTES_PER_BLOCK_NUMBER


def serving_memory(patches: int, patch_size: int, batch_size: int, blocks: ExpectedBlocks | None = None) -> int:
    """Return the bytes of memory of the process that reads patches in float32 batches, without a model.

    Args:
        patches: how many.
        patch_size: their side in pixels.
        batch_size: patches in a batch.
        blocks: what patches share; None in layout "patches".
    """
    batch = batch_size * patch_size**2 * 4
    table = chunk_table(patches, patch_size, blocks) - chunk_table(patches, patch_size)
    return SERVING_IMPORTS_NBYTES + patches * SERVED_NBYTES_PER_PATCH + table + SPARE_BATCHES * batch


def worker_memory(patch_size: int, batch_size: int) -> int:
    """Return the bytes of memory that each worker process adds."""
    return WORKER_NBYTES + SPARE_BATCHES * batch_size * patch_size**2 * 4


def cpu_seconds(patches: int, patch_size: int, task: str, per_megapixel: float) -> float:
    """Return the CPU seconds of a task over patches; divide by the cores that share it."""
    return patches * (SECONDS_PER_PATCH[task] + patch_size**2 / 1e6 * per_megapixel)
