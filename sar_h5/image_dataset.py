"""``SARImageDataset``: windows of whole scenes, read and scaled on demand, for inference with PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from sar_h5.bad_samples import Policy
from sar_h5.errors import SettingError
from sar_h5.patch_dataset import PatchDataset, check_choice
from sar_h5.selection import Indices, patch_numbers
from sar_h5.stores.image_sources import find_images, image_units
from sar_h5.stores.scene_windows import CACHE_NBYTES, MOST_OPEN, SceneWindows
from sar_h5.stores.window_reference import Reference, read_reference, window_bounds
from sar_h5.tiling import DEFAULT_PATCH_SIZE, DEFAULT_STRIDE, EDGES, Edge, PatchGrid


class SARImageDataset(PatchDataset[SceneWindows]):
    """Windows of scenes as a map-style dataset, row by row, each with its place; samples are those of ``SARH5Dataset``.

    Values are bit for bit those that ``convert`` gives for the same window with the same bounds; pixels without data
    are 0. Read the windows in order: strips of a raster are decoded once for all windows of a row. In this process they
    are decoded by all cores, so that worker processes bring little: each of them would decode the strips anew.

    Args:
        sources: ``.SAFE`` directories, zipped ``.SAFE``, GeoTIFFs, directory trees of them, or a list of such.
        like: a file made by ``convert``, such as the one that a model was trained on: gives bounds, and by default
            patch size, stride, polarization and units.
        vmin: lower bound in dB, with ``vmax`` in place of ``like``.
        vmax: upper bound in dB.
        bounds: a file of bounds (JSON, ``.npy``) in place of them.
        patch_size: side of a window in pixels; None for that of ``like``, or 256.
        stride: distance of neighbouring windows in pixels; None for that of ``like``, or 128 or half the patch size.
        edge: what to do with the pixels beyond the last window that fits: "shift" moves one more window inwards, "pad"
            has one more stick out of the scene, with 0 there, "drop" leaves them out, as ``convert`` does. A scene
            smaller than a window is filled up with 0 unless it is dropped.
        polarization: which rasters; needed where there are several and no ``like``.
        units: of float rasters: "linear", "db", or "auto" to take those of ``like`` or guess where there is no doubt.
        on_bad_source: "fail" where a raster is broken, naming every one; "skip" to go on without.
        most_open: how many rasters a process has open at most.
        cache_nbytes: how many bytes of decoded pixels a process keeps; two rows of windows across a scene are best.
        indices: see ``SARH5Dataset``, as ``augment``, ``seed``, ``transform``, ``threads`` and ``on_bad_sample``.
        augment: see there.
        seed: see there.
        transform: see there.
        sample: "dict", so that predictions can be put back in their place, or "tensor"; see there.
        threads: see there.
        on_bad_sample: see there.

    Attributes:
        path: the sources.
        vmin, vmax: bounds in dB that are scaled to 0 and 1.
        polarization: "vv", "vh", "hh" or "hv".
        patch_size: side of a window in pixels.
        stride: distance of neighbouring windows in pixels.
        edge: see above.

    Raises:
        SourceError: where there are no rasters.
        BadSourceError: where some are broken.
        BoundsError: where nothing gives the bounds; they are never taken from the image itself.
        RadiometryError: where the units are in doubt, or not those of ``like``.
        SettingError: where an argument cannot be honoured.
    """

    def __init__(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        like: str | Path | None = None,
        vmin: float | None = None,
        vmax: float | None = None,
        bounds: str | Path | None = None,
        patch_size: int | None = None,
        stride: int | None = None,
        edge: Edge = "shift",
        polarization: str | None = None,
        units: str = "auto",
        on_bad_source: Literal["fail", "skip"] = "fail",
        most_open: int = MOST_OPEN,
        cache_nbytes: int = CACHE_NBYTES,
        indices: Indices | None = None,
        augment: bool = False,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        sample: Literal["tensor", "dict"] = "dict",
        threads: int | None = None,
        on_bad_sample: Policy = "raise",
    ) -> None:
        check_choice("on_bad_source", on_bad_source, ("fail", "skip"))
        check_choice("edge", edge, EDGES)
        places = [sources] if isinstance(sources, (str, Path)) else list(sources)
        reference = None if like is None else read_reference(like)
        grid = _grid(patch_size, stride, reference)
        wanted = _polarization(polarization, reference, like)
        self.polarization, scenes = find_images(places, wanted, skip_broken=on_bad_source == "skip")
        given = window_bounds(vmin, vmax, bounds, reference, self.polarization)
        pixels = image_units(scenes, units, reference.units if reference else None)
        self.path = ", ".join(map(str, places))
        store = SceneWindows(
            self.path, scenes, pixels, given, grid, edge, most_open=most_open, cache_nbytes=cache_nbytes
        )
        super().__init__(
            store,
            patches=None if indices is None else patch_numbers(indices, store.shape[0]),
            augment=augment,
            seed=seed,
            transform=transform,
            sample=sample,
            threads=threads,
            on_bad_sample=on_bad_sample,
        )
        self.vmin, self.vmax = given.vmin, given.vmax
        self.patch_size, self.stride, self.edge = grid.patch_size, grid.stride, edge


def _grid(patch_size: int | None, stride: int | None, reference: Reference | None) -> PatchGrid:
    default = PatchGrid(DEFAULT_PATCH_SIZE, DEFAULT_STRIDE) if reference is None else reference.grid
    if patch_size is None:
        return PatchGrid(default.patch_size, default.stride if stride is None else stride)
    if stride is None:
        stride = default.stride if patch_size == default.patch_size else max(patch_size // 2, 1)
    return PatchGrid(patch_size, stride)


def _polarization(asked: str | None, reference: Reference | None, like: str | Path | None) -> str | None:
    if reference is None or asked in (None, reference.polarization):
        return asked if reference is None else reference.polarization
    raise SettingError(
        f"{like}: holds {reference.polarization}, and its bounds are for that; found polarization={asked!r}: give the "
        f"file of {asked}"
    )
