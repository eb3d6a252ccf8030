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
- ``contents``, ``info``: what is in a file. ``heap_guard``, ``structure_checks`` (in a process of their own:
  ``structure_process``, ``structure_worker``), ``file_structure``, ``intact_reads``, ``patch_kernels``,
  ``patch_checks``, ``source_patches``, ``source_checks``, ``verify_report``, ``verification``: whether it is right;
  ``repaired_file``, ``patch_repair``, ``repair_summary``, ``file_repair``: made right again.
- ``where``, ``conditions``, ``manifest``, ``patch_table``, ``index_export``: what is known of each patch as a table, to
  select by and to export.
- ``chunk_table``, ``chunks``, ``native``, ``kernels``, ``lookup``, ``bulk_reads``, ``reader``: stored patches become
  values under a ``symmetry``, many at once.
- ``batch_memory``, ``shared_batches``, ``batches``, ``dataset``: values become batches for PyTorch, from any process.
- ``patch_store``: what a dataset reads from. ``array_patches``, ``memory_dataset``: an array, checked by
  ``unit_interval``; ``open_shard``, ``shard_kernels``, ``shard_patches``, ``shard_dataset``: shards as they are;
  ``image_sources``, ``window_reference``, ``pixel_values``, ``scene_cells``, ``scene_windows``, ``image_dataset``:
  windows of whole scenes. ``handle_pool`` bounds open files, ``scene_columns`` says what is known of the scenes.
- ``splitmix``, ``sample_order``, ``shuffle_measure``: the order of an epoch, and how random it is; ``sample_source``,
  ``scene_weights``, ``sampler_state``, ``patch_sampler``, ``samplers``: ranks take turns in it, resumed in its middle;
  ``announcement``: what is about to be read, for slow disks.
- ``background``, ``device_transfer``, ``decoder``: batches reach the device while the model works.
- ``throughput``: how fast all that is on a machine.
- ``gcp_mapping``, ``scene_places``, ``reference_systems``, ``scene_map``: where scenes and patches lie;
  ``value_counts``, ``level_histogram``: how often each value occurs; ``pictures``, ``preview``: these and the patches
  drawn; ``dataset_card``: a data set shown in a notebook.

``schema`` is the file format; every module that touches a file takes names from there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sar_h5.version import VERSION

if TYPE_CHECKING:
    from sar_h5.background import BackgroundLoader as BackgroundLoader
    from sar_h5.conversion import convert as convert
    from sar_h5.datamodule import SARDataModule as SARDataModule
    from sar_h5.dataset import SARH5Dataset as SARH5Dataset
    from sar_h5.decoder import PatchDecoder as PatchDecoder
    from sar_h5.errors import SarH5Error as SarH5Error
    from sar_h5.file_repair import repair as repair
    from sar_h5.image_dataset import SARImageDataset as SARImageDataset
    from sar_h5.image_statistics import analyze_sar_statistics as analyze_sar_statistics
    from sar_h5.index_export import export_index as export_index
    from sar_h5.leakage import split_overlap as split_overlap
    from sar_h5.memory_dataset import SARPatchDataset as SARPatchDataset
    from sar_h5.pictures.augmentation import plot_augmentations as plot_augmentations
    from sar_h5.pictures.contact_sheet import plot_patches as plot_patches
    from sar_h5.pictures.footprint_map import plot_footprints as plot_footprints
    from sar_h5.pictures.histogram import plot_histogram as plot_histogram
    from sar_h5.pictures.reconstructions import plot_reconstructions as plot_reconstructions
    from sar_h5.radiometry import compute_clip_bounds as compute_clip_bounds
    from sar_h5.radiometry import from_db as from_db
    from sar_h5.radiometry import handle_invalid_values as handle_invalid_values
    from sar_h5.radiometry import preprocess_sar_complete as preprocess_sar_complete
    from sar_h5.radiometry import to_db as to_db
    from sar_h5.samplers import BlockShuffleSampler as BlockShuffleSampler
    from sar_h5.samplers import DistributedPatchSampler as DistributedPatchSampler
    from sar_h5.samplers import SceneWeightedSampler as SceneWeightedSampler
    from sar_h5.samplers import SubsetSampler as SubsetSampler
    from sar_h5.shard_dataset import LazyPatchDataset as LazyPatchDataset
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
    "BlockShuffleSampler": "sar_h5.samplers",
    "BlockSplit": "sar_h5.split_methods",
    "DateSplit": "sar_h5.split_methods",
    "DistributedPatchSampler": "sar_h5.samplers",
    "LazyPatchDataset": "sar_h5.shard_dataset",
    "PatchDecoder": "sar_h5.decoder",
    "PatchSplit": "sar_h5.split_methods",
    "SARDataModule": "sar_h5.datamodule",
    "SARH5Dataset": "sar_h5.dataset",
    "SARImageDataset": "sar_h5.image_dataset",
    "SARPatchDataset": "sar_h5.memory_dataset",
    "SarH5Error": "sar_h5.errors",
    "SceneSplit": "sar_h5.split_methods",
    "SceneWeightedSampler": "sar_h5.samplers",
    "SubsetSampler": "sar_h5.samplers",
    "analyze_sar_statistics": "sar_h5.image_statistics",
    "compute_clip_bounds": "sar_h5.radiometry",
    "convert": "sar_h5.conversion",
    "export_index": "sar_h5.index_export",
    "find_all_sar_files": "sar_h5.sources.discovery",
    "from_db": "sar_h5.radiometry",
    "handle_invalid_values": "sar_h5.radiometry",
    "load_sar_image": "sar_h5.sources.rasters",
    "plot_augmentations": "sar_h5.pictures.augmentation",
    "plot_footprints": "sar_h5.pictures.footprint_map",
    "plot_histogram": "sar_h5.pictures.histogram",
    "plot_patches": "sar_h5.pictures.contact_sheet",
    "plot_reconstructions": "sar_h5.pictures.reconstructions",
    "preprocess_sar_complete": "sar_h5.radiometry",
    "repair": "sar_h5.file_repair",
    "split_file": "sar_h5.split_files",
    "split_overlap": "sar_h5.leakage",
    "to_db": "sar_h5.radiometry",
    "verify": "sar_h5.verification",
}
"""Where each public name lives. Loaded on first use: reading for training needs no rasterio, converting needs no
torch."""

__all__ = [
    "BackgroundLoader",
    "BlockShuffleSampler",
    "BlockSplit",
    "DateSplit",
    "DistributedPatchSampler",
    "LazyPatchDataset",
    "PatchDecoder",
    "PatchSplit",
    "SARDataModule",
    "SARH5Dataset",
    "SARImageDataset",
    "SARPatchDataset",
    "SarH5Error",
    "SceneSplit",
    "SceneWeightedSampler",
    "SubsetSampler",
    "__version__",
    "analyze_sar_statistics",
    "compute_clip_bounds",
    "convert",
    "export_index",
    "find_all_sar_files",
    "from_db",
    "handle_invalid_values",
    "load_sar_image",
    "plot_augmentations",
    "plot_footprints",
    "plot_histogram",
    "plot_patches",
    "plot_reconstructions",
    "preprocess_sar_complete",
    "repair",
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
