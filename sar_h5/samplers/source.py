"""What a sampler draws from: how many samples there are, from which scenes, and by what to know them again."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping, Sized
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.errors import FormatError, SettingError
from sar_h5.samplers.announcement import PatchAnnouncer

SampleSource = Sized | int | npt.NDArray[np.integer[Any]]
"""A dataset, a number of samples, or the scene number of each sample."""


class SampleTable:
    """The samples of a dataset, of which only what is asked for is read.

    Args:
        source: a dataset, of which ``index["scene"]`` and ``scenes["name"]`` are used where it has them, as
            :class:`SARH5Dataset` does; a number of samples; or integers (n,), the scene number of each sample.

    Attributes:
        count: how many samples there are.

    Raises:
        SettingError: where it is none of these.
    """

    def __init__(self, source: SampleSource) -> None:
        if isinstance(source, np.ndarray) and (source.ndim != 1 or source.dtype.kind not in "iu"):
            raise SettingError(
                f"expected scene numbers as one row of integers; found {source.dtype} of shape {source.shape}"
            )
        self._source = source
        try:
            self.count = len(source) if isinstance(source, Sized) else operator.index(source)
        except TypeError as error:
            raise SettingError(
                "expected a dataset with a length, a number of samples, or an array of scene numbers; found "
                f"{type(source).__name__}: {error}"
            ) from error
        if self.count < 0:
            raise SettingError(f"expected a number of samples, 0 or more; found {self.count}")

    @cached_property
    def scenes(self) -> npt.NDArray[Any]:
        """Integers (count,), the scene of each sample.

        Raises:
            SettingError: where the source does not say.
        """
        scenes = self._index().get("scene")
        if scenes is None:
            raise SettingError(
                "expected a dataset that says which scene each sample is from, as SARH5Dataset does, or the scene "
                f"numbers themselves as an array; found {_describe(self._source)}"
            )
        return np.asarray(scenes)

    @cached_property
    def scene_names(self) -> list[str] | None:
        """Names by scene number; None where the source has none."""
        scenes = getattr(self._source, "scenes", None)
        return [str(name) for name in scenes["name"]] if isinstance(scenes, Mapping) and "name" in scenes else None

    @cached_property
    def announcer(self) -> PatchAnnouncer | None:
        """What announces samples that will be read soon; None where the source is no dataset of one file."""
        path, patches = getattr(self._source, "path", None), self._index().get("patch")
        return PatchAnnouncer(path, patches) if isinstance(path, str) and patches is not None else None

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 by which to know the samples again, wherever the file lies.

        Of the number of samples and, as far as the source has them, of the columns of its index (which patches of the
        file they are, from which scenes and places, and their checksums), of the names of the scenes, and of its own
        ``fingerprint``.
        """
        digest = hashlib.sha256(f"{self.count}".encode())
        for name, column in sorted(self._index().items()):
            digest.update(f"/{name}:".encode())
            digest.update(_column_bytes(np.asarray(column)))
        names = self.scene_names if self._index() else None
        stated = getattr(self._source, "fingerprint", None)
        for part in (*(names or ()), *([stated] if isinstance(stated, str) else ())):
            digest.update(f"/{part}".encode())
        return digest.hexdigest()

    def _index(self) -> Mapping[str, npt.NDArray[Any]]:
        if isinstance(self._source, np.ndarray):
            return {"scene": self._source}
        try:
            index = getattr(self._source, "index", None)  # a list has a method of this name
        except FormatError:
            return {}  # a file of others, without an index
        return index if isinstance(index, Mapping) else {}


def _column_bytes(column: npt.NDArray[Any]) -> bytes:
    """Return the values of a column, numbers in one width, so that how they are stored makes no difference."""
    if column.dtype.kind in "iub":
        return column.astype("<i8").tobytes()
    return column.astype("<f8").tobytes() if column.dtype.kind == "f" else repr(column.tolist()).encode()


def _describe(source: object) -> str:
    return f"the number {source}" if isinstance(source, int) else type(source).__name__
