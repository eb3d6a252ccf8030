"""Patches in an array in memory, checked once; processes that are started fresh share it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from multiprocessing.context import get_spawning_popen
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.contents import Columns
from sar_h5.decode_threads import DecodeThreads
from sar_h5.errors import FormatError, SettingError
from sar_h5.lookup import Lookup
from sar_h5.schema import UNKNOWN
from sar_h5.stores.unit_interval import CHECKED_NBYTES, describe_bad_values, find_bad_patch


class ArrayPatches:
    """Patches (N, C, H, W) in memory; see :class:`sar_h5.stores.patch_store.PatchStore`.

    The array is used as it is and never written to; it is copied only where it is not float32 in C order, and once
    more, into shared memory, when the first worker is started by spawn or forkserver: all workers, and this process,
    then use that copy.

    Args:
        patches: float32 (N, H, W) or (N, C, H, W) in [0, 1]. float16 and float64 are taken where float32 holds every
            value, so that nothing changes silently.
        index: columns (N,), such as ``scene``, ``row``, ``col``; scene 0 and unknown places (-1) where not given.
        scenes: columns (S,), such as ``name``, ``transform`` (S, 6); one scene without a name where not given.

    Raises:
        FormatError: where a value is NaN or outside [0, 1].
        SettingError: where dtype, shape or the columns are not these.
    """

    path = "patches in memory"

    def __init__(
        self,
        patches: npt.NDArray[Any],
        index: Mapping[str, npt.ArrayLike] | None = None,
        scenes: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        self._patches = _as_patches(patches)
        _check_values(self._patches)
        self._scenes = _scene_columns(scenes or {})
        self._index = _index_columns(index or {}, len(self._patches), len(self._scenes["name"]))
        self._lookup = Lookup(None, self._patches.dtype)
        self._lookup.compile_loop(self._patches.dtype)
        self._shared: torch.Tensor | None = None
        self._threads = DecodeThreads()

    def __getstate__(self) -> dict[str, object]:
        state = self.__dict__ | {"_threads": None}
        if get_spawning_popen() is not None:  # a process on this machine is being started
            if self._shared is None:
                self._shared = _share(self._patches)
                self._patches = self._shared.numpy()
            return state | {"_shared": self._shared, "_patches": None}
        return state | {"_shared": None}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        if self._shared is not None:
            self._patches = self._shared.numpy()
        self._threads = DecodeThreads()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        count, channels, height, width = self._patches.shape
        return count, channels, height, width

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> None:
        """Copy patches; arguments as :meth:`sar_h5.stores.patch_store.PatchStore.values`."""
        patches = self._patches

        def fill(start: int, stop: int) -> None:
            for place in range(start, stop):
                symmetry = 0 if symmetries is None else int(symmetries[place])
                for source, target in zip(patches[numbers[place]], out[place], strict=True):
                    self._lookup.place(source, symmetry, target)

        self._threads.run(fill, len(numbers), threads)

    def index(self) -> Columns:
        """Return the columns given, with ``scene``, ``row`` and ``col``."""
        return self._index

    def scenes(self) -> Columns:
        """Return the columns given, with ``name`` and ``transform``."""
        return self._scenes

    def identity(self) -> str:
        """Return a digest of the patches."""
        return hashlib.sha256(repr(self.shape).encode() + hashlib.sha256(self._patches.data).digest()).hexdigest()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def _share(patches: npt.NDArray[np.float32]) -> torch.Tensor:
    shared = torch.empty(patches.shape, dtype=torch.float32)
    shared.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types
    shared.numpy()[...] = patches
    return shared


def _check_values(patches: npt.NDArray[np.float32]) -> None:
    first = find_bad_patch(patches)
    if first is not None:
        raise FormatError(
            f"expected patches scaled to [0, 1]; patch {first} holds {describe_bad_values(patches[first])}: scale them "
            "with sar_h5.preprocess_sar_complete, with the same vmin and vmax for all"
        )


def _as_patches(patches: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if patches.ndim not in (3, 4) or 0 in patches.shape:
        raise SettingError(f"expected patches as (N, H, W) or (N, C, H, W), none of them 0; found {patches.shape}")
    if patches.dtype.kind != "f":
        raise SettingError(
            f"expected float32 patches in [0, 1], found {patches.dtype}: integers are digital numbers or codes, and "
            "nothing tells their scale; scale them with sar_h5.preprocess_sar_complete, or look them up as lut[codes]"
        )
    patches = patches if patches.ndim == 4 else patches[:, np.newaxis]
    with np.errstate(over="ignore"):
        values: npt.NDArray[np.float32] = np.ascontiguousarray(patches, dtype=np.float32)
    if patches.dtype.itemsize > values.dtype.itemsize:
        _check_exact(patches, values)
    return values


def _check_exact(given: npt.NDArray[Any], values: npt.NDArray[np.float32]) -> None:
    step = max(1, CHECKED_NBYTES // given[:1].nbytes)
    for start in range(0, len(given), step):
        part = slice(start, start + step)
        if not np.array_equal(given[part], values[part], equal_nan=True):
            raise SettingError(
                f"expected float32 patches, found {given.dtype} with values that float32 does not hold: round them "
                "yourself, with patches.astype('float32')"
            )


def _index_columns(given: Mapping[str, npt.ArrayLike], count: int, scenes: int) -> Columns:
    unknown = np.full(count, UNKNOWN, dtype=np.int32)
    columns: Columns = {"scene": np.zeros(count, dtype=np.int32), "row": unknown, "col": unknown}
    columns |= {name: np.asarray(values) for name, values in given.items()}
    for name, values in columns.items():
        if values.shape != (count,) or (name in ("scene", "row", "col") and values.dtype.kind not in "iu"):
            kind = "integers" if name in ("scene", "row", "col") else "values"
            raise SettingError(
                f"expected index[{name!r}] as {count} {kind}, one for each patch; found {values.dtype} of shape "
                f"{values.shape}"
            )
    low, high = int(columns["scene"].min()), int(columns["scene"].max())
    if low < 0 or high >= scenes:
        raise SettingError(f"expected index['scene'] as numbers of the {scenes} scenes, found {low} to {high}")
    return columns


def _scene_columns(given: Mapping[str, npt.ArrayLike]) -> Columns:
    columns: Columns = {name: np.atleast_1d(np.asarray(values)) for name, values in given.items()}
    count = len(next(iter(columns.values()))) if columns else 1
    columns = {"name": np.full(count, "", dtype=object), "transform": np.full((count, 6), np.nan)} | columns
    for name, values in columns.items():
        expected = (count, 6) if name == "transform" else (count,)
        if values.shape != expected:
            raise SettingError(f"expected scenes[{name!r}] of shape {expected}, found {values.shape}")
    return columns
