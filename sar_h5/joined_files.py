"""Patches of several files as the channels of one sample, joined by scene, row and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns
from sar_h5.errors import SettingError
from sar_h5.file_patches import FilePatches
from sar_h5.patch_cache import PatchCache
from sar_h5.patch_join import MISSING, How, Key, join_patches
from sar_h5.scene_join import merge_scenes
from sar_h5.schema import UNKNOWN

_INDEX_FILL = {"valid_fraction": np.nan, "checksum": 0}
"""What stands for a missing patch in the columns of one file."""


class JoinedFiles:
    """Patches of several files that show the same place; a :class:`sar_h5.patch_store.PatchStore`.

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
        SettingError: where the files cannot be joined.
    """

    def __init__(
        self, paths: Sequence[str | Path], how: How = "inner", fill: float = 0.0, cache_nbytes: int = 0
    ) -> None:
        self.files = tuple(FilePatches(path, cache_nbytes=cache_nbytes // len(paths)) for path in paths)
        self._fill = np.float32(fill)
        _check_shapes(self.files)
        scenes = [file.scenes() for file in self.files]
        self._scenes, renumbered = merge_scenes(scenes, [file.path for file in self.files])
        keys = [_key(file, numbers) for file, numbers in zip(self.files, renumbered, strict=True)]
        self.numbers = join_patches(keys, how)
        if not len(self.numbers):
            raise SettingError(_why_nothing_in_common(self.files, scenes))
        self._places = _places(keys, self.numbers)

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
        """Of codes: the smallest unsigned integer that holds those of all files, and one for missing patches."""
        return np.min_scalar_type(max((len(lut) for lut in self.luts), default=1) - 1)

    @property
    def luts(self) -> tuple[npt.NDArray[np.float32], ...]:
        """The table of values of each file, float32 (K,), followed by the value of missing patches where there are any.

        None where a file holds values itself.
        """
        tables = [file.luts[0] for file in self.files if file.luts]
        if len(tables) < len(self.files):
            return ()
        gaps = (self.numbers == MISSING).any(axis=0)
        return tuple(np.append(lut, self._fill) if gap else lut for lut, gap in zip(tables, gaps, strict=True))

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
        """Read patches; see :meth:`sar_h5.patch_store.PatchStore.values`."""
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
            CorruptPatchError: where stored bytes cannot be decoded.
        """
        for channel, (file, lut) in enumerate(zip(self.files, self.luts, strict=True)):
            wanted = self.numbers[numbers, channel]
            there = wanted != MISSING
            stored = np.empty((int(there.sum()), 1, *file.shape[2:]), dtype=file.dtype)
            file.codes(wanted[there], stored, threads)
            out[there, channel] = stored[:, 0]
            out[~there, channel] = len(lut) - 1

    def index(self) -> Columns:
        """Return scene (of :meth:`scenes`), row and column, and for each file what else it says of its patches.

        The columns of a file carry its polarization: ``patch_vv`` (the number in that file, -1 where missing),
        ``valid_fraction_vv`` (NaN where missing), ``checksum_vv`` (0 where missing).
        """
        columns: Columns = dict(zip(("scene", "row", "col"), self._places, strict=True))
        for suffix, file, numbers in zip(self._suffixes(), self.files, self.numbers.T, strict=True):
            columns[f"patch_{suffix}"] = numbers
            for name, fill in _INDEX_FILL.items():
                values = file.index()[name][numbers]
                columns[f"{name}_{suffix}"] = np.where(numbers == MISSING, values.dtype.type(fill), values)
        return columns

    def scenes(self) -> Columns:
        """Return the scenes of all files, with the columns that hold for all polarizations."""
        return self._scenes

    def identity(self) -> str:
        """Return what tells these patches from others: the contents of the files, and which patches go together."""
        return " ".join([*(file.identity() for file in self.files), str(self.shape[0])])

    def close(self) -> None:
        """Close this process's handles; the next access opens them again."""
        for file in self.files:
            file.close()

    def _suffixes(self) -> list[str]:
        names = [file.settings.polarization if file.settings else "" for file in self.files]
        return names if len(set(names)) == len(names) else [str(number) for number in range(len(names))]


def _check_shapes(files: Sequence[FilePatches]) -> None:
    for file in files:
        if file.settings is None:
            raise SettingError(
                f"{file.path} tells no scenes and positions to join by; expected files that sar-h5 convert has made"
            )
        if file.shape[2:] != files[0].shape[2:]:
            sizes = " and ".join(f"{each.path} {each.shape[2]} x {each.shape[3]}" for each in (files[0], file))
            raise SettingError(
                f"expected files with patches of one size, found {sizes}; convert them with the same --patch-size"
            )


def _key(file: FilePatches, renumbered: npt.NDArray[np.int64]) -> Key:
    index = file.index()
    unknown = int(((index["row"] == UNKNOWN) | (index["col"] == UNKNOWN)).sum())
    if unknown:
        raise SettingError(
            f"{file.path}: {unknown} of its {len(index['row'])} patches do not know their row and column, as those "
            "made from shards; such a file cannot be joined with another. Convert the products themselves, or stack "
            "the channels before"
        )
    return renumbered[index["scene"]], index["row"], index["col"]


def _places(keys: Sequence[Key], numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    places = tuple(np.empty(len(numbers), dtype=np.int64) for _ in range(3))
    for key, wanted in zip(keys, numbers.T, strict=True):
        there = wanted != MISSING
        for place, values in zip(places, key, strict=True):
            place[there] = values[wanted[there]]
    return places


def _why_nothing_in_common(files: Sequence[FilePatches], scenes: Sequence[Columns]) -> str:
    common = set.intersection(*(set(columns["name"]) for columns in scenes))
    paths = " and ".join(file.path for file in files)
    if common:
        return (
            f"{paths} have {len(common)} scenes in common, but no patch at the same row and column: were they cut with "
            "other strides, or does their filter keep other places? "
            'how="outer" takes the places that any of them has'
        )
    some = "; ".join(f"{file.path} holds {_few(columns['name'])}" for file, columns in zip(files, scenes, strict=True))
    return f"expected files of the same scenes, found none in common: {some}"


def _few(names: npt.NDArray[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "no scene"
