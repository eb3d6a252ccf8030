"""Patch numbers to patches, safe in any process and thread: one read-only HDF5 handle per process, opened late."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the Blosc filter with HDF5
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.errors import CorruptPatchError, FormatError, SourceError
from sar_h5.schema import FileSettings

Columns = dict[str, npt.NDArray[Any]]


def open_file(path: str | Path) -> h5py.File:
    """Open an HDF5 file for reading, without locks, so that any number of processes may read and one may write.

    Raises:
        SourceError: where it is not there.
        FormatError: where it is not an HDF5 file, or an incomplete one.
    """
    if not Path(path).is_file():
        raise SourceError(f"{path}: no such file")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise FormatError(f"{path}: expected an HDF5 file, found one that HDF5 cannot open: {error}") from error


@dataclass(frozen=True)
class PatchSource:
    """Where the patches of a file are, and how they turn into values.

    Attributes:
        name: of the dataset within the file.
        shape: (N, H, W).
        dtype: of what is stored.
        settings: what the file says about its patches; None for files of others.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    settings: FileSettings | None


def find_patches(file: h5py.File, name: str | None) -> PatchSource:
    """Find the patches in an open file.

    Args:
        file: the file.
        name: path of a dataset (N, H, W) of real numbers; None for ``/patches``, or the only such dataset of the file.

    Raises:
        FormatError: where there is none, or it is none of these.
    """
    ours = file.attrs.get("format") == schema.FORMAT
    if ours:
        _check_version(file)
    chosen = name or (schema.PATCHES if schema.PATCHES in file else _only_candidate(file))
    dataset = file.get(chosen)
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(
            f"{file.filename}: expected a dataset {chosen}, found {', '.join(_candidates(file)) or 'none'}"
        )
    if dataset.ndim != 3 or dataset.dtype.kind not in "uif":
        raise FormatError(
            f"{file.filename}: expected {chosen} as (N, H, W) of integers or floats, found {dataset.shape} of "
            f"{dataset.dtype}"
        )
    settings = _settings(file) if ours and chosen.strip("/") == schema.PATCHES else None
    return PatchSource(chosen, dataset.shape, dataset.dtype, settings)


def _check_version(file: h5py.File) -> None:
    version = str(file.attrs.get("format_version", ""))
    if version.partition(".")[0] != schema.FORMAT_VERSION.partition(".")[0]:
        raise FormatError(
            f"{file.filename}: expected format version {schema.FORMAT_VERSION}, found {version or 'none'}; update "
            "sar_h5"
        )


def _settings(file: h5py.File) -> FileSettings:
    try:
        return FileSettings.from_attrs(file[schema.PATCHES].attrs)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file.filename}: its attributes are not those of the format: {error}") from error


def _candidates(file: h5py.File) -> list[str]:
    found: list[str] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 3 and item.dtype.kind in "uif":
            found.append(f"/{name}")

    file.visititems(visit)
    return found


def _only_candidate(file: h5py.File) -> str:
    found = _candidates(file)
    if len(found) != 1:
        raise FormatError(
            f"{file.filename}: expected /patches or a single dataset (N, H, W), found {', '.join(found) or 'none'}; "
            'name one with dataset="/path"'
        )
    return found[0]


@dataclass(frozen=True)
class _Handle:
    """What one process holds of the file."""

    file: h5py.File
    patches: h5py.Dataset
    lut: npt.NDArray[np.float32] | None


