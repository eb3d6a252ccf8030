"""``SARH5Dataset``: patches of one HDF5 file as samples, or whole batches, for PyTorch."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, get_worker_info

from sar_h5.batch_memory import BatchMemory
from sar_h5.batches import Batch, Collated
from sar_h5.contents import Columns, read_columns, read_split
from sar_h5.cores import usable_cores
from sar_h5.decoder import PatchDecoder
from sar_h5.errors import PatchIndexError, SettingError
from sar_h5.georeference import locate_patches
from sar_h5.reader import PatchReader
from sar_h5.schema import DEFAULT_SPLIT, INDEX, SCENES
from sar_h5.selection import Indices, patch_numbers
from sar_h5.shared_batches import SharedBatchMemory
from sar_h5.shared_table import SharedTable
from sar_h5.symmetry import draw_symmetries


class SARH5Dataset(Dataset[Any]):
    """Patches of one file as a map-style dataset, for any number of workers started in any way.

    A sample is a float32 tensor (1, H, W) in [0, 1], in memory of its own. ``DataLoader`` fetches whole batches: they
    are decoded in threads that hold no GIL, straight into memory that is used again once nobody holds the batch, and
    come from worker processes through shared memory, without a copy. Where each patch lies in the file is found out
    once, here; the file is opened on the first access in each process. Any HDF5 file with a dataset (N, H, W) of
    floats or integers opens too; its numbers come as float32, unscaled.

    Args:
        path: the file.
        split: "train", "val" or "test" of the file's default split; None for all patches.
        indices: patch numbers to use (negative ones count from the end), a slice, or a bool mask over all patches;
            None for all. Not together with ``split``.
        augment: whether each sample gets one of the eight symmetries of the square, drawn anew each epoch; see
            :meth:`set_epoch`.
        seed: of these draws. The symmetry is a pure function of (seed, epoch, patch number), whatever the workers or
            the order.
        transform: called with each sample (the tensor, or the dict), its result is returned.
        sample: "tensor", or "dict" for ``image`` (1, H, W), ``bounds`` (left, bottom, right, top) and ``transform``
            (a, b, c, d, e, f) in float64, in the scene's reference system, or in scene pixels where it has none (NaN
            where that is unknown), and ``index``, ``scene``, ``row``, ``col`` as int64. Bounds and transform are those
            of the patch before augmentation.
        output: "values", or "codes" to look up and augment on the device: a sample is then a dict with ``codes``, uint8
            or uint16 (1, H, W) as stored, in place of ``image``, and ``symmetry``, uint8, for :meth:`decoder`.
        threads: how many to decode a batch with; None for all cores in the main process (shared with the other ranks
            of a torchrun job) and one in each worker.
        dataset: path of the dataset within the file; None for ``/patches``, or the only one that fits.

    Attributes:
        path: the file.
        vmin, vmax: bounds in dB that were scaled to 0 and 1.
        polarization: "vv", "vh", "hh" or "hv".
        patch_size: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels, -1 where unknown. These five are None for files of others.
        pin_batches: whether batches made in this process lie in page-locked memory. For those who hold on to each batch
            until its copy to the device is done, as ``BackgroundLoader`` does: the memory is used again after that.

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
        output: Literal["values", "codes"] = "values",
        threads: int | None = None,
        dataset: str | None = None,
    ) -> None:
        self.path = _single_path(path)
        _check_choice("sample", sample, ("tensor", "dict"))
        _check_choice("output", output, ("values", "codes"))
        if threads is not None and threads < 1:
            raise SettingError(f"expected at least 1 thread; found threads={threads}")
        self._reader = PatchReader(self.path, dataset)
        self._check_possible(augment=augment, sample=sample, output=output)
        self._reader.compile_loops()
        settings = self._reader.source.settings
        self.vmin = settings.vmin if settings else None
        self.vmax = settings.vmax if settings else None
        self.polarization = settings.polarization if settings else None
        self.patch_size = settings.patch_size if settings else None
        self.stride = settings.stride if settings else None
        self.pin_batches = False
        count = self._reader.source.shape[0]
        self._patches = self._choose(count, split, indices)
        self._count = count if self._patches is None else len(self._patches)
        self._augment, self._seed, self._sample = augment, operator.index(seed), sample
        self._output, self._threads, self._transform = output, threads, transform
        # In shared memory, so that workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64)
        if augment:
            self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self._columns: dict[str, Columns] = {}
        self._shared_table: SharedTable | None = None
        self._memories: dict[tuple[int, bool], BatchMemory | SharedBatchMemory] = {}

    def _check_possible(self, *, augment: bool, sample: str, output: str) -> None:
        source = self._reader.source
        _, height, width = source.shape
        if augment and height != width:
            raise SettingError(f"augment=True needs square patches; those of {self.path} are {height} x {width}")
        if sample == "dict" and source.settings is None:
            raise SettingError(f'sample="dict" needs the index that files of this package have; {self.path} has none')
        if output == "codes" and self._reader.lut is None:
            raise SettingError(
                f'output="codes" needs codes with a table of their values; {self.path} holds {source.dtype} values '
                'themselves: use output="values", or convert with --encoding palette'
            )

    def _choose(self, count: int, split: str | None, indices: Indices | None) -> npt.NDArray[np.int64] | None:
        if split is not None and indices is not None:
            raise SettingError("give split or indices, not both")
        if split is not None:
            return read_split(self.path, split, DEFAULT_SPLIT)
        return None if indices is None else patch_numbers(indices, count)

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
        batch = Batch(self._make(np.array([self._patch_number(index)]), self._memory(batched=False)))
        sample = batch.plain()[0]
        return sample if self._transform is None else self._transform(sample)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return the samples of a batch, decoded together; what ``DataLoader`` calls.

        Args:
            indices: integers in [-len, len).

        Raises:
            PatchIndexError, CorruptPatchError: as :meth:`__getitem__`.
        """
        if len(indices) == 0:
            return []
        if type(self).__getitem__ is not SARH5Dataset.__getitem__:
            return [self[index] for index in indices]  # a subclass makes samples in a way of its own
        numbers = self._patch_numbers(indices)
        batch = Batch(self._make(numbers, self._memory(batched=True)))
        if self._transform is None:
            return batch
        return [self._transform(sample) for sample in batch.plain()]

    def set_epoch(self, epoch: int) -> None:
        """Change the draw of the symmetries; call it before each epoch, as with a distributed sampler.

        Args:
            epoch: number of the epoch. Workers that are alive (``persistent_workers=True``) see it too.
        """
        self._epoch.fill_(operator.index(epoch))

    def decoder(self) -> PatchDecoder:
        """Return the module that turns batches of ``output="codes"`` into values on the device they are on.

        Raises:
            SettingError: where the file holds values themselves.
        """
        if self._reader.lut is None:
            raise SettingError(f"{self.path} holds values, not codes; there is nothing to decode")
        return PatchDecoder(self._reader.lut)

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
        state = self.__dict__ | {"_columns": {}, "_memories": {}, "_shared_table": None}
        if get_spawning_popen() is not None and self._reader.table is not None:
            # A process on this machine is being started: it need not read the table again.
            self._shared_table = state["_shared_table"] = self._shared_table or SharedTable(self._reader.table)
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self._augment and not self._epoch.is_shared():  # type: ignore[no-untyped-call]  # as above
            self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types
        if self._shared_table is not None:
            self._reader.table = self._shared_table.table()

    def __repr__(self) -> str:
        _, height, width = self._reader.source.shape
        augment = ", augmented" if self._augment else ""
        return f"SARH5Dataset({self.path!r}, {len(self)} patches of {height} x {width}{augment})"

    def _patch_numbers(self, indices: Sequence[int]) -> npt.NDArray[np.int64]:
        array = np.asarray(indices)
        if array.dtype != np.int64 or array.ndim != 1 or array.min() < 0 or array.max() >= self._count:
            return np.array([self._patch_number(index) for index in indices], dtype=np.int64)
        return array.copy() if self._patches is None else self._patches[array]  # it goes with the batch

    def _patch_number(self, index: int) -> int:
        number = operator.index(index)
        if not -self._count <= number < self._count:
            raise PatchIndexError.outside(number, self._count)
        number %= self._count
        return number if self._patches is None else int(self._patches[number])

    def _make(self, numbers: npt.NDArray[np.int64], memory: BatchMemory | SharedBatchMemory) -> Collated:
        """Make a batch of patches, by their numbers in the file."""
        count, (_, height, width) = len(numbers), self._reader.source.shape
        shape, threads = (count, 1, height, width), self._thread_count()
        symmetries = draw_symmetries(self._seed, int(self._epoch), numbers) if self._augment else None
        places = {}
        if self._sample == "dict":
            index, scenes = self._read_columns(INDEX), self._read_columns(SCENES)
            places = locate_patches(numbers, index, scenes, height, width)
        if self._output == "codes":
            batch = memory.batch(shape, self._reader.source.dtype)
            self._reader.codes(numbers, batch.numpy().reshape(count, height, width), threads)
            places = {"symmetry": np.zeros(count, np.uint8) if symmetries is None else symmetries} | places
        else:
            batch = memory.batch(shape, np.dtype(np.float32))
            self._reader.values(numbers, batch.numpy().reshape(count, height, width), symmetries, threads)
        if self._output == "values" and self._sample == "tensor":
            return batch
        image = "codes" if self._output == "codes" else "image"
        return {image: batch} | {name: memory.small(values) for name, values in places.items()}

    def _thread_count(self) -> int:
        if self._threads is not None:
            return self._threads
        return usable_cores() if get_worker_info() is None else 1

    def _memory(self, *, batched: bool) -> BatchMemory | SharedBatchMemory:
        """Return where samples or batches of this process are put."""
        key = os.getpid(), batched
        if key not in self._memories:
            in_worker = batched and get_worker_info() is not None
            self._memories[key] = SharedBatchMemory() if in_worker else BatchMemory()
        memory = self._memories[key]
        if isinstance(memory, BatchMemory):
            memory.pinned = self.pin_batches and get_worker_info() is None
        return memory

    def _read_columns(self, group: str) -> Columns:
        if group not in self._columns:
            self._columns[group] = read_columns(self.path, group)
        return self._columns[group]


def _check_choice(name: str, value: str, known: tuple[str, str]) -> None:
    if value not in known:
        raise SettingError(f'expected {name} "{known[0]}" or "{known[1]}"; found {value!r}')


def _single_path(path: str | Path | Sequence[str | Path]) -> str:
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    if len(paths) != 1:
        raise SettingError(
            f"expected one file, found {len(paths)}; several polarizations in one sample are not supported yet"
        )
    return str(paths[0])
