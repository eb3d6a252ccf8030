"""Shards: ``.npy`` files of patches (n, P, P), float32 in [0, 1], read in batches and checked value by value."""

from __future__ import annotations

import dataclasses
import io
import os
import tokenize
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from sar_h5.buffers import BufferPool
from sar_h5.errors import SourceError
from sar_h5.schema import UNKNOWN
from sar_h5.sources.checksums import checksum_file
from sar_h5.sources.naming import find_polarization, scene_name
from sar_h5.sources.products import name_facts
from sar_h5.sources.scene import SceneInfo, SourceFile
from sar_h5.sources.shard_facts import ShardFacts

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ShardPlace:
    """Where the patches of a shard lie, for reading any of them without its header.

    Attributes:
        path: the file.
        offset: bytes before the first patch.
        dtype: float32 in the file's byte order.
        count: how many patches there are.
        patch_size: side of a patch in pixels.
    """

    path: str
    offset: int
    dtype: np.dtype[Any]
    count: int
    patch_size: int

    @property
    def patch_nbytes(self) -> int:
        """Size of a patch."""
        return self.patch_size**2 * self.dtype.itemsize

    @property
    def end(self) -> int:
        """How many bytes the file holds at least."""
        return self.offset + self.count * self.patch_nbytes


class NpyShard:
    """One shard, its header checked when made.

    Args:
        path: the ``.npy`` file.
        shown: how the user knows it.
        polarization: its polarization.
        facts: what is known of its scene, where more is than its name tells.

    Attributes:
        dtype: float32, of what is read; the file may have another byte order.
        places: where its patches lie in the scene, or None.

    Raises:
        SourceError: where the header is not that of patches, or promises more bytes than the file holds; where the
            facts are not about this shard.
    """

    def __init__(self, path: Path, shown: str, polarization: str, facts: ShardFacts | None = None) -> None:
        self._path = path
        self.dtype: np.dtype[np.generic] = np.dtype(np.float32)
        self.places = None if facts is None else facts.places
        with _opened(path) as file:
            shape, self._stored_dtype = _read_header(file)
            self._offset = file.tell()
            nbytes = os.fstat(file.fileno()).st_size
        self.count, self.patch_size = shape[0], shape[1]
        self._patch_nbytes = self.patch_size**2 * self._stored_dtype.itemsize
        promised = self._offset + self.count * self._patch_nbytes
        if nbytes < promised:
            whole = max(nbytes - self._offset, 0) // self._patch_nbytes
            raise SourceError(
                f"truncated: the header promises {self.count} patches ({promised} bytes), the file holds {nbytes} "
                f"bytes ({whole} whole patches); copy or make it again"
            )
        if facts is None:
            self.info = _describe(path, shown, polarization)
        else:
            facts.check_fits(self.count, self.patch_size)
            self.info = dataclasses.replace(facts.info, path=shown, polarization=polarization)
        self._identity: SourceFile | None = None

    @property
    def place(self) -> ShardPlace:
        """Where its patches lie."""
        return ShardPlace(str(self._path), self._offset, self._stored_dtype, self.count, self.patch_size)

    def batches(self, most_nbytes: int) -> Iterator[Floats]:
        """Yield consecutive patches, float32 (n, P, P), in batches of about ``most_nbytes``.

        Raises:
            SourceError: where a patch holds NaN or a value outside [0, 1], or the file ends early.
        """
        start = 0
        for values in self.unchecked_batches(most_nbytes):
            check_values(values, start)
            yield values
            start += len(values)

    def unchecked_batches(self, most_nbytes: int) -> Iterator[Floats]:
        """Yield what :meth:`batches` does, whatever the values are; see :func:`check_values`.

        Raises:
            SourceError: where the file ends early.
        """
        step = max(1, most_nbytes // self._patch_nbytes)
        buffers = BufferPool()
        with _opened(self._path) as file:
            header = file.read(self._offset)
            nbytes, crc32 = len(header), zlib.crc32(header)
            for start in range(0, self.count, step):
                raw = self._read(file, buffers, min(step, self.count - start))
                nbytes, crc32 = nbytes + raw.nbytes, zlib.crc32(raw.data, crc32)
                yield self._as_patches(raw)
            while rest := file.read(1 << 20):
                nbytes, crc32 = nbytes + len(rest), zlib.crc32(rest, crc32)
        self._identity = SourceFile(nbytes, crc32)

    def patches(self, start: int, stop: int) -> Floats:
        """Read patches ``start`` to ``stop`` (exclusive), float32 (n, P, P); errors as :meth:`batches`."""
        with _opened(self._path) as file:
            file.seek(self._offset + start * self._patch_nbytes)
            values = self._as_patches(self._read(file, BufferPool(), stop - start))
        check_values(values, start)
        return values

    def identify(self) -> SourceFile:
        """Return size and checksum of the file: known from the batches where all were read, else read now.

        Raises:
            SourceError: where it cannot be read.
        """
        try:
            return self._identity or checksum_file(self._path)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror or error}") from error

    def _read(self, file: BinaryIO, buffers: BufferPool, count: int) -> npt.NDArray[np.generic]:
        raw = buffers.take((count * self._patch_nbytes,), np.uint8)
        got = file.readinto(raw)  # type: ignore[attr-defined]  # every binary file has it; BinaryIO does not say so
        if got != raw.nbytes:
            raise SourceError(f"ended early: {raw.nbytes - got} bytes short; was it changed while it was read?")
        return raw

    def _as_patches(self, raw: npt.NDArray[np.generic]) -> Floats:
        return raw.view(self._stored_dtype).reshape(-1, self.patch_size, self.patch_size).astype(np.float32, copy=False)


