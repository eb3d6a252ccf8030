"""A file written anew from another: chunks as they are, some replaced, some left out, and all tables to match."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.columns import write_column
from sar_h5.compression import Codec
from sar_h5.errors import OutputError
from sar_h5.file_structure import Structure
from sar_h5.version import VERSION

Numbers = npt.NDArray[np.int64]
_WITHOUT = -1


@dataclass(frozen=True)
class _Scenes:
    """Where the kept patches of each scene lie."""

    starts: Numbers
    counts: Numbers


class RepairedFile:
    """Writes the kept patches of a file, and everything else that is in it. A context manager that closes the new file.

    Args:
        old: the open file.
        path: the file to make; replaced where it exists.
        found: the old file's structure.
        kept: int64 (n,), which patches to keep, growing.

    Attributes:
        codec: what new chunks are compressed with: the old file's.

    Raises:
        OutputError: where the file cannot be written (from any method).
    """

    def __init__(self, old: h5py.File, path: Path, found: Structure, kept: Numbers) -> None:
        self._old, self._path, self._found, self._kept = old, path, found, kept
        self._places = np.full(found.count, _WITHOUT, np.int64)
        self._places[kept] = np.arange(len(kept))
        self._checksums = found.index["checksum"].copy()
        self._fractions = found.index["valid_fraction"].copy()
        self.codec = read_codec(old[schema.PATCHES])
        with self._errors():
            self._file = h5py.File(path, "w", libver=schema.LIBVER)
            self._patches = self._create_patches()

    def __enter__(self) -> RepairedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with self._errors():
                self._file.close()
        else:
            with contextlib.suppress(OSError, RuntimeError):  # a full disk says so again; the file is about to go
                self._file.close()

    def copy_patch(self, number: int, stored: bytes) -> None:
        """Write a kept patch as the old file stores it."""
        mask = int(self._found.table.plain[number])
        with self._errors():
            self._patches.id.write_direct_chunk((int(self._places[number]), 0, 0), stored, filter_mask=mask)

    def replace_patch(self, number: int, patch: npt.NDArray[Any], valid_fraction: np.float32) -> None:
        """Compress and write a kept patch, (P, P) as the file stores it, in place of the old one."""
        frame = self.codec.compress(np.ascontiguousarray(patch, dtype=self._found.dtype))
        self._checksums[number], self._fractions[number] = zlib.crc32(frame), valid_fraction
        with self._errors():
            self._patches.id.write_direct_chunk((int(self._places[number]), 0, 0), frame)

    def finish(self, digest: str, dropped: Numbers, operation: str) -> None:
        """Write everything else.

        Args:
            digest: of the content.
            dropped: int64 (n, 4), the patches that this and earlier repairs have left out; see ``schema``.
            operation: what was done, for the history.
        """
        with self._errors():
            self._write_attributes(digest, dropped, operation)
            written = {schema.PATCHES, schema.INDEX, schema.SCENES, schema.SPLITS}
            for name in self._old:
                if name not in written:
                    self._old.copy(name, self._file)
            self._write_index()
            self._write_scenes()
            self._write_splits()
            self._file.flush()

    def scenes(self) -> _Scenes:
        """Return where the patches of each scene lie in the new file."""
        counts = np.bincount(self._found.index["scene"][self._kept], minlength=len(self._found.scenes["name"]))
        return _Scenes(np.cumsum(counts) - counts, counts.astype(np.int64))

    def _create_patches(self) -> h5py.Dataset:
        old, size = self._old[schema.PATCHES], self._found.settings.patch_size
        space = h5py.h5s.create_simple((len(self._kept), size, size), (h5py.h5s.UNLIMITED, size, size))
        name = schema.PATCHES.encode()
        made = h5py.h5d.create(self._file.id, name, old.id.get_type(), space, dcpl=old.id.get_create_plist())
        dataset = h5py.Dataset(made)
        _copy_attributes(old, dataset)
        return dataset

    def _write_attributes(self, digest: str, dropped: Numbers, operation: str) -> None:
        _copy_attributes(self._old, self._file)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        history = str(self._old.attrs.get("history", "")).splitlines()
        self._file.attrs["history"] = "\n".join([*history, f"{now} {operation} (sar_h5 {VERSION})"])
        self._file.attrs["uuid"] = str(uuid.uuid4())
        self._file.attrs["content_digest"] = digest
        if len(dropped):
            self._file.attrs[schema.DROPPED_PATCHES] = dropped

    def _write_index(self) -> None:
        old, new = self._old[schema.INDEX], self._file.create_group(schema.INDEX)
        _copy_attributes(old, new)
        values = {**self._found.index, "checksum": self._checksums, "valid_fraction": self._fractions}
        for column in schema.INDEX_COLUMNS:
            write_column(new, column, values[column.name][self._kept])
        self._copy_others(old, new)

    def _write_scenes(self) -> None:
        old, new = self._old[schema.SCENES], self._file.create_group(schema.SCENES)
        _copy_attributes(old, new)
        scenes = self.scenes()
        changed: Mapping[str, Numbers] = {"patch_start": scenes.starts, "patch_count": scenes.counts}
        for column in schema.SCENE_COLUMNS:
            if column.name in changed:
                write_column(new, column, changed[column.name])
        for name in old:
            if name not in changed:
                old.copy(name, new)

    def _write_splits(self) -> None:
        if schema.SPLITS not in self._old:
            return
        old, new = self._old[schema.SPLITS], self._file.create_group(schema.SPLITS)
        _copy_attributes(old, new)
        for name in old:
            codes = old[name][:][self._kept]
            dataset = write_column(new, schema.split_column(name), codes)
            _copy_attributes(old[name], dataset)
            for code, split in enumerate(schema.SPLIT_NAMES):
                if f"{split}_count" in dataset.attrs:
                    dataset.attrs[f"{split}_count"] = np.int64((codes == code).sum())

    def _copy_others(self, old: h5py.Group, new: h5py.Group) -> None:
        """Copy columns that are not of the format; those with a row per patch lose the same rows."""
        for name in old:
            item = old[name]
            if name in new:
                continue
            if isinstance(item, h5py.Dataset) and item.shape[:1] == (self._found.count,):
                _copy_attributes(item, new.create_dataset(name, data=item[:][self._kept], dtype=item.dtype))
            else:
                old.copy(name, new)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # h5py raises either, depending on where HDF5 noticed
            raise OutputError(f"{self._path}: cannot be written (disk full, or no longer there?): {error}") from error


def read_codec(patches: h5py.Dataset) -> Codec:
    """Return what the chunks of a dataset are compressed with, as its filter's options say."""
    filters = patches.id.get_create_plist()
    for number in range(filters.get_nfilters()):
        code, _, options, _ = filters.get_filter(number)
        if code == schema.BLOSC_FILTER and len(options) >= 7 and options[6] in _COMPRESSORS and options[5] < 3:
            return Codec(_COMPRESSORS[options[6]], min(options[4], 9), ("none", "byte", "bit")[options[5]])  # type: ignore[arg-type]  # they are names of Codec's
    return Codec()


_COMPRESSORS = {0: "blosclz", 1: "lz4", 2: "lz4hc", 4: "zlib", 5: "zstd"}
"""As the HDF5 filter numbers them, blosc.h; 3 was snappy."""


def _copy_attributes(old: h5py.HLObject, new: h5py.HLObject) -> None:
    """Copy attributes with the types that they are stored in."""
    for name in old.attrs:
        stored = old.attrs.get_id(name)
        new.attrs.create(name, old.attrs[name], shape=stored.shape, dtype=stored.dtype)
