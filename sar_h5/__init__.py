"""Sentinel-1 patches for training: one HDF5 file per polarization, bit for bit the reference pipeline.

Data flow through these stages. Each names the modules to begin reading with; what they import is the rest.

Sources to files:

- ``sources``: products, GeoTIFFs and shards become scenes; ``plain_data`` reads their metadata without running code.
- ``survey``, ``quantiles``: one pass over all pixels gives their unit and exact bounds.
- ``radiometry``, ``palette``, ``encoding``: pixels become values in [0, 1] and lossless integer codes.
- ``tiling``, ``cutting``: scenes become patches.
- ``packing``, ``writer``, ``pending``: patches become chunks, in threads, and chunks one file, complete or not at all.
- ``shared_blocks``: the other layout, in which overlapping patches share chunks.
- ``conversion``: all of that in order, for rasters (``raster_job``) and for shards (``shard_job``).

Before a conversion:

- ``forecasts``: what is there, what is broken, what converting it will take, and whether it fits.

About a file:

- ``info``, ``verification``, ``file_repair``: what it holds, whether it is right, and a copy of it made right again.
- ``derivation``: new files from old ones: parts of them, several as one, further scenes for one, the other
  layout.
- ``splits``: who trains on what, stored in the file, and proven apart.
- ``tables``: what is known of each patch, joined with a manifest, to select by and to export.
- ``exports``: its patches as shards and as GeoTIFFs, which are sources again.
- ``maps``, ``level_histogram``, ``pictures``, ``preview``, ``dataset_card``: the same to look at.

Files to batches:

- ``reader``, ``kernels``, ``block_reads``: stored patches, or blocks that patches share, become values under a
  ``symmetry``, many at once.
- ``stores``: where datasets take patches from: files, several as channels, shards, arrays, windows of scenes.
- ``patch_dataset``: values become batches for PyTorch, from any process (``batches``, ``shared_batches``), bad ones as
  ``bad_samples`` says; ``dataset``, ``memory_dataset``, ``shard_dataset``, ``image_dataset``: that for each store.
- ``samplers``: the order of an epoch, in which ranks take turns, and which is resumed in its middle.
- ``background``, ``decoder``: batches reach the device while the model works.
- ``datamodule``: loaders for training, validation, test and prediction, also for Lightning.
- ``throughput``: how fast all that is on a machine.

``schema`` is the file format: every module that touches a file takes names from there. ``errors`` is what users meet
where something is refused, ``cli`` the command line.
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
    from sar_h5.derivation.appending import append as append
    from sar_h5.derivation.extraction import extract as extract
    from sar_h5.derivation.merging import merge as merge
    from sar_h5.derivation.repacking import repack as repack
    from sar_h5.errors import SarH5Error as SarH5Error
    from sar_h5.exports.geotiff_export import export_geotiffs as export_geotiffs
    from sar_h5.exports.shard_export import export_shards as export_shards
    from sar_h5.file_repair import repair as repair
    from sar_h5.forecasts.patch_plan import plan as plan
    from sar_h5.forecasts.source_scan import scan as scan
    from sar_h5.image_dataset import SARImageDataset as SARImageDataset
    from sar_h5.image_statistics import analyze_sar_statistics as analyze_sar_statistics
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
    from sar_h5.samplers.kinds import BlockShuffleSampler as BlockShuffleSampler
    from sar_h5.samplers.kinds import DistributedPatchSampler as DistributedPatchSampler
    from sar_h5.samplers.kinds import SceneWeightedSampler as SceneWeightedSampler
    from sar_h5.samplers.kinds import SubsetSampler as SubsetSampler
    from sar_h5.shard_dataset import LazyPatchDataset as LazyPatchDataset
    from sar_h5.sources.discovery import find_all_sar_files as find_all_sar_files
    from sar_h5.sources.rasters import load_sar_image as load_sar_image
    from sar_h5.splits.files import split_file as split_file
    from sar_h5.splits.leakage import split_overlap as split_overlap
    from sar_h5.splits.methods import BlockSplit as BlockSplit
    from sar_h5.splits.methods import DateSplit as DateSplit
    from sar_h5.splits.methods import PatchSplit as PatchSplit
    from sar_h5.splits.methods import SceneSplit as SceneSplit
    from sar_h5.tables.index_export import export_index as export_index
    from sar_h5.verification import verify as verify

__version__ = VERSION

_HOMES = {
    "BackgroundLoader": "sar_h5.background",
    "BlockShuffleSampler": "sar_h5.samplers.kinds",
    "BlockSplit": "sar_h5.splits.methods",
    "DateSplit": "sar_h5.splits.methods",
    "DistributedPatchSampler": "sar_h5.samplers.kinds",
    "LazyPatchDataset": "sar_h5.shard_dataset",
    "PatchDecoder": "sar_h5.decoder",
    "PatchSplit": "sar_h5.splits.methods",
    "SARDataModule": "sar_h5.datamodule",
    "SARH5Dataset": "sar_h5.dataset",
    "SARImageDataset": "sar_h5.image_dataset",
    "SARPatchDataset": "sar_h5.memory_dataset",
    "SarH5Error": "sar_h5.errors",
    "SceneSplit": "sar_h5.splits.methods",
    "SceneWeightedSampler": "sar_h5.samplers.kinds",
    "SubsetSampler": "sar_h5.samplers.kinds",
    "analyze_sar_statistics": "sar_h5.image_statistics",
    "append": "sar_h5.derivation.appending",
    "compute_clip_bounds": "sar_h5.radiometry",
    "convert": "sar_h5.conversion",
    "export_geotiffs": "sar_h5.exports.geotiff_export",
    "export_index": "sar_h5.tables.index_export",
    "export_shards": "sar_h5.exports.shard_export",
    "extract": "sar_h5.derivation.extraction",
    "find_all_sar_files": "sar_h5.sources.discovery",
    "from_db": "sar_h5.radiometry",
    "handle_invalid_values": "sar_h5.radiometry",
    "load_sar_image": "sar_h5.sources.rasters",
    "merge": "sar_h5.derivation.merging",
    "plan": "sar_h5.forecasts.patch_plan",
    "plot_augmentations": "sar_h5.pictures.augmentation",
    "plot_footprints": "sar_h5.pictures.footprint_map",
    "plot_histogram": "sar_h5.pictures.histogram",
    "plot_patches": "sar_h5.pictures.contact_sheet",
    "plot_reconstructions": "sar_h5.pictures.reconstructions",
    "preprocess_sar_complete": "sar_h5.radiometry",
    "repack": "sar_h5.derivation.repacking",
    "repair": "sar_h5.file_repair",
    "scan": "sar_h5.forecasts.source_scan",
    "split_file": "sar_h5.splits.files",
    "split_overlap": "sar_h5.splits.leakage",
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
    "append",
    "compute_clip_bounds",
    "convert",
    "export_geotiffs",
    "export_index",
    "export_shards",
    "extract",
    "find_all_sar_files",
    "from_db",
    "handle_invalid_values",
    "load_sar_image",
    "merge",
    "plan",
    "plot_augmentations",
    "plot_footprints",
    "plot_histogram",
    "plot_patches",
    "plot_reconstructions",
    "preprocess_sar_complete",
    "repack",
    "repair",
    "scan",
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
