"""Whether files can be joined, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns
from sar_h5.errors import FormatError, SettingError
from sar_h5.schema import COMPONENT_COLUMN, UNKNOWN
from sar_h5.stores.file_patches import FilePatches
from sar_h5.stores.patch_join import Key


def check_shapes(files: Sequence[FilePatches]) -> None:
    """Raise SettingError where a file tells no positions, or its patches have another size."""
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


def read_key(file: FilePatches, renumbered: npt.NDArray[np.int64]) -> Key:
    """Read by what the patches of a file are joined.

    Args:
        file: the file.
        renumbered: int64 (S,), the number of each of its scenes in the list of all files.

    Returns:
        Scene in that list, row and column of each patch, integers (N,) each.

    Raises:
        FormatError: where they are not such numbers.
        SettingError: where positions are unknown.
    """
    index = file.index()
    if COMPONENT_COLUMN.name in index:
        raise SettingError(
            f"{file.path}: its patches' rows and columns were recovered from the pixels that they share, and nothing "
            "tells how they lie to those of other files; such a file cannot be joined with another. Convert the "
            "products themselves, or stack the channels before"
        )
    _check_column(file, "scene", index["scene"], 0, len(renumbered))
    for name in ("row", "col"):
        _check_column(file, name, index[name], UNKNOWN, np.iinfo(np.int32).max)
    unknown = int(((index["row"] == UNKNOWN) | (index["col"] == UNKNOWN)).sum())
    if unknown:
        raise SettingError(
            f"{file.path}: {unknown} of its {len(index['row'])} patches do not know their row and column, as those "
            "made from shards; such a file cannot be joined with another. Convert the products themselves, or stack "
            "the channels before"
        )
    return renumbered[index["scene"]], index["row"], index["col"]


def why_nothing_in_common(files: Sequence[FilePatches], scenes: Sequence[Columns]) -> str:
    """Say why no patch was found to join, and what to do; ``scenes`` are the columns of each file."""
    for file in files:
        if not file.shape[0]:
            return f"{file.path} holds no patch; there is nothing to join"
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


def _check_column(file: FilePatches, name: str, values: npt.NDArray[Any], start: int, stop: int) -> None:
    if values.ndim != 1 or values.dtype.kind not in "iu":
        found = f"{values.dtype} of shape {values.shape}"
    elif len(values) and (values.min() < start or values.max() >= stop):
        found = f"{values.min()} to {values.max()}"
    else:
        return
    raise FormatError(
        f"{file.path}: expected integers from {start} to {stop - 1} in /index/{name}, found {found}; run "
        f"`sar-h5 verify {file.path}`"
    )


def _few(names: npt.NDArray[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "no scene"
