"""The pictures that a file alone is enough for, by the names that ``sar-h5 preview`` gives them."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from sar_h5.dataset import SARH5Dataset
from sar_h5.patch_spread import spread_patches
from sar_h5.pictures.augmentation import plot_augmentations
from sar_h5.pictures.contact_sheet import plot_patches
from sar_h5.pictures.footprint_map import plot_footprints
from sar_h5.pictures.histogram import plot_histogram
from sar_h5.preview import Kind


def draw(kind: Kind, path: str | Path, *, patches: int, seed: int, split: str) -> Figure:
    """Draw one picture of a file.

    Args:
        kind: which.
        path: the file.
        patches: how many the sheet shows.
        seed: of the choice of patches.
        split: name of the file's way of splitting, for the footprints.

    Raises:
        SettingError, SourceError, FormatError, CorruptPatchError: as the function of that picture says.
    """
    match kind:
        case "sheet":
            return plot_patches(path, count=patches, seed=seed)
        case "histogram":
            return plot_histogram(path, seed=seed)
        case "footprints":
            return plot_footprints(path, split)
        case "augmentation":
            dataset = SARH5Dataset(path)
            return plot_augmentations(dataset, int(spread_patches(len(dataset), 1, seed)[0]))
