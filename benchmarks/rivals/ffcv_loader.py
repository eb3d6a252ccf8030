"""FFCV: its own file, threads and compiled pipeline, for float32 patches and for lossless uint16 codes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ffcv.fields import NDArrayField
from ffcv.fields.ndarray import NDArrayDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.pipeline.allocation_query import AllocationQuery
from ffcv.pipeline.compiler import Compiler
from ffcv.pipeline.operation import Operation
from ffcv.pipeline.state import State
from ffcv.transforms import ToTensor
from ffcv.writer import DatasetWriter

from benchmarks.data import PATCH_SIZE, Floats, PatchSource
from benchmarks.rivals.protocol import LoaderSettings, Rival
from sar_h5.symmetry import SYMMETRIES

FILE, LUT, FIELD = "patches.beton", "lut.npy", "patch"
_SHAPE = (PATCH_SIZE, PATCH_SIZE)
_TILE_PX = 32
_PAGE_NBYTES = 1 << 23


class Samples:
    """Patches as the writer wants them: by number, as tuples of one."""

    def __init__(self, source: PatchSource, lut: Floats | None) -> None:
        self._source, self._lut = source, lut

    def __len__(self) -> int:
        return self._source.count

    def __getitem__(self, number: int) -> tuple[npt.NDArray[Any]]:
        for shard, values in zip(self._source.shards, self._source.maps(), strict=True):
            if number < shard.count:
                patch = np.array(values[number])
                # FFCV hands int16 to torch; the bits are those of uint16.
                return (patch if self._lut is None else np.searchsorted(self._lut, patch).astype(np.int16),)
            number -= shard.count
        raise IndexError(number)


def prepare_float32(source: PatchSource, directory: Path) -> None:
    """Write float32 patches."""
    _write(Samples(source, None), np.dtype(np.float32), directory)


def prepare_uint16(source: PatchSource, directory: Path) -> None:
    """Write the position of each pixel's value among all values, and these values."""
    lut = np.empty(0, dtype=np.float32)
    for patch in source.patches():
        lut = np.union1d(lut, patch)
    np.save(directory / LUT, lut)
    _write(Samples(source, lut), np.dtype(np.int16), directory)


def _write(samples: Samples, dtype: np.dtype[Any], directory: Path) -> None:
    fields = {FIELD: NDArrayField(dtype, _SHAPE)}
    writer = DatasetWriter(str(directory / FILE), fields, page_size=_PAGE_NBYTES, num_workers=1)
    writer.from_indexed_dataset(samples)


def turn_into(place: Any, patch: Any, look_up: Callable[[Any], Any]) -> None:  # noqa: C901 - one loop a direction
    """Write a patch into its place with a random symmetry, in tiles that stay in the processor's cache.

    Args:
        place: float32 (256, 256), contiguous.
        patch: codes or values (256, 256).
        look_up: compiled function from what is stored to a value.
    """
    symmetry = np.random.randint(0, SYMMETRIES)  # noqa: NPY002 - what numba knows, with a state for each thread
    last = patch.shape[0] - 1
    # Bit 0 swaps rows and columns, bits 1 and 2 mirror: the eight symmetries again. The compiler makes fast loops only
    # where the direction is known in each.
    if symmetry & 1:
        for first_row in range(0, last, _TILE_PX):
            for first_col in range(0, last, _TILE_PX):
                for row in range(first_row, first_row + _TILE_PX):
                    to = place[last - row if symmetry & 2 else row]
                    if symmetry & 4:
                        for col in range(first_col, first_col + _TILE_PX):
                            to[last - col] = look_up(patch[col, row])
                    else:
                        for col in range(first_col, first_col + _TILE_PX):
                            to[col] = look_up(patch[col, row])
    else:
        for row in range(last + 1):
            to = place[last - row if symmetry & 2 else row]
            if symmetry & 4:
                for col in range(last + 1):
                    to[last - col] = look_up(patch[row, col])
            else:
                for col in range(last + 1):
                    to[col] = look_up(patch[row, col])


def _compiled(lut: Floats | None) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the compiled turn and look-up; without a table, values are passed on."""
    if lut is None:
        return Compiler.compile(turn_into), Compiler.compile(lambda value: value)
    table: Floats = lut
    return Compiler.compile(turn_into), Compiler.compile(lambda code: table[code])


class Turn(Operation):  # type: ignore[misc]  # FFCV has no types
    """Look-up and symmetry, from FFCV's decoded arrays into the batch."""

    def __init__(self, lut: Floats | None) -> None:
        super().__init__()
        self._lut = lut

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        """Ask for the batch."""
        shape, dtype = (1, *_SHAPE), np.dtype(np.float32)
        return replace(previous_state, jit_mode=True, shape=shape, dtype=dtype), AllocationQuery(shape, dtype)

    def generate_code(self) -> Callable[..., Any]:
        """Return what turns a batch."""
        iterate = Compiler.get_iterator()
        turn, look_up = _compiled(self._lut)

        def turn_batch(patches: Any, batch: Any) -> Any:
            for number in iterate(patches.shape[0]):
                turn(batch[number, 0], patches[number], look_up)
            return batch[: patches.shape[0]]

        turn_batch.is_parallel = True  # type: ignore[attr-defined]  # FFCV reads it from the function
        return turn_batch


class FusedDecoder(NDArrayDecoder):  # type: ignore[misc]  # FFCV has no types
    """Look-up and symmetry from the file's pages straight into the batch."""

    def __init__(self, lut: Floats | None) -> None:
        super().__init__()
        self._lut = lut

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        """Ask for the batch."""
        shape, dtype = (1, *_SHAPE), np.dtype(np.float32)
        return replace(previous_state, jit_mode=True, shape=shape, dtype=dtype), AllocationQuery(shape, dtype)

    def generate_code(self) -> Callable[..., Any]:
        """Return what decodes a batch."""
        iterate, read = Compiler.get_iterator(), self.memory_read
        turn, look_up = _compiled(self._lut)
        stored = self.field.dtype

        def decode(indices: Any, batch: Any, metadata: Any, storage: Any) -> Any:
            for number in iterate(indices.shape[0]):
                pixels = read(metadata[indices[number]], storage).view(stored)
                turn(batch[number, 0], pixels.reshape(_SHAPE), look_up)
            return batch[: indices.shape[0]]

        decode.is_parallel = True  # type: ignore[attr-defined]  # FFCV reads it from the function
        return decode


class Epochs:
    """A loader whose batches come without the tuple around them."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[torch.Tensor]:
        for (batch,) in self._loader:
            yield batch


def make_loader(
    source: PatchSource, directory: Path, settings: LoaderSettings, *, with_codes: bool, fused: bool
) -> Epochs:
    """Make the loader; with no workers one thread serves."""
    del source
    lut = np.load(directory / LUT) if with_codes else None
    steps = [FusedDecoder(lut)] if fused else [NDArrayDecoder(), Turn(lut)]
    loader = Loader(
        str(directory / FILE),
        batch_size=settings.batch_size,
        num_workers=max(settings.workers, 1),
        os_cache=True,
        order=OrderOption.RANDOM,
        seed=settings.seed,
        pipelines={FIELD: [*steps, ToTensor()]},
    )
    return Epochs(loader)


FLOAT32 = Rival(prepare_float32, functools.partial(make_loader, with_codes=False, fused=False))
UINT16 = Rival(prepare_uint16, functools.partial(make_loader, with_codes=True, fused=False))
FUSED = Rival(prepare_uint16, functools.partial(make_loader, with_codes=True, fused=True))
