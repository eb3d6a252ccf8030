"""Files of layout "blocks", looked at with plain h5py: their patches put together again, and what must hold in them."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the Blosc filter, as plain h5py users do
import numpy as np

VOLATILE = ("uuid", "history", "software", "texts_checksum")
OF_LAYOUT = ("layout", "block_size")


def read_patches(path: Path) -> np.ndarray:
    """Return the stored patches (N, P, P) of a file of either layout."""
    with h5py.File(path) as f:
        if "patches" in f:
            return f["patches"][:]
        grid, blocks = f["index/blocks"][:], f["blocks"][:]
        count, side, size = len(grid), grid.shape[1], blocks.shape[1]
        return blocks[grid].swapaxes(2, 3).reshape(count, side * size, side * size)


def check_blocks(path: Path) -> None:
    """Assert that each block is used, and that all checksums are right."""
    with h5py.File(path) as f:
        assert f.attrs["layout"] == f["blocks"].attrs["layout"] == "blocks"
        assert f.attrs["block_size"] == f["blocks"].attrs["block_size"] == f["blocks"].shape[1] == f["blocks"].shape[2]
        assert f["blocks"].chunks == (1, *f["blocks"].shape[1:])
        assert f.attrs["patch_size"] == f["index/blocks"].shape[1] * f.attrs["block_size"]
        assert "patches" not in f
        grid, checksums = f["index/blocks"][:], f["block_checksum"][:]
        assert (grid.dtype, checksums.dtype) == ("<u4", "<u4")
        assert sorted(set(grid.reshape(-1).tolist())) == list(range(len(f["blocks"])))
        for number, checksum in enumerate(checksums):
            mask, frame = f["blocks"].id.read_direct_chunk((number, 0, 0))
            assert (mask, zlib.crc32(frame)) == (0, checksum)
        expected = [zlib.crc32(checksums[numbers].tobytes()) for numbers in grid]
        assert f["index/checksum"][:].tolist() == expected


def assert_same_patches(blocks: Path, patches: Path) -> None:
    """Assert that a file of layout "blocks" says what one of layout "patches" does, bit for bit."""
    check_blocks(blocks)
    ours, theirs = read_patches(blocks), read_patches(patches)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.tobytes() == theirs.tobytes()
    dumps = [dump(path) for path in (blocks, patches)]
    if component := dumps[0].pop("index/component", None):  # what only this layout can tell, of what nobody told
        del dumps[0]["index/component attributes"]
        dumps[0] |= {f"index/{axis}": b"\xff" * len(component) for axis in ("row", "col")}
    for found in dumps:
        for name in [
            name for name in found if name.startswith(("blocks", "patches", "index/blocks", "block_checksum"))
        ]:
            del found[name]
        del found["index/checksum"]
        found[""] = {name: value for name, value in found[""].items() if name not in OF_LAYOUT}
    assert dumps[0] == dumps[1]


def dump(path: Path) -> dict[str, Any]:
    """Return everything in a file but when and as which copy it was made; chunks of pixels as they are stored."""
    with h5py.File(path) as f:
        found: dict[str, Any] = {"": {name: repr(f.attrs[name]) for name in f.attrs if name not in VOLATILE}}

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            found[f"{name} attributes"] = {key: repr(value) for key, value in item.attrs.items()}
            if isinstance(item, h5py.Dataset):
                pixels = name in ("blocks", "patches")
                found[name] = (
                    [item.id.read_direct_chunk((i, 0, 0)) for i in range(len(item))] if pixels else item[()].tobytes()
                )

        f.visititems(visit)
    return found
