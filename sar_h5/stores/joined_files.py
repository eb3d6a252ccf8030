"""Patches of several files as the channels of one sample, joined by scene, row and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns
from sar_h5.errors import SettingError
from sar_h5.stores.file_patches import FilePatches
from sar_h5.stores.join_checks import check_shapes, read_key, why_nothing_in_common
from sar_h5.stores.patch_cache import PatchCache
from sar_h5.stores.patch_join import MISSING, How, Key, join_patches
from sar_h5.stores.scene_join import merge_scenes

_INDEX_FILL = {"valid_fraction": np.float32(np.nan), "checksum": np.uint32(0)}
"""What stands for a missing patch in the columns of one file."""


class JoinedFiles:
    """Patches of several files that show the same place; a :class:`sar_h5.stores.patch_store.PatchStore`.

    Attributes:
        files: the files, one channel each.
        numbers: int64 (N, C), the number of each patch in each file, -1 where it has none.

    Args:
        paths: two files of this package or more.
        how: "inner" for the places that all files have, "outer" for those that any file has.
        fill: the value of all pixels of a channel whose file has no such patch.
        cache_nbytes: the most that patches kept in memory may take, in each process; shared out to the files.

    Raises:
        SourceError: where a file is not there.
        FormatError: where one is no file of patches, or tells nothing of scenes.
        SettingError: where the files cannot be joined, or an argument cannot be honoured.
    """

    def __init__(
        self, paths: Sequence[str | Path], how: How = "inner", fill: float = 0.0, cache_nbytes: int = 0
    ) -> None:
        if cache_nbytes < 0:
            raise SettingError(f"expected cache_nbytes of 0 or more bytes; found {cache_nbytes}")
        self._fill = _as_float32(fill)
        self.files = tuple(FilePatches(path, cache_nbytes=cache_nbytes // len(paths)) for path in paths)
        check_shapes(self.files)
        scenes, names = [file.scenes() for file in self.files], [file.path for file in self.files]
        self._scenes, self._renumbered = merge_scenes(scenes, names)
        self.numbers = join_patches(self._keys(), how, names)
        if not len(self.numbers):
            raise SettingError(why_nothing_in_common(self.files, scenes))
        self._gaps = (self.numbers == MISSING).any(axis=0)
        self._luts = self._tables()
        self._columns: Columns | None = None

    @property
    def path(self) -> str:
        """The files, for errors."""
        return " + ".join(file.path for file in self.files)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return len(self.numbers), len(self.files), *self.files[0].shape[2:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of codes: the smallest unsigned integer that holds those of all tables in :attr:`luts`."""
        return np.min_scalar_type(max((len(lut) for lut in self._luts), default=1) - 1)

    @property
    def luts(self) -> tuple[npt.NDArray[np.float32], ...]:
        """The table of values of each file, float32 (K,); empty where a file holds values itself.

        Where patches are missing their value follows, unless the table has it already.
        """
        return self._luts

    @property
    def caches(self) -> tuple[PatchCache, ...]:
        """This process's caches of patches, if there are any."""
        return tuple(cache for file in self.files for cache in file.caches)

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> None:
        """Read patches; see :meth:`sar_h5.stores.patch_store.PatchStore.values`."""
        count, channels, height, width = out.shape
        flat = out.reshape(-1, height, width)
        for channel, file in enumerate(self.files):
            wanted = self.numbers[numbers, channel]
            there = wanted != MISSING
            out[~there, channel] = self._fill
            turns = None if symmetries is None else symmetries[there]
            places = np.arange(channel, count * channels, channels)[there]
            file.place(wanted[there], flat, turns, threads, places)

    def codes(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any], threads: int = 1) -> None:
        """Read patches as codes of :attr:`luts`.

        Args:
            numbers: int64 (n,), each in [0, N).
            out: :attr:`dtype` (n, C, H, W), filled.
            threads: how many to share the work out to.

        Raises:
            CorruptPatchError: where stored bytes cannot be decoded, or a code is not in the file's table: it would
                lead to another channel's.
        """
        for channel, (file, lut) in enumerate(zip(self.files, self._luts, strict=True)):
            wanted = self.numbers[numbers, channel]
            there = wanted != MISSING
            stored = np.empty((int(there.sum()), 1, *file.shape[2:]), dtype=file.dtype)
            file.codes(wanted[there], stored, threads)
            file.check_codes(wanted[there], stored)
            out[there, channel] = stored[:, 0]
            if not there.all():
                out[~there, channel] = _same_bits(lut, self._fill)[0]

    def index(self) -> Columns:
        """Return scene (of :meth:`scenes`), row and column, and for each file what else it says of its patches.

        The columns of a file carry its polarization: ``patch_vv`` (the number in that file, -1 where missing),
        ``valid_fraction_vv`` (NaN where missing), ``checksum_vv`` (0 where missing).
        """
        if self._columns is None:
            self._columns = self._join_columns()
        return self._columns

    def _join_columns(self) -> Columns:
        columns: Columns = dict(zip(("scene", "row", "col"), _places(self._keys(), self.numbers), strict=True))
        for suffix, file, numbers in zip(self._suffixes(), self.files, self.numbers.T, strict=True):
            columns[f"patch_{suffix}"] = numbers
            there = numbers != MISSING
            for name, fill in _INDEX_FILL.items():
                columns[f"{name}_{suffix}"] = joined = np.full(len(numbers), fill)
                joined[there] = file.index()[name][numbers[there]]
        return columns

    def scenes(self) -> Columns:
        """Return the scenes of all files, with the columns that hold for all polarizations."""
        return self._scenes

    def identity(self) -> str:
        """Return what tells these patches from others: the contents of the files, and what stands where one has none.

        Which patches go together follows from the contents, once it is known how many do.
        """
        fill = f"{self._fill.tobytes().hex()}" if self._gaps.any() else "complete"
        return " ".join([*(file.identity() for file in self.files), str(self.shape[0]), fill])

    def close(self) -> None:
        """Close this process's handles; the next access opens them again."""
        for file in self.files:
            file.close()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_columns": None}

    def _keys(self) -> list[Key]:
        return [read_key(file, numbers) for file, numbers in zip(self.files, self._renumbered, strict=True)]

    def _tables(self) -> tuple[npt.NDArray[np.float32], ...]:
        tables = [file.luts[0] for file in self.files if file.luts]
        if len(tables) < len(self.files):
            return ()
        return tuple(
            np.append(lut, self._fill) if gap and not len(_same_bits(lut, self._fill)) else lut
            for lut, gap in zip(tables, self._gaps, strict=True)
        )

    def _suffixes(self) -> list[str]:
        names = [file.settings.polarization if file.settings else "" for file in self.files]
        return names if len(set(names)) == len(names) else [str(number) for number in range(len(names))]


def _as_float32(fill: float) -> np.float32:
    try:
        with np.errstate(over="ignore"):
            value = np.float32(float(fill))
    except (TypeError, ValueError) as error:
        raise SettingError(f"expected fill as a number, NaN too; found {fill!r}") from error
    if np.isinf(value) and not np.isinf(float(fill)):
        raise SettingError(f"expected fill as a number that float32 holds; found {fill!r}")
    return value


def _same_bits(lut: npt.NDArray[np.float32], value: np.float32) -> npt.NDArray[np.intp]:
    """Return the codes whose value is bit for bit ``value``: NaN is found, and -0.0 is not 0.0."""
    return np.flatnonzero(lut.view(np.uint32) == value.view(np.uint32))


def _places(keys: Sequence[Key], numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    places = tuple(np.empty(len(numbers), dtype=np.int64) for _ in range(3))
    for key, wanted in zip(keys, numbers.T, strict=True):
        there = wanted != MISSING
        for place, values in zip(places, key, strict=True):
            place[there] = values[wanted[there]]
    return places
