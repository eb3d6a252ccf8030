"""Small files in layout "blocks", made from files in layout "patches" with plain h5py, and ways to damage them."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from sar_h5 import schema
from sar_h5.radiometry import Bounds, scale_all_dn
from sar_h5.schema import FileSettings
from sar_h5.text_checksum import seal_texts
from tests.conftest import make_dn
from tests.patch_files import LZ4, make_lut, overwrite, write_file


def to_blocks(source: Path, path: Path, block_size: int, **dataset: object) -> Path:
    """Write the content of a file in the other layout: each distinct block once, in the order of the patches."""
    with h5py.File(source) as old, h5py.File(path, "w", libver=schema.LIBVER) as new:
        settings = FileSettings.from_attrs(old[schema.PATCHES].attrs)
        settings = replace(settings, layout="blocks", block_size=block_size)
        new.attrs.update(dict(old.attrs) | settings.to_attrs())
        for name in old:
            if name != schema.PATCHES:
                old.copy(name, new)
        blocks, grid = cut(old[schema.PATCHES][:], block_size)
        chunked = {"chunks": (1, block_size, block_size), **LZ4, **dataset}
        stored = new.create_dataset(schema.BLOCKS, data=blocks, **chunked)
        stored.attrs.update(dict(old[schema.PATCHES].attrs) | settings.to_attrs())
        new[f"{schema.INDEX}/{schema.BLOCKS}"] = grid
        checksums = np.array(
            [zlib.crc32(stored.id.read_direct_chunk((number, 0, 0))[1]) for number in range(len(blocks))]
        )
        new[schema.BLOCK_CHECKSUM_COLUMN.name] = checksums.astype(np.uint32)
        new[f"{schema.INDEX}/checksum"][:] = [zlib.crc32(checksums[each].astype("<u4").tobytes()) for each in grid]
        seal_texts(new)
    return path


def cut(patches: np.ndarray, block_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks (M, B, B), none twice, and the numbers (N, k, k) of those that make up each patch."""
    count, size, _ = patches.shape
    side = size // block_size
    pieces = patches.reshape(count, side, block_size, side, block_size).swapaxes(2, 3)
    numbers: dict[bytes, int] = {}
    flat = pieces.reshape(-1, block_size, block_size)
    grid = [numbers.setdefault(piece.tobytes(), len(numbers)) for piece in flat]
    blocks = np.frombuffer(b"".join(numbers), patches.dtype).reshape(-1, block_size, block_size)
    return blocks, np.array(grid, np.uint32).reshape(count, side, side)


def overlapping_codes(count: int, size: int, levels: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Codes of patches along a strip, each of which shares half with the next; the first block is flat."""
    width = size // 2 * (count + 1)
    strip = np.random.default_rng(seed).integers(0, levels, (size, width)).astype(dtype)
    strip[: size // 2, : size // 2] = 1
    strip[-1, -1] = levels - 1
    return np.stack([strip[:, size // 2 * number : size // 2 * number + size] for number in range(count)])


def make_overlapping_shards(directory: Path, shuffled: bool = True) -> list[str]:
    """Write two shards of patches of 32 pixels at stride 16 of one scene, dealt to both; return their names.

    Nothing tells the stride, and where patches lie.
    """
    table = scale_all_dn(Bounds(14.77, 24.54))
    scene = table[make_dn(3, (112, 128))]
    patches = np.array([scene[row : row + 32, col : col + 32] for row in range(0, 81, 16) for col in range(0, 97, 16)])
    if shuffled:
        np.random.default_rng(5).shuffle(patches)
    names = [f"s1a-iw-grd-vv-2021011{day}t031653-2021011{day}t031718-03620{day}-043ed0-001.npy" for day in range(2)]
    shards = np.array_split(patches, 2)
    for name, shard in zip(names, shards, strict=True):
        np.save(directory / name, shard)
    metadata = {"file_index": list(zip(names, map(len, shards), strict=True)), "vmin": 14.77, "vmax": 24.54}
    np.save(directory / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    return names


def write_both(
    directory: Path, levels: int = 256, dtype: str = "u1", count: int = 11, size: int = 16
) -> tuple[Path, Path]:
    """The same overlapping patches in layouts "patches" and "blocks"."""
    codes = overlapping_codes(count, size, levels, dtype)
    plain = write_file(directory / "patches.h5", codes, make_lut(levels))
    return plain, to_blocks(plain, directory / "blocks.h5", size // 2)


def block_place(path: Path, number: int) -> tuple[int, int]:
    """Byte offset and size of a block's chunk."""
    with h5py.File(path) as file:
        info = file[schema.BLOCKS].id.get_chunk_info(number)
        return info.byte_offset, info.size


def break_block(path: Path, number: int) -> None:
    """Change three bytes in the middle of a block's chunk."""
    offset, size = block_place(path, number)
    place = offset + size // 2
    content = path.read_bytes()[place : place + 3]
    overwrite(path, place, bytes(byte ^ 0x5A for byte in content))


def blocks_of(path: Path, number: int) -> list[int]:
    """Numbers of the blocks of a patch."""
    with h5py.File(path) as file:
        numbers: list[int] = file[f"{schema.INDEX}/{schema.BLOCKS}"][number].ravel().tolist()
    return numbers


def set_blocks(path: Path, number: int, blocks: list[int]) -> None:
    """Give a patch other blocks, and leave its checksum."""
    with h5py.File(path, "r+", libver=schema.LIBVER) as file:
        grid = file[f"{schema.INDEX}/{schema.BLOCKS}"]
        grid[number] = np.array(blocks, np.uint32).reshape(grid.shape[1:])
