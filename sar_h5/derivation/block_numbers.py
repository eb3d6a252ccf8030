"""The numbers of blocks in a new file: by first use; equal blocks of several files, or of cut patches, have one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.derivation.taken_patch import TakenPatch
from sar_h5.shared_blocks.contents import BlockContents
from sar_h5.shared_blocks.table import Hashes

Blocks = npt.NDArray[np.generic]
Numbers = npt.NDArray[np.int64]

_NONE = -1


class BlockNumbers:
    """Numbers the blocks of patches, which come in the order of the new file.

    A block of a file has one number, however often patches use it. Beyond that, blocks of patches that are to be
    matched get the number of an equal one: at the same place of the scene, by a strong hash; or, where ``contents`` is
    there, with the same hash and the same bytes.

    Args:
        counts: how many blocks each piece's file has; 0 where it has patches.
        block_size: side of a block in pixels.
        per_side: how many blocks make up a side of a patch.
        contents: finds blocks by what they hold; then all patches must be matched, or none.

    Attributes:
        count: how many numbers have been given.
    """

    def __init__(self, counts: Sequence[int], block_size: int, per_side: int, contents: BlockContents | None) -> None:
        self._known = [np.full(count, _NONE, np.int64) for count in counts]
        self._steps = range(0, block_size * per_side, block_size)
        self._contents = contents
        self._scene = _NONE
        self._places: dict[int, dict[int, tuple[int, bytes]]] = {}
        self.count = 0

    def number(self, taken: TakenPatch, blocks: Blocks, hashes: Hashes | None) -> tuple[Numbers, list[int]]:
        """Number the blocks of a patch.

        Args:
            taken: the patch.
            blocks: (k * k, B, B), row by row.
            hashes: uint64 (k * k, 2), where it is to be matched.

        Returns:
            int64 (k * k,); and which of them have a number now that had none before, in its order.
        """
        known = self._known[taken.piece]
        sources = np.full(len(blocks), _NONE) if taken.blocks is None else taken.blocks
        named = sources >= 0
        numbers = np.full(len(blocks), _NONE)
        numbers[named] = known[sources[named]]
        _, first = np.unique(np.where(named, sources, -1 - np.arange(len(blocks))), return_index=True)
        unknown = np.sort(first[numbers[first] == _NONE])
        new: list[int] = unknown[self._match(taken, unknown, blocks, hashes, numbers)].tolist()
        self.count += len(new)
        here = unknown[named[unknown]]
        known[sources[here]] = numbers[here]
        numbers[named] = known[sources[named]]
        if hashes is not None and self._contents is None:
            self._note(taken, numbers, hashes)
        return numbers, new

    def _match(
        self, taken: TakenPatch, positions: Numbers, blocks: Blocks, hashes: Hashes | None, numbers: Numbers
    ) -> list[int]:
        """Fill in the numbers of blocks that have none: of equal ones, or the next; return which are the next ones."""
        if hashes is not None and self._contents is not None:
            found = self._contents.number(blocks[positions], hashes[positions], 1, self.count)
            numbers[positions] = found.numbers[:, 0]
            return found.new
        new: list[int] = []
        for which, position in enumerate(positions.tolist()):
            following = self.count + len(new)
            numbers[position] = following if hashes is None else self._find(taken, position, hashes, following)
            if numbers[position] == following:
                new.append(which)
        return new

    def _find(self, taken: TakenPatch, position: int, hashes: Hashes, following: int) -> int:
        """Return the number of the block at a block's place, or the following one if there is none, or another."""
        row, col = self._place(taken, position)
        number, content = self._at(taken, row).get(col, (following, b""))
        return number if content == hashes[position].tobytes() else following

    def _note(self, taken: TakenPatch, numbers: Numbers, hashes: Hashes) -> None:
        for position, number in enumerate(numbers.tolist()):
            row, col = self._place(taken, position)
            self._at(taken, row).setdefault(col, (number, hashes[position].tobytes()))

    def _at(self, taken: TakenPatch, row: int) -> dict[int, tuple[int, bytes]]:
        """Return what lies at a row of a scene; rows above the patch are forgotten, since no later one has them."""
        if taken.scene != self._scene:
            self._places.clear()
            self._scene = taken.scene
        for above in [known for known in self._places if known < taken.row]:
            del self._places[above]
        return self._places.setdefault(row, {})

    def _place(self, taken: TakenPatch, position: int) -> tuple[int, int]:
        down, right = divmod(position, len(self._steps))
        return taken.row + self._steps[down], taken.col + self._steps[right]
