"""Patch numbers to patches, from any process and thread, whatever way the file stores them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.chunks import DirectChunks, LibraryChunks, can_read_directly
from sar_h5.contents import find_patches, open_file
from sar_h5.errors import CorruptPatchError, FormatError


class PatchStore(Protocol):
    """Stored patches of an open file."""

    def read(self, number: int) -> npt.NDArray[Any]:
        """Return patch ``number`` as stored, (H, W); raise OSError, RuntimeError or ValueError where it is damaged."""

    def close(self) -> None:
        """Close the file."""


class PatchReader:
    """Reads patches of one file by number.

    The file is opened on the first read; a reader that is pickled opens it anew, and only the path and what the file
    says about its patches travel.

    Args:
        path: an HDF5 file, ours or any other.
        name: path of the dataset within it, or None to find it; see :func:`sar_h5.contents.find_patches`.

    Raises:
        SourceError: where the file is not there.
        FormatError: where it is not HDF5, or holds no patches.
    """

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.path = str(path)
        with open_file(path) as file:
            self.source = find_patches(file, name)
        self._opened: tuple[PatchStore, npt.NDArray[np.float32] | None] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "source": self.source}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._opened = None

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].close()

    def read(self, number: int) -> npt.NDArray[Any]:
        """Read a patch as stored.

        Args:
            number: in [0, N).

        Returns:
            (H, W), codes or values.

        Raises:
            CorruptPatchError: where the stored bytes cannot be decoded.
        """
        store, _ = self._open()
        try:
            return store.read(number)
        except (OSError, RuntimeError, ValueError) as error:
            raise CorruptPatchError.at(self.path, number, str(error)) from error

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
        _, lut = self._open()
        if lut is None:
            return patch.astype(np.float32)
        try:
            return np.take(lut, patch)
        except IndexError as error:
            raise CorruptPatchError.at(self.path, number, f"a code lies outside the table of {len(lut)}") from error

    def _open(self) -> tuple[PatchStore, npt.NDArray[np.float32] | None]:
        # Two threads may both open the file; one store then goes unused and is closed with its last reference.
        if self._opened is None:
            with open_file(self.path) as file:
                source = find_patches(file, self.source.name)
                if source != self.source:
                    raise FormatError(f"{self.path}: the file has been replaced by a different one since it was opened")
                patches = file[source.name]
                has_codes = source.settings is not None and source.settings.encoding != "float32"
                lut = file[schema.LUT][:] if has_codes else None
                self._opened = _open_store(self.path, patches), lut
        return self._opened


def _open_store(path: str, patches: h5py.Dataset) -> PatchStore:
    return DirectChunks(path, patches) if can_read_directly(path, patches) else LibraryChunks(path, patches.name)
