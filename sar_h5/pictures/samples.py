"""Samples of any data set as arrays, and as something that can be shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.dataset import SARH5Dataset
from sar_h5.errors import SettingError
from sar_h5.scene_labels import shorten

Floats = npt.NDArray[np.float32]


def open_dataset(dataset: SARH5Dataset | str | Path) -> SARH5Dataset:
    """Return a data set, opened where a path was given."""
    return SARH5Dataset(dataset) if isinstance(dataset, (str, Path)) else dataset


def to_array(values: object, expected: str) -> Floats:
    """Return numbers of any kind as a float32 array.

    Args:
        values: tensor on any device and of any dtype, with or without gradient; array; nested lists.
        expected: what it should be, for the message.

    Raises:
        SettingError: where it holds no real numbers.
    """
    try:
        tensor = values if isinstance(values, torch.Tensor) else torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise SettingError(f"expected {expected}; found {type(values).__name__}: {error}") from error
    if tensor.is_complex():
        raise SettingError(f"expected {expected}; found complex numbers: take abs() first")
    array: Floats = tensor.detach().cpu().to(torch.float32).numpy()
    return array


def sample_image(sample: object, dataset: SARH5Dataset | None = None) -> Floats:
    """Return the image of a sample.

    Args:
        sample: a tensor or array (C, H, W) or (H, W), or a mapping that holds one as ``image``, or ``codes``.
        dataset: where it comes from; decodes ``codes``.

    Returns:
        float32 (C, H, W), C = 1 or 2.

    Raises:
        SettingError: where it is none of these.
    """
    if isinstance(sample, Mapping):
        if "image" not in sample and "codes" in sample and dataset is not None:
            batch = {name: sample[name][None] for name in ("codes", "symmetry")}
            return to_array(dataset.decoder()(batch)[0], "codes")
        if "image" not in sample:
            raise SettingError(f'expected a sample with the key "image"; found {", ".join(map(str, sample)) or "none"}')
        sample = sample["image"]
    return as_channels(to_array(sample, "an image (C, H, W) or a sample that holds one"))


def as_channels(image: Floats) -> Floats:
    """Return (H, W) or (C, H, W) as (C, H, W).

    Raises:
        SettingError: where it has other dimensions, no pixels, or more than two channels.
    """
    shaped = image[None] if image.ndim == 2 else image
    if shaped.ndim != 3 or shaped.size == 0 or shaped.shape[0] > 2:
        raise SettingError(f"expected an image (H, W), (1, H, W) or (2, H, W); found shape {image.shape}")
    return shaped


def displayed(image: Floats, limits: tuple[float, float]) -> npt.NDArray[Any]:
    """Turn an image into what is shown.

    Two channels become a false-color composite: red is the first (VV), green the second (VH), blue their ratio, which
    is a difference in dB; halved and shifted to [0, 1], so that equal channels give the middle. The usual assignment
    of Sentinel-1's polarizations to colors: NASA ARSET, "SAR Part 1", page 21; for data in dB,
    https://gis.stackexchange.com/q/400726.

    Args:
        image: float32 (1, H, W) or (2, H, W).
        limits: what becomes black and white, the same for both channels.

    Returns:
        (H, W) as it is, for a colormap with these limits; or (H, W, 3) in [0, 1]. NaN become black in the latter.
    """
    if len(image) == 1:
        return np.asarray(image[0])
    low, high = limits
    first, second = np.nan_to_num((np.clip(image, low, high) - low) / max(high - low, 1e-12))
    return np.stack([first, second, (1 + first - second) / 2], axis=-1)


def display_limits(images: list[Floats]) -> tuple[float, float]:
    """Return what becomes black and white: 0 and 1 where all values lie between, otherwise percentiles 1 and 99.

    Args:
        images: float32 arrays; values that are not finite do not count.
    """
    values = np.concatenate([image[np.isfinite(image)].ravel() for image in images] or [np.zeros(0, np.float32)])
    if values.size == 0 or (values.min() >= 0 and values.max() <= 1):
        return 0.0, 1.0
    low, high = (float(bound) for bound in np.percentile(values, [1, 99]))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def bounds_of(dataset: SARH5Dataset) -> tuple[float, float] | None:
    """Return the bounds of a data set in dB, or None for files of others, and for several, each with its own."""
    if not isinstance(dataset.vmin, float) or not isinstance(dataset.vmax, float):
        return None
    return dataset.vmin, dataset.vmax


def name_of(dataset: SARH5Dataset) -> str:
    """Return the names of a data set's files, without their folders, for headings."""
    paths = [dataset.path] if isinstance(dataset.path, str) else dataset.path
    return " + ".join(shorten(Path(path).name) for path in paths)
