"""``shuffle_idx.npy``: the order in which people read the patches of a directory of shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SourceError
from sar_h5.plain_data import read_plain_data
from sar_h5.sources.shard_set import indexed_counts, real_path
from sar_h5.sources.shards import ShardPlace

Numbers = npt.NDArray[np.int64]

MOST_NBYTES = 1 << 30
"""The largest file that is read: the order of 134 million patches."""


def read_shuffle_index(path: Path, directory: Path, shards: Sequence[ShardPlace], *, complete: bool) -> Numbers:
    """Read the order of a directory's patches, as numbers of the patches of some of its shards.

    The file numbers the patches of all shards that ``file_index`` lists, of every polarization and broken ones too;
    or just those of ``shards``, where it is a permutation of them. Those of other shards are left out.

    Args:
        path: the file.
        directory: where ``metadata.npy`` is.
        shards: those in use.
        complete: whether these are all that there are of their polarization, none of them broken.

    Returns:
        int64 (n,), distinct numbers of patches, counted through ``shards``.

    Raises:
        SourceError: where the file cannot be read, is no such order, or nothing tells which patches it numbers.
    """
    ends = np.cumsum([shard.count for shard in shards], dtype=np.int64)
    order = _read_numbers(path)
    if complete and len(order) == ends[-1] and order.max() < ends[-1]:
        return order
    listed = indexed_counts(directory)
    if listed is None:
        if complete:
            _check_range(path, order, int(ends[-1]))
            return order
        raise SourceError(
            f"{path}: nothing tells which patches it numbers, since there is no file_index in metadata.npy and not all "
            f"shards of {directory} are in use; {_WITHOUT}"
        )
    return _renumber(path, order, listed, shards)


_WITHOUT = "shuffled=False reads the patches in the order of the shards"


def _renumber(
    path: Path, order: Numbers, listed: Sequence[tuple[Path | None, int]], shards: Sequence[ShardPlace]
) -> Numbers:
    """Turn numbers among all listed patches into those among the patches of ``shards``; drop the others."""
    used = {real_path(Path(shard.path)): number for number, shard in enumerate(shards)}
    starts = np.concatenate([[0], np.cumsum([count for _, count in listed])]).astype(np.int64)
    _check_range(path, order, int(starts[-1]))
    own_starts = np.concatenate([[0], np.cumsum([shard.count for shard in shards])]).astype(np.int64)
    numbers = [-1 if file is None else used.get(real_path(file), -1) for file, _ in listed]
    entry = np.searchsorted(starts, order, side="right") - 1
    shard = np.array(numbers, dtype=np.int64)[entry]
    kept: Numbers = (own_starts[shard] + order - starts[entry])[shard >= 0]
    if not len(kept):
        raise SourceError(f"{path}: none of its {len(order)} patches lies in the shards in use; {_WITHOUT}")
    return kept


def _read_numbers(path: Path) -> Numbers:
    data = np.asarray(read_plain_data(path, MOST_NBYTES))
    if data.ndim != 1 or data.dtype.kind not in "iu" or not data.size:
        raise SourceError(
            f"{path}: expected one row of patch numbers (integers), found {data.dtype} of shape {data.shape}; save it "
            f"with np.save, or {_WITHOUT}"
        )
    if int(data.min()) < 0:
        raise SourceError(f"{path}: expected patch numbers from 0, found {data.min()}; {_WITHOUT}")
    if data.dtype.kind == "u" and int(data.max()) > np.iinfo(np.int64).max:
        raise SourceError(f"{path}: expected patch numbers, found {data.max()}; {_WITHOUT}")
    order = data.astype(np.int64)
    rising = np.sort(order)
    twice = rising[1:][rising[1:] == rising[:-1]]
    if len(twice):
        raise SourceError(
            f"{path}: expected every patch at most once, found number {twice[0]} several times ({len(twice)} repeated "
            f"entries); make it again with np.random.permutation, or {_WITHOUT}"
        )
    return order


def _check_range(path: Path, order: Numbers, count: int) -> None:
    if order.max() >= count:
        raise SourceError(
            f"{path}: expected numbers of {count} patches, 0 to {count - 1}, found {order.max()}: it belongs to "
            f"another set of shards; {_WITHOUT}"
        )