class PatchReader:
    """Reads patches of one file by number.

    The file is opened on the first read in each process; a reader that is pickled or carried over a fork opens it
    anew. Only the
    path and the dataset's name are pickled.

    Args:
        path: an HDF5 file, ours or any other.
        name: path of the dataset within it, or None to find it; see :func:`find_patches`.

    Raises:
        SourceError: where the file is not there.
        FormatError: where it is not HDF5, or holds no patches.
    """

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.path = str(path)
        with open_file(path) as file:
            self.source = find_patches(file, name)
        self._open_nothing()

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "source": self.source}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._open_nothing()

    def _open_nothing(self) -> None:
        self._handles: dict[int, _Handle] = {}
        # Also runs at exit; without a reference to the reader itself, which would keep it alive.
        self._finalizer = weakref.finalize(self, _close_handles, self._handles)

    def close(self) -> None:
        """Close this process's handle; the next read opens the file again."""
        _close_handles(self._handles)

    def read(self, number: int) -> npt.NDArray[Any]:
        """Read a patch as stored.

        Args:
            number: in [0, N).

        Returns:
            (H, W), codes or values, fresh memory.

        Raises:
            CorruptPatchError: where the stored bytes cannot be decoded.
        """
        handle = self._handle()
        try:
            patch: npt.NDArray[Any] = handle.patches[number]
        except (OSError, RuntimeError) as error:
            raise CorruptPatchError.at(self.path, number, str(error)) from error
        return patch

    def values(self, number: int) -> npt.NDArray[np.float32]:
        """Read a patch as values.

        Args:
            number: in [0, N).

        Returns:
            float32 (H, W): in [0, 1] from files of this package, otherwise the stored numbers.

        Raises:
            CorruptPatchError: where the stored bytes cannot be decoded, or a code is not in the table.
        """
        patch = self.read(number)
        lut = self._handle().lut
        if lut is None:
            return patch.astype(np.float32, copy=False)
        try:
            return np.take(lut, patch)
        except IndexError as error:
            raise CorruptPatchError.at(self.path, number, f"a code lies outside the table of {len(lut)}") from error

    def _handle(self) -> _Handle:
        process = os.getpid()
        handle = self._handles.get(process)
        if handle is None:
            # Two threads may both open it; the second one's handle goes unused and is closed with its last reference.
            handle = self._handles.setdefault(process, self._open())
        return handle

    def _open(self) -> _Handle:
        file = open_file(self.path)
        source = find_patches(file, self.source.name)
        if source != self.source:
            raise FormatError(f"{self.path}: the file has been replaced by a different one since it was first opened")
        patches = file[source.name]
        has_codes = source.settings is not None and source.settings.encoding != "float32"
        return _Handle(file, patches, file[schema.LUT][:] if has_codes else None)


def _close_handles(handles: dict[int, _Handle]) -> None:
    """Close the handle of this process; one inherited over a fork belongs to the parent and is left to it."""
    handle = handles.pop(os.getpid(), None)
    if handle is not None:
        handle.file.close()


def read_columns(path: str | Path, group: str) -> Columns:
    """Read all columns of a group, ``/index`` or ``/scenes``, as arrays; strings as object arrays of str."""
    columns = schema.INDEX_COLUMNS if group == schema.INDEX else schema.SCENE_COLUMNS
    with open_file(path) as file:
        if group not in file:
            raise FormatError(f"{path}: expected a group /{group}, which files of this package have; found none")
        return {
            column.name: file[group][column.name].asstr()[:] if column.dtype == "utf-8" else file[group][column.name][:]
            for column in columns
        }


def read_split(path: str | Path, split: str, name: str) -> npt.NDArray[np.int64]:
    """Read which patches belong to a split.

    Args:
        path: the file.
        split: "train", "val" (or "validation") or "test".
        name: which of the file's ways of splitting.

    Returns:
        int64 (n,), patch numbers in order.

    Raises:
        FormatError: where the file has no such split, or it is empty.
    """
    if split not in schema.SPLIT_CODES:
        raise FormatError(f"{path}: expected split train, val or test; found {split!r}")
    with open_file(path) as file:
        known = sorted(file[schema.SPLITS]) if schema.SPLITS in file else []
        if name not in known:
            raise FormatError(f"{path}: has no splits called {name!r}; found {', '.join(known) or 'none'}")
        members = np.flatnonzero(file[schema.SPLITS][name][:] == schema.SPLIT_CODES[split])
    if len(members) == 0:
        raise FormatError(f"{path}: split {split} of {name!r} is empty")
    return members.astype(np.int64)
