"""Which patches of a file, or of joined files, a dataset serves: those of a split, or those that the user names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sar_h5.contents import read_split
from sar_h5.errors import SettingError
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
        FormatError: where a file has no such split, or it is empty.
        SettingError: where files do not agree on a patch.
    """
    if isinstance(store, FilePatches):
        return read_split(store.path, split, name)
    return np.flatnonzero(_agreed(store, [read_split(file.path, split, name) for file in store.files], split, name))


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
