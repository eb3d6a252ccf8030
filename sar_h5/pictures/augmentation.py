"""One patch before and after augmentation."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sar_h5.dataset import SARH5Dataset
from sar_h5.errors import FormatError, SettingError
from sar_h5.pictures.samples import Floats, bounds_of, display_limits, displayed, name_of, open_dataset, sample_image
from sar_h5.pictures.style import GRAYS, SMALL_PT, add_value_bar, as_image, new_picture, set_heading, set_title
from sar_h5.symmetry import SYMMETRIES, apply_symmetry

_CELL_IN = 2.1
_MOST_EPOCHS = 48


def plot_augmentations(
    dataset: SARH5Dataset | str | Path, index: int = 0, *, epochs: Sequence[int] | None = None
) -> Figure:
    """Draw a patch as it is stored, and what augmentation makes of it.

    Without ``epochs``, under all eight symmetries of the square, numbered as :func:`sar_h5.symmetry.apply_symmetry`
    does: counter-clockwise right angles, then mirrored left and right. With ``epochs``, the patch first as it is
    stored, then as the data set gives it in each of these epochs; make it with ``augment=True``. The data set itself
    is left in the epoch it is in.

    Args:
        dataset: a data set, or the path of a file; of others too, whose samples are then taken for what is stored.
        index: which sample.
        epochs: numbers of epochs.

    Returns:
        A figure with one plot per symmetry, or per epoch and one for the stored patch.

    Raises:
        SettingError: where ``epochs`` are none or more than 48, or a patch that is not square would be turned.
        SourceError, FormatError, CorruptPatchError, PatchIndexError: where the file or the patch cannot be read.
    """
    opened = open_dataset(dataset)
    if epochs is not None and not 1 <= len(epochs) <= _MOST_EPOCHS:
        raise SettingError(f"expected 1 to {_MOST_EPOCHS} epochs to show; found {len(epochs)}")
    number, stored = _stored_patch(opened, index)
    if epochs is None:
        images = _all_symmetries(stored)
        titles = [f"{symmetry}: {_name(symmetry)}" for symmetry in range(SYMMETRIES)]
    else:
        images = [stored, *_drawn(opened, index, epochs)]
        titles = ["as stored", *(f"epoch {epoch}{_found(stored, image)}" for epoch, image in zip(epochs, images[1:]))]  # noqa: B905 - one longer
    limits = display_limits(images) if opened.vmin is None else (0.0, 1.0)
    columns = min(4, len(images))
    rows = math.ceil(len(images) / columns)
    figure = new_picture(max(columns * _CELL_IN + 0.8, 4.2), rows * (_CELL_IN + 0.3) + 0.5)
    grid: list[Axes] = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in grid[len(images) :]:
        unused.remove()
    for axes, image, title in zip(grid, images, titles, strict=False):
        drawn = axes.imshow(displayed(image, limits), cmap=GRAYS, vmin=limits[0], vmax=limits[1])
        as_image(axes)
        set_title(axes, title, SMALL_PT)
    if len(stored) == 1:
        add_value_bar(figure, drawn, grid[: len(images)], bounds_of(opened))
    set_heading(figure, f"{name_of(opened)}, patch {number}")
    return figure


def _stored_patch(dataset: SARH5Dataset, index: int) -> tuple[int, Floats]:
    try:
        number = int(dataset.index["patch"][index])
    except (FormatError, IndexError):  # a file of others does not say; an index outside is the data set's to refuse
        number = index
    return number, sample_image(dataset.image(index), dataset)


def _all_symmetries(image: Floats) -> list[Floats]:
    if image.shape[1] != image.shape[2]:
        raise SettingError(f"expected a square patch to turn; found {image.shape[1]} x {image.shape[2]} pixels")
    return [_turned(image, number) for number in range(SYMMETRIES)]


def _turned(image: Floats, number: int) -> Floats:
    return np.stack([apply_symmetry(channel, number) for channel in image])


def _drawn(dataset: SARH5Dataset, index: int, epochs: Sequence[int]) -> list[Floats]:
    own = copy.deepcopy(dataset)  # with an epoch of its own
    images = []
    for epoch in epochs:
        own.set_epoch(epoch)
        images.append(sample_image(own[index], own))
    own.close()
    return images


def _found(stored: Floats, image: Floats) -> str:
    """Say which symmetry an image is, unless a transform has changed more."""
    if stored.shape == image.shape and image.shape[1] == image.shape[2]:
        for number in range(SYMMETRIES):
            if np.array_equal(_turned(stored, number), image, equal_nan=True):
                return f": {_name(number)} ({number})"
    return ""


def _name(symmetry: int) -> str:
    turned = f"turned {90 * (symmetry & 3)}°" if symmetry & 3 else ""
    return ", ".join(filter(None, [turned, "mirrored" if symmetry & 4 else ""])) or "as stored"