def check_values(values: Floats, start: int) -> None:
    """Raise SourceError where a patch holds NaN or a value outside [0, 1].

    Args:
        values: float32 (n, P, P).
        start: the number of the first patch in its shard.
    """
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise SourceError(_describe_bad_values(values, start))


def _describe_bad_values(values: Floats, start: int) -> str:
    bad = ~((values >= 0) & (values <= 1))
    first = int(np.flatnonzero(bad.any(axis=(1, 2)))[0])
    patch = values[first][bad[first]]
    what = "NaN" if np.isnan(patch).any() else f"values outside [0, 1] such as {patch[0]!s}"
    count = f"{patch.size} of {bad[first].size} pixels"
    return f"patch {start + first} holds {what} ({count}); expected finite values in [0, 1]"


MOST_HEADER_NBYTES = 16 << 10
"""How much of a file is looked at for its header; NumPy refuses headers of more than 10,000 characters."""

_BAD_HEADER = (ValueError, TypeError, KeyError, SyntaxError, SystemError, MemoryError, RecursionError)
"""All that NumPy's header parser, which evaluates a Python literal, raises at arbitrary bytes; with TokenError."""


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}") from error


def _read_header(file: BinaryIO) -> tuple[tuple[int, int, int], np.dtype[np.float32]]:
    """Read a ``.npy`` header; raise SourceError unless it announces square float32 patches in C order."""
    # A header may say that it is 4 GiB long, for which Python would take memory before it looks for them.
    head = io.BytesIO(file.read(MOST_HEADER_NBYTES))
    if not head.getvalue():
        raise SourceError("empty file (0 bytes); expected a .npy header")
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    try:
        version = npy_format.read_magic(head)
        if version not in readers:
            raise SourceError(f"expected a .npy header of version 1.0 or 2.0, found {version[0]}.{version[1]}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote, and of deprecated dtypes
            shape, fortran, dtype = readers[version](head)
        file.seek(head.tell())
    except (*_BAD_HEADER, tokenize.TokenError) as error:
        reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
        raise SourceError(f"expected a .npy file of patches, found no such header: {reason}") from error
    if dtype.kind != "f" or dtype.itemsize != 4:
        raise SourceError(f"expected dtype float32, found {dtype}")
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] < 1 or shape[0] < 0:
        raise SourceError(f"expected shape (n, P, P), found {shape!s:.100}")
    if fortran and shape[0] > 0:
        raise SourceError("expected C order, found Fortran order; save it again with np.ascontiguousarray")
    return shape, dtype


def _describe(path: Path, shown: str, polarization: str) -> SceneInfo:
    facts = name_facts(path.stem)
    return SceneInfo(
        name=scene_name(path.stem) or scene_name(path.resolve().parent.name) or path.stem,
        path=shown,
        polarization=polarization,
        platform=facts.get("platform", ""),
        mode=facts.get("mode", ""),
        product_type=facts.get("product_type", ""),
        start_time=facts.get("start_time", ""),
        orbit=int(facts.get("orbit", UNKNOWN)),
    )


def may_be_wanted(name: str, wanted: Sequence[str]) -> bool:
    """Tell whether a name tells no polarization, or one of those that are wanted; none wanted stands for all."""
    polarization = find_polarization(name)
    return not wanted or polarization is None or polarization in wanted


def shard_polarization(path: Path, assigned: str | None) -> str:
    """Return the polarization that a shard's name or folder tells, else the assigned one.

    Raises:
        SourceError: where there is neither.
    """
    polarization = find_polarization(path.stem) or find_polarization(path.parent.name) or assigned
    if not polarization:
        raise SourceError(
            "nothing tells its polarization: name it like patches-vv-1.npy, or pass --polarization vv (vh, hh, hv)"
        )
    return polarization
