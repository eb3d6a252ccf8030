"""The compiled loop of recovering places: patches joined into components, each with its offset, without the GIL."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sar_h5.compiled import compiled

Numbers = npt.NDArray[np.int64]


@compiled
def find_root(parent: Numbers, row: Numbers, col: Numbers, node: int) -> int:
    """Return the root of a node's tree, and make all nodes on the way its children."""
    root, down, right = node, 0, 0
    while parent[root] != root:
        down, right = down + row[root], right + col[root]
        root = parent[root]
    while parent[node] != root and node != root:
        step_down, step_right, above = row[node], col[node], parent[node]
        parent[node], row[node], col[node] = root, down, right
        down, right, node = down - step_down, right - step_right, above
    return root


@compiled
def join_places(
    one: Numbers,
    other: Numbers,
    down: Numbers,
    right: Numbers,
    parent: Numbers,
    row: Numbers,
    col: Numbers,
    is_sound: npt.NDArray[np.bool_],
) -> None:
    """Join nodes whose relative places are known: a disjoint-set forest whose edges carry offsets.

    Args:
        one: int64 (E,), the first node of each pair.
        other: int64 (E,), the second one.
        down: int64 (E,), how much farther down the second of each pair lies.
        right: int64 (E,), how much farther right.
        parent: int64 (N,), filled: the root of each node's component.
        row: int64 (N,), filled: row of each node relative to that root's.
        col: int64 (N,), filled: column likewise.
        is_sound: bool (N,), filled: for each root, whether no pair contradicts the others.
    """
    size = np.ones(len(parent), np.int64)
    for node in range(len(parent)):
        parent[node], row[node], col[node], is_sound[node] = node, 0, 0, True
    for pair in range(len(one)):
        first, second = one[pair], other[pair]
        first_root, second_root = find_root(parent, row, col, first), find_root(parent, row, col, second)
        # Where the second root lies, seen from the first one, if this pair is right.
        root_down = row[first] + down[pair] - row[second]
        root_right = col[first] + right[pair] - col[second]
        if first_root == second_root:
            if root_down != 0 or root_right != 0:
                is_sound[first_root] = False
            continue
        if size[first_root] < size[second_root]:
            first_root, second_root = second_root, first_root
            root_down, root_right = -root_down, -root_right
        parent[second_root], row[second_root], col[second_root] = first_root, root_down, root_right
        size[first_root] += size[second_root]
        is_sound[first_root] &= is_sound[second_root]
    for node in range(len(parent)):
        find_root(parent, row, col, node)
