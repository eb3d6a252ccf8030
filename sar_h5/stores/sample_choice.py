"""Which patches of a file, or of joined files, a dataset serves: those of a split, or for which a condition holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sar_h5.contents import read_split
from sar_h5.errors import FormatError, SettingError
from sar_h5.stores.file_patches import FilePatches
from sar_h5.stores.joined_files import JoinedFiles
from sar_h5.stores.patch_join import MISSING
from sar_h5.tables.patch_table import select_patches


def choose_patches(
    store: FilePatches | JoinedFiles,
    split: str | None,
    split_name: str,
    where: str | None,
    manifest: str | Path | None,
) -> npt.NDArray[np.int64] | None:
    """Find the patches that belong to a split, if one is asked for, and for which a condition holds, if there is one.

    Args:
        store: of one file, or several joined.
        split: "train", "val" or "test"; None for any.
        split_name: which of the file's ways of splitting.
        where: a condition on the columns of the files; see :func:`sar_h5.tables.where.parse_where`. Of several files it must
            hold in each that has the patch.
        manifest: a CSV with one row per scene, whose columns may be used too.

    Returns:
        int64 (n,), numbers of the store's patches in order, at least one; None where all are asked for.

    Raises:
        FormatError: where a file has no such split, or it is empty.
        SettingError: where files do not agree on a split, the condition is none, or nothing is left.
    """
    chosen = None if split is None else choose_split(store, split, split_name)
    if where is None:
        return chosen
    holding = _choose_where(store, where, manifest)
    if chosen is None:
        return holding
    both = np.intersect1d(chosen, holding, assume_unique=True)
    if not len(both):
        raise SettingError(f"{store.path}: where={where[:200]!r} holds for none of the patches of split {split}")
    return both


def _choose_where(store: FilePatches | JoinedFiles, where: str, manifest: str | Path | None) -> npt.NDArray[np.int64]:
    if isinstance(store, FilePatches):
        return select_patches(store.path, where, manifest)
    holds = np.ones(store.shape[0], dtype=np.bool_)
    for file, numbers in zip(store.files, store.numbers.T, strict=True):
        mask = np.zeros(file.shape[0], dtype=np.bool_)
        mask[select_patches(file.path, where, manifest)] = True
        holds &= (numbers == MISSING) | mask[numbers]
    if not holds.any():
        raise SettingError(f"where={where[:200]!r} holds for none of the patches that {store.path} have in common")
    return np.flatnonzero(holds)


def choose_split(store: FilePatches | JoinedFiles, split: str, name: str) -> npt.NDArray[np.int64]:
    """Find the patches of a split.

    Args:
        store: of one file, or several joined.
        split: "train", "val" or "test".
        name: which of the file's ways of splitting.

    Returns:
        int64 (n,), numbers of the store's patches, in order.

    Raises:
        FormatError: where a file has no such split, or it is empty, or names patches that the file has not.
        SettingError: where files do not agree on a patch, or none of the joined ones is left.
    """
    members = [_read_members(file, split, name) for file in store.files]
    if isinstance(store, FilePatches):
        return members[0]
    chosen = np.flatnonzero(_agreed(store, members, split, name))
    if len(chosen) == 0:
        raise SettingError(
            f"split {split} of {name!r} is empty: none of its patches is there in all of {store.path}; "
            'how="outer" takes those that any of them has'
        )
    return chosen


def _read_members(file: FilePatches, split: str, name: str) -> npt.NDArray[np.int64]:
    members = read_split(file.path, split, name)
    if members[-1] >= file.shape[0]:
        raise FormatError(
            f"{file.path}: split {name!r} names patch {members[-1]}, but the file has {file.shape[0]}; run "
            f"`sar-h5 verify {file.path}`"
        )
    return members


def _agreed(store: JoinedFiles, members: list[npt.NDArray[np.int64]], split: str, name: str) -> npt.NDArray[np.bool_]:
    wanted = np.zeros(store.shape[0], dtype=np.bool_)
    unwanted = np.zeros(store.shape[0], dtype=np.bool_)
    for file, numbers, chosen in zip(store.files, store.numbers.T, members, strict=True):
        mask = np.zeros(file.shape[0], dtype=np.bool_)
        mask[chosen] = True
        wanted |= (numbers != MISSING) & mask[numbers]
        unwanted |= (numbers != MISSING) & ~mask[numbers]
    differing = int((wanted & unwanted).sum())
    if differing:
        paths = " ".join(file.path for file in store.files)
        raise SettingError(
            f"expected files that agree on split {name!r}; {differing} patches are in {split} in one of {paths}, and "
            f"not in another: split them together with `sar-h5 split {paths} --name {name} --overwrite`"
        )
    return wanted
