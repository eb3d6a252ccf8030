"""One sample, with what a model made of it: the picture behind ``SARH5Dataset.plot``."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from sar_h5.dataset import SARH5Dataset
from sar_h5.pictures.samples import as_channels, bounds_of, display_limits, displayed, sample_image, to_array
from sar_h5.pictures.style import GRAYS, LABEL_PT, add_value_bar, as_image, new_picture, set_heading, set_title

_CELL_IN = 3.2
_BESIDE = ("reconstruction", "prediction")


def plot_sample(
    dataset: SARH5Dataset, sample: object, *, show_titles: bool = True, suptitle: str | None = None
) -> Figure:
    """Draw a sample, and beside it its ``reconstruction`` and ``prediction`` where it has them.

    Args:
        dataset: where the sample comes from: its bounds label the grays.
        sample: a tensor (C, H, W), or a mapping with ``image`` (or ``codes``) and perhaps ``reconstruction`` and
            ``prediction``, each (C, H, W) or (H, W); C is 1 or 2.
        show_titles: whether each image has its name over it.
        suptitle: over the whole figure.

    Returns:
        A figure with one plot per image.

    Raises:
        SettingError: where the sample holds no image that can be shown.
    """
    images = {"image": sample_image(sample, dataset)}
    if isinstance(sample, Mapping):
        images |= {name: as_channels(to_array(sample[name], name)) for name in _BESIDE if name in sample}
    limits = display_limits([images["image"]]) if dataset.vmin is None else (0.0, 1.0)
    height, width = images["image"].shape[1:]
    figure = new_picture(len(images) * _CELL_IN + 0.8, _CELL_IN * min(max(height / width, 0.3), 3) + 0.5)
    grid = figure.subplots(1, len(images), squeeze=False).ravel().tolist()
    for axes, (name, image) in zip(grid, images.items(), strict=True):
        # A prediction of classes has a range of its own; a reconstruction is compared with the image.
        low, high = display_limits([image]) if name == "prediction" else limits
        drawn = axes.imshow(displayed(image, (low, high)), cmap=GRAYS, vmin=low, vmax=high)
        as_image(axes)
        if show_titles:
            set_title(axes, name.capitalize(), LABEL_PT)
        if name == "image" and len(image) == 1:
            shown = drawn
    if len(images["image"]) == 1:
        on_scale = [axes for axes, name in zip(grid, images, strict=True) if name != "prediction"]
        add_value_bar(figure, shown, on_scale, bounds_of(dataset))
    if suptitle is not None:
        set_heading(figure, suptitle)
    return figure
