"""What all datasets of patches share: samples and batches for PyTorch from any store of patches, in any process."""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, get_worker_info

from sar_h5.bad_samples import MOST_ATTEMPTS, POLICIES, BadSamples, Policy, draw_substitute
from sar_h5.batch_memory import BatchMemory
from sar_h5.batches import Batch, Collated
from sar_h5.contents import Columns
from sar_h5.cores import usable_cores
from sar_h5.errors import CorruptPatchError, FormatError, PatchIndexError, SettingError
from sar_h5.georeference import locate_patches
from sar_h5.schema import COMPONENT_COLUMN
from sar_h5.shared_batches import SharedBatchMemory
from sar_h5.stores.patch_store import PatchStore
from sar_h5.symmetry import draw_symmetries

Memory = BatchMemory | SharedBatchMemory
Store = TypeVar("Store", bound=PatchStore)


class PatchDataset(Dataset[Any], Generic[Store]):
    """Samples and batches of a store's patches, with augmentation; the base of this package's datasets.

    Args:
        store: where the patches come from.
        patches: int64 (n,), numbers of the patches to use in their order; None for all.
        augment: whether each sample gets one of the eight symmetries of the square, drawn anew each epoch.
        seed: of these draws.
        transform: called with each sample, its result is returned.
        sample: "tensor" or "dict".
        threads: how many to decode a batch with; None for all cores in the main process and one in each worker.
        on_bad_sample: "raise", "skip" or "substitute".

    Raises:
        SettingError: where an argument cannot be honoured.
    """

    def __init__(
        self,
        store: Store,
        *,
        patches: npt.NDArray[np.int64] | None = None,
        augment: bool = False,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        sample: Literal["tensor", "dict"] = "tensor",
        threads: int | None = None,
        on_bad_sample: Policy = "raise",
    ) -> None:
        check_choice("sample", sample, ("tensor", "dict"))
        check_choice("on_bad_sample", on_bad_sample, POLICIES)
        if threads is not None and operator.index(threads) < 1:
            raise SettingError(f"expected at least 1 thread; found threads={threads}")
        count, _, height, width = store.shape
        if augment and height != width:
            raise SettingError(f"augment=True needs square patches; those of {store.path} are {height} x {width}")
        self.pin_batches = False
        self._store, self._patches = store, patches
        self._count = count if patches is None else len(patches)
        self._augment, self._seed, self._sample = augment, operator.index(seed), sample
        self._threads, self._transform = threads, transform
        self._bad_samples = BadSamples(on_bad_sample, count)
        # In shared memory, so that workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64)
        if augment:
            self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self._memories: dict[tuple[int, bool], Memory] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        """Return a sample.

        Args:
            index: any integer in [-len, len), NumPy's too.

        Raises:
            PatchIndexError: where it lies outside.
            CorruptPatchError: where the patch cannot be decoded; with ``on_bad_sample="skip"`` too, since there is no
                batch that could go without it.
        """
        batch = Batch(self._make(np.array([self._patch_number(index)]), self._memory(batched=False)))
        sample = batch.plain()[0]
        return sample if self._transform is None else self._transform(sample)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return the samples of a batch, decoded together; what ``DataLoader`` calls.

        Args:
            indices: integers in [-len, len).

        Raises:
            PatchIndexError: where one lies outside.
            CorruptPatchError: where a patch cannot be decoded, and ``on_bad_sample`` does not help.
        """
        if len(indices) == 0:
            return []
        if type(self).__getitem__ is not PatchDataset.__getitem__:
            return self._own_samples(indices)
        numbers = self._patch_numbers(indices)
        batch = Batch(self._make(numbers, self._memory(batched=True)))
        if self._transform is None:
            return batch
        return [self._transform(sample) for sample in batch.plain()]

    def _own_samples(self, indices: Sequence[int]) -> list[Any]:
        """Return the samples of a subclass that makes them in a way of its own, one by one."""
        samples: list[Any] = []
        bad: CorruptPatchError | None = None
        for index in indices:
            try:
                samples.append(self[index])
            except CorruptPatchError as error:
                if self._bad_samples.policy != "skip":
                    raise
                bad = error
        if not samples and bad is not None:
            raise bad
        return samples

    def image(self, index: int) -> torch.Tensor:
        """Return a patch as it is in its source: float32 (C, H, W), neither augmented nor transformed.

        Args:
            index: as of a sample.

        Raises:
            PatchIndexError, CorruptPatchError: as for a sample.
        """
        image = np.empty(self._store.shape[1:], dtype=np.float32)
        self._store.values(np.array([self._patch_number(index)]), image[None])
        return torch.from_numpy(image)

    def set_epoch(self, epoch: int) -> None:
        """Change the draw of the symmetries; call it before each epoch, as with a distributed sampler.

        Args:
            epoch: number of the epoch. Workers that are alive (``persistent_workers=True``) see it too.
        """
        self._epoch.fill_(operator.index(epoch))

    @property
    def index(self) -> Columns:
        """Where each sample comes from: arrays of len(self), ``patch`` (its number) and what the source tells of it."""
        columns = self._store.index()
        numbers = self._all_numbers()
        return {"patch": numbers} | {name: values[numbers] for name, values in columns.items()}

    @property
    def scenes(self) -> Columns:
        """The scenes: arrays with one entry per scene, by column name (``name``, ``start_time``, ...)."""
        return self._store.scenes()

    @property
    def bad_samples(self) -> dict[int, int]:
        """How often each patch that cannot be read was met so far, by its number; of all worker processes together.

        Empty with ``on_bad_sample="raise"``.
        """
        return self._bad_samples.counts()

    @property
    def fingerprint(self) -> str:
        """What tells this dataset's samples from those of another, wherever the files lie: SHA-256, hexadecimal."""
        digest = hashlib.sha256(self._store.identity().encode())
        digest.update(self._all_numbers().astype("<i8").tobytes())
        return digest.hexdigest()

    def close(self) -> None:
        """Close this process's handles; the next access opens them again."""
        self._store.close()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_memories": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self._augment and not self._epoch.is_shared():  # type: ignore[no-untyped-call]  # as above
            self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types

    def __repr__(self) -> str:
        _, channels, height, width = self._store.shape
        size = f"{height} x {width}" if channels == 1 else f"{channels} x {height} x {width}"
        augment = ", augmented" if self._augment else ""
        return f"{type(self).__name__}({self._store.path!r}, {len(self)} patches of {size}{augment})"

    def _all_numbers(self) -> npt.NDArray[np.int64]:
        """Return the patch of each sample, in an array of its own."""
        return np.arange(self._count, dtype=np.int64) if self._patches is None else self._patches.copy()

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

    def _make(self, numbers: npt.NDArray[np.int64], memory: Memory) -> Collated:
        """Make a batch of patches, by their numbers; those that cannot be read are dealt with as the policy says."""
        try:
            return self._make_readable(numbers, memory)
        except CorruptPatchError:
            return self._make_readable(self._without_bad(numbers), memory)

    def _without_bad(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the patches of a batch, those that cannot be read left out or replaced by others."""
        readable: list[int] = []
        bad: CorruptPatchError | None = None
        for number in numbers.tolist():
            error = self._error_of(number)
            if error is None:
                readable.append(number)
                continue
            place = self._describe(number)
            bad = CorruptPatchError.at(error.path, error.patch, error.reason, place=place, advice=error.advice)
            if self._bad_samples.policy == "raise":
                raise bad from error
            self._bad_samples.note(number, bad)
            if self._bad_samples.policy == "substitute":
                readable.append(self._substitute(number, bad))
        if not readable and bad is not None:
            raise bad
        return np.array(readable, dtype=np.int64)

    def _substitute(self, number: int, bad: CorruptPatchError) -> int:
        for attempt in range(MOST_ATTEMPTS):
            other = self._patch_number(draw_substitute(self._seed, number, attempt, self._count))
            if self._error_of(other) is None:
                return other
        reason = f"{bad.reason}; nor could any of {MOST_ATTEMPTS} others drawn in its place"
        raise CorruptPatchError.at(bad.path, bad.patch, reason, place=self._describe(number))

    def _error_of(self, number: int) -> CorruptPatchError | None:
        """Return why a patch cannot be read; None where it can."""
        try:
            self._store.values(np.array([number]), np.empty((1, *self._store.shape[1:]), dtype=np.float32))
        except CorruptPatchError as error:
            return error
        return None

    def _describe(self, number: int) -> str:
        """Say where a patch lies, as far as that is known."""
        sample = number if self._patches is None else int(np.flatnonzero(self._patches == number)[0])
        try:
            columns, names = self._store.index(), self._store.scenes()["name"]
            scene, row, col = (int(columns[name][number]) for name in ("scene", "row", "col"))
            recovered = COMPONENT_COLUMN.name in columns  # then row and column lead nowhere
            place = f"patch {number}" if recovered else f"row {row}, column {col}"
            return f"sample {sample}, scene {names[scene]}, {place}"
        except (
            FormatError,
            LookupError,
            TypeError,
            ValueError,
        ):  # files of others tell nothing, damaged ones nothing to rely on
            return f"sample {sample}"

    def _make_readable(self, numbers: npt.NDArray[np.int64], memory: Memory) -> Collated:
        _, _, height, width = self._store.shape
        symmetries = draw_symmetries(self._seed, int(self._epoch), numbers) if self._augment else None
        content = self._read(numbers, symmetries, memory)
        if self._sample == "tensor" and len(content) == 1:
            return content["image"]
        places: dict[str, npt.NDArray[Any]] = {}
        if self._sample == "dict":
            places = self._locate(numbers, height, width)
        return content | {name: memory.small(values) for name, values in places.items()}

    def _locate(self, numbers: npt.NDArray[np.int64], height: int, width: int) -> dict[str, npt.NDArray[Any]]:
        index, scenes = self._store.index(), self._store.scenes()
        try:
            return locate_patches(numbers, index, scenes, height, width)
        except (TypeError, ValueError) as error:
            path = self._store.path
            raise FormatError(
                f"{path}: expected places of patches in /index and /scenes, found damage: {error}; run `sar-h5 verify "
                f"{path}`"
            ) from error

    def _read(
        self, numbers: npt.NDArray[np.int64], symmetries: npt.NDArray[np.uint8] | None, memory: Memory
    ) -> dict[str, torch.Tensor]:
        """Read patches into new memory: what a sample holds beside its place."""
        batch = memory.batch((len(numbers), *self._store.shape[1:]), np.dtype(np.float32))
        self._store.values(numbers, batch.numpy(), symmetries, self._thread_count())
        return {"image": batch}

    def _thread_count(self) -> int:
        if self._threads is not None:
            return self._threads
        return usable_cores() if get_worker_info() is None else 1

    def _memory(self, *, batched: bool) -> Memory:
        """Return where samples or batches of this process are put."""
        key = os.getpid(), batched
        if key not in self._memories:
            in_worker = batched and get_worker_info() is not None
            self._memories[key] = SharedBatchMemory() if in_worker else BatchMemory()
        memory = self._memories[key]
        if isinstance(memory, BatchMemory):
            memory.pinned = self.pin_batches and get_worker_info() is None
        return memory


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Raise SettingError where an argument is none of the values it can have."""
    if value not in known:
        *others, last = (f'"{choice}"' for choice in known)
        raise SettingError(f"expected {name} {', '.join(others)} or {last}; found {value!r}")
