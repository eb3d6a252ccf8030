"""What layout "blocks" comes to in a file: how many blocks there are, and how many patches share them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sar_h5.shared_blocks.grid import SMALL_BLOCK, choose_block_size


@dataclass(frozen=True)
class BlockSharing:
    """How a file shares its blocks.

    Attributes:
        block_size: side of a block in pixels.
        count: how many are stored.
        used: how many there would be if each patch had its own.
        sharing_patches: how many patches share at least one block with another patch.
        patches: how many there are.
    """

    block_size: int
    count: int
    used: int
    sharing_patches: int
    patches: int

    @property
    def ratio(self) -> float:
        """How many patches use a block on average."""
        return self.used / self.count if self.count else 1.0

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return dataclasses.asdict(self) | {"ratio": self.ratio}

    def __str__(self) -> str:
        return (
            f"{self.count:,} of {self.block_size} x {self.block_size} px, each used {self.ratio:.2f} times; "
            f"{self.sharing_patches:,} of {self.patches:,} patches share some"
        )

    def notes(self, patch_size: int, stride: int) -> list[str]:
        """Return why layout "patches" would be better, where it would.

        Args:
            patch_size: side of a patch in pixels.
            stride: distance of neighbouring patches in pixels, -1 where unknown.
        """
        better = "--layout patches is better here: it reads faster and takes no more"
        if stride >= patch_size:
            return [f"{better}, since with a stride of {stride} px patches of {patch_size} px do not overlap"]
        if not self.sharing_patches:
            known = (
                "though the stride says that they overlap: is it right, and has nothing been done to them since?"
                if stride > 0
                else "and nothing tells their stride: --stride does, where you know it"
            )
            return [f"{better}, since no two patches have a block of {self.block_size} px in common, {known}"]
        if self.block_size < min(SMALL_BLOCK, patch_size):
            return [
                f"--layout patches may be better here: with stride {stride} patches of {patch_size} px only share "
                f"blocks of {self.block_size} px, {(patch_size // self.block_size) ** 2:,} to read for each patch; "
                f"a stride of {patch_size // 2} makes blocks of {choose_block_size(patch_size, patch_size // 2)}"
            ]
        return []


def measure_sharing(grids: Sequence[bytes | bytearray], block_size: int, patch_size: int) -> BlockSharing:
    """Count the blocks of a file, and the patches that share them.

    Args:
        grids: of each scene, the numbers of the blocks of its patches, ``<u4``.
        block_size: side of a block in pixels.
        patch_size: side of a patch in pixels.
    """
    numbers = [np.frombuffer(grid, "<u4").reshape(-1, (patch_size // block_size) ** 2) for grid in grids]
    uses = np.zeros(max((int(grid.max()) + 1 for grid in numbers if grid.size), default=0), np.uint32)
    for grid in numbers:
        ordered = np.sort(grid, axis=1)  # a block that occurs twice in one patch is not shared by that
        first = np.ones(grid.shape, dtype=bool)
        np.not_equal(ordered[:, 1:], ordered[:, :-1], out=first[:, 1:])
        uses += np.bincount(ordered[first], minlength=len(uses)).astype(np.uint32)
    sharing = sum(int((uses[grid] > 1).any(axis=1).sum()) for grid in numbers)
    return BlockSharing(block_size, len(uses), sum(grid.size for grid in numbers), sharing, sum(map(len, numbers)))
