"""A sheet of patches, each with the scene and the place that it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from sar_h5.dataset import SARH5Dataset
from sar_h5.errors import SettingError
from sar_h5.patch_spread import spread_patches
from sar_h5.pictures.samples import bounds_of, display_limits, displayed, name_of, open_dataset, sample_image
from sar_h5.pictures.style import CAPTION_PT, GRAYS, add_value_bar, as_image, new_picture, set_heading, set_title
from sar_h5.scene_labels import scene_labels
from sar_h5.schema import COMPONENT_COLUMN, UNKNOWN
from sar_h5.selection import Indices, patch_numbers

MOST_PATCHES = 144

_CELL_IN = 2.2
_CAPTION_IN = 0.4
_MARGINS_IN = 0.8


def plot_patches(
    dataset: SARH5Dataset | str | Path,
    indices: Indices | None = None,
    *,
    count: int = 16,
    columns: int | None = None,
    seed: int = 0,
) -> Figure:
    """Draw a sheet of patches on one scale, each titled with its scene (platform, date, orbit) and place.

    Patches are drawn as the data set gives them, so that one with ``augment=True`` shows what training sees. Samples of
    two channels become a false-color composite: red VV, green VH, blue their ratio
    (https://gis.stackexchange.com/q/400726). Files of others show their numbers from percentile 1 to 99.

    Args:
        dataset: a data set, or the path of a file.
        indices: which samples: numbers, a slice or a mask; None for ``count`` of them, spread over the whole data set,
            one at random from each of so many stretches.
        count: how many to spread.
        columns: of the sheet; None for about as many as rows.
        seed: of the spread; the same seed shows the same patches.

    Returns:
        A figure with one plot per patch, and a bar for the grays.

    Raises:
        SettingError: where there is nothing to show, or more than 144 patches.
        SourceError, FormatError, CorruptPatchError, PatchIndexError: where the file or a patch cannot be read.
    """
    opened = open_dataset(dataset)
    numbers = spread_patches(len(opened), count, seed) if indices is None else patch_numbers(indices, len(opened))
    if not 1 <= len(numbers) <= MOST_PATCHES:
        raise SettingError(f"expected 1 to {MOST_PATCHES} patches to show; found {len(numbers)} in {opened.path}")
    width = math.ceil(math.sqrt(len(numbers))) if columns is None else min(columns, len(numbers))
    if width < 1:
        raise SettingError(f"expected at least 1 column; found columns={columns}")
    images = [sample_image(opened[int(number)], opened) for number in numbers]
    limits = display_limits(images) if opened.vmin is None else (0.0, 1.0)
    height = math.ceil(len(numbers) / width)
    aspect = images[0].shape[1] / images[0].shape[2]
    cell_height = min(max(_CELL_IN * aspect, _CELL_IN / 4), _CELL_IN * 4) + _CAPTION_IN
    figure = new_picture(max(width * _CELL_IN + _MARGINS_IN, 4.2), height * cell_height + _MARGINS_IN)
    grid = figure.subplots(height, width, squeeze=False).ravel()
    for axes in grid[len(numbers) :]:
        axes.remove()
    for axes, image, caption in zip(grid, images, _captions(opened, numbers), strict=False):
        drawn = axes.imshow(displayed(image, limits), cmap=GRAYS, vmin=limits[0], vmax=limits[1])
        as_image(axes)
        set_title(axes, caption, CAPTION_PT)
    if len(images[0]) == 1:
        add_value_bar(figure, drawn, grid[: len(numbers)].tolist(), bounds_of(opened))
    set_heading(figure, _heading(opened, len(numbers), images[0].shape))
    return figure


def _heading(dataset: SARH5Dataset, shown: int, shape: Sequence[int]) -> str:
    polarization = f", {dataset.polarization.upper()}" if isinstance(dataset.polarization, str) else ""
    colors = "\nred VV, green VH, blue VV/VH" if shape[0] == 2 else ""
    size = f"{shape[1]} x {shape[2]} px"
    return f"{name_of(dataset)}: {shown:,} of {len(dataset):,} patches, {size}{polarization}{colors}"


def _captions(dataset: SARH5Dataset, numbers: npt.NDArray[np.int64]) -> list[str]:
    if dataset.polarization is None:  # a file of others
        return [f"patch {number}" for number in numbers]
    index, labels = dataset.index, scene_labels(dataset.scenes)
    scenes, patches = (index[name][numbers].tolist() for name in ("scene", "patch"))
    is_placed = COMPONENT_COLUMN.name not in index  # recovered rows and columns are none of the scene
    rows, cols = (index[name][numbers].tolist() if is_placed else [UNKNOWN] * len(numbers) for name in ("row", "col"))
    return [
        f"{labels[scene] if 0 <= scene < len(labels) else 'scene unknown'}\n"
        + (f"patch {patch}, place unknown" if UNKNOWN in (row, col) else f"row {row}, col {col}")
        for scene, row, col, patch in zip(scenes, rows, cols, patches, strict=True)
    ]
