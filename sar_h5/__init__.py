"""Sentinel-1 patches for training: one HDF5 file per polarization, bit for bit the reference pipeline.

Data flow through the modules in this order:

- ``sources``: products, GeoTIFFs and shards become scenes; ``plain_data`` and ``unpickle`` read metadata safely.
- ``bands``, ``raster_units``, ``survey``, ``quantiles``: one pass over all pixels gives their unit and exact bounds.
- ``radiometry``, ``units``, ``palette``, ``encoding``: pixels become values in [0, 1] and lossless integer codes.
- ``tiling``, ``cutting``, ``pixel_cache``: scenes become patches; ``conversion_kernels`` are the compiled loops so far.
- ``compression``, ``digest``, ``packing``: patches become chunks, in threads (``workers``), in memory used again
  (``buffers``); ``writer``, ``pending``: chunks become one file, complete or not at all.
- ``job``, ``raster_job``, ``shard_job``, ``file_maker``, ``conversion``: the stages in order, for each source.
- ``split_methods``, ``split_scenes``, ``split_groups``, ``split_blocks``, ``splits``: who trains on what;
  ``shared_pixels``, ``footprints``, ``leakage``, ``bounds_scenes``: and that nothing leaks; ``superblock``,
  ``overlay``, ``file_update``, ``split_files``, ``split_report``: into the file.
- ``contents``, ``info``, ``verification``: what is in a file, and whether it is right.
- ``chunk_table``, ``chunks``, ``native``, ``kernels``, ``lookup``, ``bulk_reads``, ``reader``: stored patches become
  values under a ``symmetry``, many at once.
- ``batch_memory``, ``shared_batches``, ``batches``, ``dataset``: values become batches for PyTorch, from any process.
- ``background``, ``device_transfer``, ``decoder``: batches reach the device while the model works.
- ``throughput``: how fast all that is on a machine.

``schema`` is the file format; every module that touches a file takes names from there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sar_h5.version import VERSION

if TYPE_CHECKING:
    from sar_h5.background import BackgroundLoader as BackgroundLoader
    from sar_h5.conversion import convert as convert
    from sar_h5.dataset import SARH5Dataset as SARH5Dataset
    from sar_h5.decoder import PatchDecoder as PatchDecoder
    from sar_h5.errors import SarH5Error as SarH5Error
    from sar_h5.image_statistics import analyze_sar_statistics as analyze_sar_statistics
    from sar_h5.leakage import split_overlap as split_overlap
    from sar_h5.radiometry import compute_clip_bounds as compute_clip_bounds
    from sar_h5.radiometry import from_db as from_db
    from sar_h5.radiometry import handle_invalid_values as handle_invalid_values
    from sar_h5.radiometry import preprocess_sar_complete as preprocess_sar_complete
    from sar_h5.radiometry import to_db as to_db
    from sar_h5.sources.discovery import find_all_sar_files as find_all_sar_files
    from sar_h5.sources.rasters import load_sar_image as load_sar_image
    from sar_h5.split_files import split_file as split_file
    from sar_h5.split_methods import BlockSplit as BlockSplit
    from sar_h5.split_methods import DateSplit as DateSplit
    from sar_h5.split_methods import PatchSplit as PatchSplit
    from sar_h5.split_methods import SceneSplit as SceneSplit
    from sar_h5.verification import verify as verify

__version__ = VERSION

_HOMES = {
    "BackgroundLoader": "sar_h5.background",
    "BlockSplit": "sar_h5.split_methods",
    "DateSplit": "sar_h5.split_methods",
    "PatchDecoder": "sar_h5.decoder",
    "PatchSplit": "sar_h5.split_methods",
    "SARH5Dataset": "sar_h5.dataset",
    "SarH5Error": "sar_h5.errors",
    "SceneSplit": "sar_h5.split_methods",
    "analyze_sar_statistics": "sar_h5.image_statistics",
    "compute_clip_bounds": "sar_h5.radiometry",
    "convert": "sar_h5.conversion",
    "find_all_sar_files": "sar_h5.sources.discovery",
    "from_db": "sar_h5.radiometry",
    "handle_invalid_values": "sar_h5.radiometry",
    "load_sar_image": "sar_h5.sources.rasters",
    "preprocess_sar_complete": "sar_h5.radiometry",
    "split_file": "sar_h5.split_files",
    "split_overlap": "sar_h5.leakage",
    "to_db": "sar_h5.radiometry",
    "verify": "sar_h5.verification",
}
"""Where each public name lives. Loaded on first use: reading for training needs no rasterio, converting needs no
torch."""

__all__ = [
    "BackgroundLoader",
    "BlockSplit",
    "DateSplit",
    "PatchDecoder",
    "PatchSplit",
    "SARH5Dataset",
    "SarH5Error",
    "SceneSplit",
    "__version__",
    "analyze_sar_statistics",
    "compute_clip_bounds",
    "convert",
    "find_all_sar_files",
    "from_db",
    "handle_invalid_values",
    "load_sar_image",
    "preprocess_sar_complete",
    "split_file",
    "split_overlap",
    "to_db",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
