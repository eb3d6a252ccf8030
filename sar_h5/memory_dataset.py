"""``SARPatchDataset``: patches in memory as samples, or whole batches, for PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.errors import SettingError
from sar_h5.patch_dataset import PatchDataset
from sar_h5.selection import Indices, patch_numbers
from sar_h5.stores.array_patches import ArrayPatches


class SARPatchDataset(PatchDataset[ArrayPatches]):
    """Patches in an array as a map-style dataset; samples are those of ``SARH5Dataset``.

    The array is used as it is, neither copied nor written to, where it is float32 in C order. Workers that are forked
    share it; for workers that are spawned it is copied into shared memory once, which all of them use.

    Args:
        patches: array or tensor (N, H, W) or (N, C, H, W) of float32 in [0, 1]; other floats where float32 holds all
            their values.
        index: columns with an entry for each patch, such as ``scene``, ``row``, ``col`` (integers); scene 0 and
            unknown places (-1) where not given.
        scenes: columns with an entry for each scene, such as ``name`` and ``transform`` (S, 6).
        indices: see ``SARH5Dataset``, as ``augment``, ``seed``, ``transform``, ``sample`` and ``threads``.
        augment: see there.
        seed: see there.
        transform: see there.
        sample: see there.
        threads: see there.

    Attributes:
        path: says that there is no file.
        vmin, vmax, polarization, stride: None, since an array does not tell them.
        patch_size: side of a patch in pixels; None where patches are not square.

    Raises:
        FormatError: where a value is NaN or outside [0, 1].
        SettingError: where an argument cannot be honoured; integers are refused, since nothing tells their scale.
        PatchIndexError: where ``indices`` lie outside the array.
    """

    def __init__(
        self,
        patches: npt.NDArray[Any] | torch.Tensor,
        *,
        index: Mapping[str, npt.ArrayLike] | None = None,
        scenes: Mapping[str, npt.ArrayLike] | None = None,
        indices: Indices | None = None,
        augment: bool = False,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        sample: Literal["tensor", "dict"] = "tensor",
        threads: int | None = None,
    ) -> None:
        store = ArrayPatches(_as_array(patches), index, scenes)
        super().__init__(
            store,
            patches=None if indices is None else patch_numbers(indices, store.shape[0]),
            augment=augment,
            seed=seed,
            transform=transform,
            sample=sample,
            threads=threads,
        )
        _, _, height, width = store.shape
        self.path, self.patch_size = store.path, height if height == width else None
        self.vmin = self.vmax = self.polarization = self.stride = None


def _as_array(patches: object) -> npt.NDArray[Any]:
    if isinstance(patches, torch.Tensor):
        tensor = patches.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()  # NumPy has no bfloat16
    if isinstance(patches, np.ndarray):
        return patches
    raise SettingError(
        f"expected patches as an array or a tensor, found {type(patches).__name__}; np.stack makes one of a list"
    )
