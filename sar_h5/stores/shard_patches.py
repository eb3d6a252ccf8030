"""Patches of ``.npy`` shards, read where they lie: no conversion, a bounded number of open files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns
from sar_h5.decode_threads import DecodeThreads
from sar_h5.errors import CorruptPatchError
from sar_h5.lookup import Lookup
from sar_h5.schema import UNKNOWN
from sar_h5.sources.shards import NpyShard
from sar_h5.stores.handle_pool import HandlePool
from sar_h5.stores.open_shard import OpenShard, compile_reads
from sar_h5.stores.scene_columns import scene_columns
from sar_h5.stores.unit_interval import all_in_unit_interval, describe_bad_values

MOST_OPEN = 16
"""How many shards are open at once in a process, unless told otherwise."""

_OF_PROCESS = ("_files", "_threads", "_lookup", "_index")
"""Attributes that are not pickled, but made again."""

_ADVICE = "copy or make the shard again; `sar-h5 scan` lists every broken one"


class ShardPatches:
    """Patches of several shards as one row of numbers; see :class:`sar_h5.stores.patch_store.PatchStore`.

    Args:
        path: the directory, as the user knows it.
        shards: at least one, all with patches of one size.
        order: int64 (N,), which patch comes where, counted through the shards; None for all in their order.
        most_open: how many files are open at once in a process, at least 1.
        check: whether each patch that is read must be in [0, 1].

    Raises:
        SettingError: where ``most_open`` is below 1.
    """

    def __init__(
        self,
        path: str,
        shards: Sequence[NpyShard],
        order: npt.NDArray[np.int64] | None = None,
        *,
        most_open: int = MOST_OPEN,
        check: bool = True,
    ) -> None:
        self.path = path
        self._scenes = scene_columns([shard.info for shard in shards])
        self._places = [shard.place for shard in shards]
        self._starts = np.concatenate([[0], np.cumsum([place.count for place in self._places])]).astype(np.int64)
        self._order, self._most_open, self._check = order, most_open, check
        self._start()
        self._lookup.compile_loop(np.dtype(np.float32))
        compile_reads()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in _OF_PROCESS}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        places = self._places
        self._files = HandlePool(lambda number: OpenShard(places[number]), OpenShard.close, self._most_open)
        self._threads = DecodeThreads()
        self._lookup = Lookup(None, np.dtype(np.float32))
        self._index: Columns | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 1, P, P)."""
        count = int(self._starts[-1]) if self._order is None else len(self._order)
        return count, 1, self._places[0].patch_size, self._places[0].patch_size

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> None:
        """Read patches, shard by shard; arguments and errors as :meth:`sar_h5.stores.patch_store.PatchStore.values`."""
        shards, positions = self._find(numbers)
        turn = np.lexsort((positions, shards))
        ends = np.append(np.flatnonzero(np.diff(shards[turn])) + 1, len(turn))

        def fill(start: int, stop: int) -> None:
            while start < stop:
                end = min(stop, int(ends[np.searchsorted(ends, start, side="right")]))
                places = turn[start:end]
                turns = np.zeros(len(places), dtype=np.uint8) if symmetries is None else symmetries[places]
                self._fill(int(shards[places[0]]), positions[places], numbers[places], turns, out, places)
                start = end

        self._threads.run(fill, len(numbers), threads)

    def index(self) -> Columns:
        """Return ``scene``, the number of the shard, and ``position`` in it; ``row`` and ``col`` are unknown."""
        if self._index is None:
            shards, positions = self._find(np.arange(self.shape[0]))
            unknown = np.full(len(shards), UNKNOWN, dtype=np.int32)
            self._index = {"scene": shards.astype(np.int32), "row": unknown, "col": unknown, "position": positions}
        return self._index

    def scenes(self) -> Columns:
        """Return what the names of the shards tell."""
        return self._scenes

    def identity(self) -> str:
        """Return a digest of the shards' names, sizes and order, not of their pixels."""
        names = [(Path(place.path).name, place.count, place.patch_size) for place in self._places]
        digest = hashlib.sha256(repr(names).encode())
        if self._order is not None:
            digest.update(self._order.astype("<i8").tobytes())
        return digest.hexdigest()

    def close(self) -> None:
        """Close the files that this process has open; the next read opens them again."""
        self._files.close()

    def _find(self, numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the shard of each patch, int64 (n,), and its position there, in O(log S) each."""
        stored = numbers if self._order is None else self._order[numbers]
        shards = np.searchsorted(self._starts, stored, side="right") - 1
        return shards, stored - self._starts[shards]

    def _fill(
        self,
        shard: int,
        positions: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.int64],
        symmetries: npt.NDArray[np.uint8],
        out: npt.NDArray[np.float32],
        places: npt.NDArray[np.int64],
    ) -> None:
        """Read patches of one shard, by their positions in it, to ``places`` of ``out``."""
        done, patches = 0, out.reshape(-1, *out.shape[2:])
        try:
            with self._files.lend(shard) as file:
                while done < len(places):
                    rest = slice(done, None)
                    done += file.read_many(positions[rest], symmetries[rest], places[rest], patches, check=self._check)
                    if done < len(places):  # this patch is not as it should be, or there is no way to read many
                        self._read(file, int(positions[done]), int(symmetries[done]), patches[places[done]])
                        done += 1
        except (OSError, ValueError) as error:
            path, number = self._places[shard].path, int(numbers[done])
            reason = f"{path}, patch {positions[done]} of it: {error}"
            raise CorruptPatchError.at(self.path, number, reason, advice=_ADVICE) from error

    def _read(self, file: OpenShard, position: int, symmetry: int, out: npt.NDArray[np.float32]) -> None:
        patch = np.empty_like(out) if symmetry else out
        file.read(position, patch)
        if self._check and not all_in_unit_interval(patch):
            raise ValueError(f"it holds {describe_bad_values(patch)}, expected values in [0, 1]")
        if symmetry:
            self._lookup.place(patch, symmetry, out)
