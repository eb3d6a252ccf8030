"""Which patches of a file, or of joined files, a dataset serves: those of a split, or those that the user names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sar_h5.contents import read_split
from sar_h5.errors import FormatError, SettingError
from sar_h5.file_patches import FilePatches
from sar_h5.joined_files import JoinedFiles
from sar_h5.patch_join import MISSING


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
