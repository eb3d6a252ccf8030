"""``SARH5Dataset``: patches of one HDF5 file as samples for PyTorch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from sar_h5.contents import Columns, read_columns, read_split
from sar_h5.errors import PatchIndexError, SettingError
from sar_h5.georeference import patch_bounds, patch_transform
from sar_h5.reader import PatchReader
from sar_h5.schema import DEFAULT_SPLIT, INDEX, SCENES
from sar_h5.symmetry import apply_symmetry, draw_symmetry

Sample = torch.Tensor | dict[str, torch.Tensor]
Indices = slice | Sequence[int] | npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]


class SARH5Dataset(Dataset[Any]):
    """Patches of one file as a map-style dataset, for any number of workers started in any way.

    A sample is a float32 tensor (1, H, W) in [0, 1], in memory of its own. The file is opened on the first access in
    each process; a pickled dataset carries the path and small arrays only. Any HDF5 file with a dataset (N, H, W) of
    floats or
    integers opens too; its numbers come as float32, unscaled.

    Args:
        path: the file.
        split: "train", "val" or "test" of the file's default split; None for all patches.
        indices: patch numbers to use (negative ones count from the end), a slice, or a bool mask over all patches;
            None for
            all. Not together with ``split``.
        augment: whether each sample gets one of the eight symmetries of the square, drawn anew each epoch; see
            :meth:`set_epoch`.
        seed: of these draws. The symmetry is a pure function of (seed, epoch, patch number), whatever the workers or
            the order.
        transform: called with each sample (the tensor, or the dict), its result is returned.
        sample: "tensor", or "dict" for ``image`` (1, H, W), ``bounds`` (left, bottom, right, top) and ``transform``
            (a, b, c, d, e, f)
            in float64, in the scene's reference system, or in scene pixels where it has none (NaN where that is
            unknown), and
            ``index``, ``scene``, ``row``, ``col`` as int64. Bounds and transform are those of the patch before
            augmentation.
        dataset: path of the dataset within the file; None for ``/patches``, or the only one that fits.

    Attributes:
        path: the file.
        vmin, vmax: bounds in dB that were scaled to 0 and 1.
        polarization: "vv", "vh", "hh" or "hv".
        patch_size: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels, -1 where unknown. These five are None for files of others.

    Raises:
        SourceError: where the file is not there.
        FormatError: where it holds no patches, or no such split.
        SettingError: where an argument cannot be honoured.
        PatchIndexError: where ``indices`` lie outside the file.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        *,
        split: str | None = None,
        indices: Indices | None = None,
        augment: bool = False,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        sample: Literal["tensor", "dict"] = "tensor",
        dataset: str | None = None,
    ) -> None:
        self.path = _single_path(path)
        if sample not in ("tensor", "dict"):
            raise SettingError(f'expected sample "tensor" or "dict"; found {sample!r}')
        self._reader = PatchReader(self.path, dataset)
        count, height, width = self._reader.source.shape
        if augment and height != width:
            raise SettingError(f"augment=True needs square patches; those of {self.path} are {height} x {width}")
        settings = self._reader.source.settings
        self.vmin = settings.vmin if settings else None
        self.vmax = settings.vmax if settings else None
        self.polarization = settings.polarization if settings else None
        self.patch_size = settings.patch_size if settings else None
        self.stride = settings.stride if settings else None
        if sample == "dict" and settings is None:
            raise SettingError(f'sample="dict" needs the index that files of this package have; {self.path} has none')
        self._patches = self._choose(count, split, indices)
        self._count = count if self._patches is None else len(self._patches)
        self._augment, self._seed, self._sample = augment, operator.index(seed), sample
        self._transform = transform
        # In shared memory, so that workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64)
        if augment:
            self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self._columns: dict[str, Columns] = {}

    def _choose(self, count: int, split: str | None, indices: Indices | None) -> npt.NDArray[np.int64] | None:
        if split is not None and indices is not None:
            raise SettingError("give split or indices, not both")
        if split is not None:
            return read_split(self.path, split, DEFAULT_SPLIT)
        return None if indices is None else _patch_numbers(indices, count)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        """Return a sample.

        Args:
            index: any integer in [-len, len), NumPy's too.

        Raises:
            PatchIndexError: where it lies outside.
            CorruptPatchError: where the patch cannot be decoded.
        """
        patch = self._patch_number(index)
        values = self._reader.values(patch)
        if self._augment:
            values = apply_symmetry(values, draw_symmetry(self._seed, int(self._epoch), patch))
        image = torch.from_numpy(np.ascontiguousarray(values)).unsqueeze(0)
        sample: Sample = image if self._sample == "tensor" else self._describe(patch, image)
        return sample if self._transform is None else self._transform(sample)

    def set_epoch(self, epoch: int) -> None:
        """Change the draw of the symmetries; call it before each epoch, as with a distributed sampler.

        Args:
            epoch: number of the epoch. Workers that are alive (``persistent_workers=True``) see it too.
        """
        self._epoch.fill_(operator.index(epoch))

    @property
    def index(self) -> Columns:
        """Where each sample comes from: arrays of len(self), ``patch`` (its number in the file) and those of /index."""
        columns = self._read_columns(INDEX)
        numbers = np.arange(self._reader.source.shape[0]) if self._patches is None else self._patches
        return {"patch": numbers} | {name: values[numbers] for name, values in columns.items()}

    @property
    def scenes(self) -> Columns:
        """The scenes of the file: arrays with one entry per scene, by column name (``name``, ``start_time``, ...)."""
        return self._read_columns(SCENES)

    def close(self) -> None:
        """Close this process's handle of the file; the next access opens it again."""
        self._reader.close()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_columns": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self._augment and not self._epoch.is_shared():  # type: ignore[no-untyped-call]  # as above
            self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types

    def __repr__(self) -> str:
        _, height, width = self._reader.source.shape
        augment = ", augmented" if self._augment else ""
        return f"SARH5Dataset({self.path!r}, {len(self)} patches of {height} x {width}{augment})"

    def _patch_number(self, index: int) -> int:
        number = operator.index(index)
        if not -self._count <= number < self._count:
            raise PatchIndexError.outside(number, self._count)
        number %= self._count
        return number if self._patches is None else int(self._patches[number])

    def _read_columns(self, group: str) -> Columns:
        if group not in self._columns:
            self._columns[group] = read_columns(self.path, group)
        return self._columns[group]

    def _describe(self, patch: int, image: torch.Tensor) -> dict[str, torch.Tensor]:
        index, scenes = self._read_columns(INDEX), self._read_columns(SCENES)
        scene, row, col = (int(index[name][patch]) for name in ("scene", "row", "col"))
        transform = patch_transform(scenes["transform"][scene], row, col)
        return {
            "image": image,
            "bounds": torch.tensor(patch_bounds(transform, image.shape[-2], image.shape[-1]), dtype=torch.float64),
            "transform": torch.tensor(transform, dtype=torch.float64),
            "index": torch.tensor(patch),
            "scene": torch.tensor(scene),
            "row": torch.tensor(row),
            "col": torch.tensor(col),
        }


def _single_path(path: str | Path | Sequence[str | Path]) -> str:
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    if len(paths) != 1:
        raise SettingError(
            f"expected one file, found {len(paths)}; several polarizations in one sample are not supported yet"
        )
    return str(paths[0])


def _patch_numbers(indices: Indices, count: int) -> npt.NDArray[np.int64]:
    """Turn any way of choosing patches into their numbers."""
    if isinstance(indices, slice):
        return np.arange(count, dtype=np.int64)[indices]
    array = np.asarray(indices)
    if array.dtype == np.bool_:
        if array.shape != (count,):
            raise SettingError(f"expected a mask over all {count} patches, found shape {array.shape}")
        return np.flatnonzero(array).astype(np.int64)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise SettingError(f"expected indices as one row of integers, found {array.dtype} of shape {array.shape}")
    numbers = array.astype(np.int64)
    outside = numbers[(numbers < -count) | (numbers >= count)]
    if len(outside):
        raise PatchIndexError.outside(int(outside[0]), count)
    return np.where(numbers < 0, numbers + count, numbers)
