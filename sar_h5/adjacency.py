"""Where patches of a scene lie relative to each other, told by the blocks of pixels that they share. Pure arithmetic.

Shards hold patches without their places. Patches that overlap hold equal blocks, though, and a block of speckle occurs
at one place only: two patches that share one lie as far apart as its places in them. What follows from that is used;
what does not is left unknown:

* Blocks without speckle (water at the lower bound, a border) may be equal at several places. One of too few values (see
  ``shared_blocks.telling``), or that stands twice at the same place of a patch, or twice in a patch, or in two patches
  whose other blocks do not agree, tells nothing.
* Pairs that contradict each other are given up, with all patches that hang together by them.
* Patches that hang together form a component. Nothing tells how components lie to each other; they are put one below
  the other, a patch apart. Where a block that tells nothing occurs in several of them, they might overlap after all:
  then only the largest keeps its places.
* A patch that hangs together with no other has no place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.adjacency_kernels import join_places
from sar_h5.schema import UNKNOWN

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Blocks = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class RecoveredPlaces:
    """Where patches lie, in blocks.

    Attributes:
        row, col: int64 (n,), top-left corners, -1 where unknown; comparable within a component.
        component: int64 (n,), from 0 in the order of their first patches; -1 where unknown.
    """

    row: Numbers
    col: Numbers
    component: Numbers

    @property
    def known(self) -> Mask:
        """Whether each patch has a place, bool (n,)."""
        known: Mask = self.component != UNKNOWN
        return known


@dataclass(frozen=True)
class _Pairs:
    """Patches that share a block: where the second lies, seen from the first.

    Attributes:
        block: number of the block.
        one, other: numbers of the patches.
        down, right: in blocks, less than a patch.
    """

    block: Numbers
    one: Numbers
    other: Numbers
    down: Numbers
    right: Numbers

    def __getitem__(self, chosen: Mask) -> _Pairs:
        return _Pairs(self.block[chosen], self.one[chosen], self.other[chosen], self.down[chosen], self.right[chosen])


@dataclass(frozen=True)
class _Components:
    """Patches that hang together.

    Attributes:
        root: int64 (n,), a patch that stands for its component.
        row, col: int64 (n,), place relative to the root's.
        is_sound: bool (n,), for each patch, whether everything in its component fits.
    """

    root: Numbers
    row: Numbers
    col: Numbers
    is_sound: Mask


def recover_places(blocks: Blocks, telling_content: Mask | None = None) -> RecoveredPlaces:
    """Find out where the patches of one scene lie.

    Args:
        blocks: unsigned (n, k, k), the numbers of the blocks that make up each patch; equal numbers, equal pixels.
        telling_content: bool (M,), of each block, whether pixels like its own are found at one place only, as those of
            speckle are; None where that holds for all of them.
    """
    pairs = _pair_up(blocks)
    telling = ~np.isin(pairs.block, _repeated(blocks))
    if telling_content is not None:
        telling &= telling_content[pairs.block]
    agreeing = _agree(blocks, pairs)
    telling &= ~np.isin(pairs.block, pairs.block[~agreeing])
    mute = np.unique(pairs.block[~telling])
    pairs = pairs[telling]
    components = _join(blocks, pairs)
    if not components.is_sound.all():
        # A single block in common, at the corners of two patches, is the weakest evidence: try without.
        weak = ~components.is_sound[pairs.one] & _share_one(pairs, blocks.shape[1])
        components = _join(blocks, pairs[~weak])
        # What is not believed to join them may do so nevertheless, where nothing else tells how they lie.
        mute = np.union1d(mute, pairs.block[weak])
    kept = components.is_sound & _hang_together(components) & ~_might_overlap_larger(blocks, components, mute)
    return _lay_out(components, kept, blocks.shape[1])


def _pair_up(blocks: Blocks) -> _Pairs:
    """Return each place of a block with the next place of the same block."""
    side = blocks.shape[1]
    flat = blocks.reshape(-1).astype(np.int64)
    order = np.argsort(flat, kind="stable")
    sorted_blocks = flat[order]
    same = np.flatnonzero(sorted_blocks[:-1] == sorted_blocks[1:])
    first, second = order[same], order[same + 1]
    (one, first_row, first_col), (other, second_row, second_col) = (
        (places // side**2, places % side**2 // side, places % side) for places in (first, second)
    )
    return _Pairs(sorted_blocks[same], one, other, first_row - second_row, first_col - second_col)


def _repeated(blocks: Blocks) -> Numbers:
    """Return the blocks that stand in a patch twice, or in two patches at the same place."""
    count, side, _ = blocks.shape
    flat = blocks.reshape(-1).astype(np.int64)
    places = np.tile(np.arange(side**2), count)
    patches = np.repeat(np.arange(count), side**2)
    found = []
    for apart in (places, patches):
        order = np.lexsort((apart, flat))
        values, group = flat[order], apart[order]
        found.append(values[1:][(values[1:] == values[:-1]) & (group[1:] == group[:-1])])
    return np.unique(np.concatenate(found))


def _agree(blocks: Blocks, pairs: _Pairs) -> Mask:
    """Return of which pairs all blocks are equal that lie in both patches."""
    side = blocks.shape[1]
    agree = np.ones(len(pairs.one), np.bool_)
    for down in range(1 - side, side):
        for right in range(1 - side, side):
            some = np.flatnonzero((pairs.down == down) & (pairs.right == right))
            if not len(some):
                continue
            rows, cols = slice(max(0, down), side + min(0, down)), slice(max(0, right), side + min(0, right))
            moved_rows = slice(rows.start - down, rows.stop - down)
            moved_cols = slice(cols.start - right, cols.stop - right)
            first, second = blocks[pairs.one[some]], blocks[pairs.other[some]]
            agree[some] = (first[:, rows, cols] == second[:, moved_rows, moved_cols]).all(axis=(1, 2))
    return agree


def _share_one(pairs: _Pairs, side: int) -> Mask:
    alone: Mask = (side - abs(pairs.down)) * (side - abs(pairs.right)) == 1
    return alone


def _join(blocks: Blocks, pairs: _Pairs) -> _Components:
    count = len(blocks)
    root, row, col = (np.empty(count, np.int64) for _ in range(3))
    is_sound = np.empty(count, np.bool_)
    join_places(pairs.one, pairs.other, pairs.down, pairs.right, root, row, col, is_sound)
    is_sound &= ~np.isin(np.arange(count), root[_contradicted(blocks, root, row, col)])
    return _Components(root, row, col, is_sound[root])


def _contradicted(blocks: Blocks, root: Numbers, row: Numbers, col: Numbers) -> Numbers:
    """Return patches at places where another patch of the component has another block, or has the very same place."""
    side = blocks.shape[1]
    cells = np.concatenate(
        [
            np.stack([root, row + down, col + right, blocks[:, down, right].astype(np.int64)])
            for down, right in np.ndindex(side, side)
        ],
        axis=1,
    )
    order = np.lexsort(cells[::-1])
    cells = cells[:, order]
    same_cell = (cells[:3, 1:] == cells[:3, :-1]).all(axis=0)
    others = order[1:][same_cell & (cells[3, 1:] != cells[3, :-1])] % len(root)
    places = np.lexsort((col, row, root))
    twice = np.ones(max(len(root) - 1, 0), np.bool_)
    for axis in (root, row, col):
        twice &= axis[places][1:] == axis[places][:-1]
    return np.concatenate([others, places[1:][twice]])


def _hang_together(components: _Components) -> Mask:
    """Return which patches have another one in their component."""
    sizes = np.bincount(components.root, minlength=len(components.root))
    together: Mask = sizes[components.root] > 1
    return together


def _might_overlap_larger(blocks: Blocks, components: _Components, mute: Numbers) -> Mask:
    """Return which patches are of components that share blocks that tell nothing with a larger one."""
    patches, rows, cols = np.nonzero(np.isin(blocks, mute))
    shared = blocks[patches, rows, cols].astype(np.int64)
    sizes = np.bincount(components.root, weights=components.is_sound, minlength=len(blocks)).astype(np.int64)
    doubtful: Mask = ~keep_largest(shared, components.root[patches], sizes)[components.root]
    return doubtful


def keep_largest(blocks: Numbers, owners: Numbers, sizes: Numbers) -> Mask:
    """Choose, of components that may overlap since they have blocks in common, the largest; of equal ones the first.

    Args:
        blocks: int64 (m,), numbers of blocks.
        owners: int64 (m,), the component that has each of them.
        sizes: int64 (C,), of all components.

    Returns:
        bool (C,).
    """
    count = len(sizes)
    order = np.argsort(blocks, kind="stable")
    linked = np.flatnonzero(blocks[order][1:] == blocks[order][:-1])
    none = np.zeros(len(linked), np.int64)
    group, row, col, is_sound = *(np.empty(count, np.int64) for _ in range(3)), np.empty(count, np.bool_)
    # Components as nodes, joined where they share a block: the same loop, with no offsets.
    join_places(owners[order][linked], owners[order][linked + 1], none, none, group, row, col, is_sound)
    ranked = np.lexsort((-np.arange(count), sizes))  # the largest component last; of equal ones the first
    best = np.empty(count, np.int64)
    best[group[ranked]] = ranked
    chosen: Mask = best[group] == np.arange(count)
    return chosen


def _lay_out(components: _Components, kept: Mask, side: int) -> RecoveredPlaces:
    """Number the components and put them one below the other, each with its corner at column 0."""
    count = len(kept)
    row, col, component = (np.full(count, UNKNOWN, np.int64) for _ in range(3))
    chosen = np.flatnonzero(kept)
    if not len(chosen):
        return RecoveredPlaces(row, col, component)
    roots, first, member = np.unique(components.root[chosen], return_index=True, return_inverse=True)
    rank = np.empty(len(roots), np.int64)
    rank[np.argsort(first)] = np.arange(len(roots))
    component[chosen] = rank[member]
    tops, lefts, bottoms = (np.full(len(roots), start, np.int64) for start in (_FAR, _FAR, -_FAR))
    np.minimum.at(tops, component[chosen], components.row[chosen])
    np.minimum.at(lefts, component[chosen], components.col[chosen])
    np.maximum.at(bottoms, component[chosen], components.row[chosen])
    heights = bottoms - tops + 2 * side  # its last patch, and as much again between it and the next component
    starts = np.cumsum(heights) - heights
    row[chosen] = components.row[chosen] - tops[component[chosen]] + starts[component[chosen]]
    col[chosen] = components.col[chosen] - lefts[component[chosen]]
    return RecoveredPlaces(row, col, component)


_FAR = np.iinfo(np.int64).max
