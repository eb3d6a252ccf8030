"""Small files of patches written with plain h5py, in the package's format or in that of others, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from sar_h5 import schema
from sar_h5.schema import FileSettings
from sar_h5.symmetry import draw_symmetry

LZ4 = hdf5plugin.Blosc("lz4", 5, 1)
UTM = (10.0, 0.0, 399_960.0, 0.0, -10.0, 4_200_000.0)


def make_lut(levels: int) -> np.ndarray:
    """A table of values none of which is as regular as its code."""
    return np.sqrt(np.linspace(0, 1, levels)).astype(np.float32)


def make_codes(shape: tuple[int, int, int], levels: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Codes up to the last one; patch 0 compresses well, patch 1 not at all where the codes fill their dtype."""
    codes = np.random.default_rng(seed).integers(0, levels, shape).astype(dtype)
    codes[0] = np.arange(shape[1] * shape[2]).reshape(shape[1:]) // 5 % levels
    codes[-1].flat[-1] = levels - 1
    return codes


def write_file(path: Path, patches: np.ndarray, lut: np.ndarray | None = None, **dataset: object) -> Path:
    """Write a file as the package does: of two scenes, the first with a geo-reference."""
    count, size, _ = patches.shape
    encoding = "float32" if lut is None else ("dn" if len(lut) == 65536 else "palette")
    settings = FileSettings(14.77, 24.54, size, size // 2 or 1, 0.0, "vv", encoding)
    settings_of_dataset = {"chunks": (1, size, size), "maxshape": (None, size, size), **LZ4, **dataset}
    with h5py.File(path, "w", libver=schema.LIBVER) as file:
        file.attrs.update({"format": schema.FORMAT, "format_version": schema.FORMAT_VERSION, **settings.to_attrs()})
        file.create_dataset(schema.PATCHES, data=patches, **settings_of_dataset).attrs.update(settings.to_attrs())
        if lut is not None:
            file[schema.LUT] = lut
        for column in schema.INDEX_COLUMNS:
            values = np.arange(count) * (3 if column.name == "row" else 7)
            if column.name == "scene":
                values = np.arange(count) % 2
            file[f"{schema.INDEX}/{column.name}"] = column.to_array(values)
        for column in schema.SCENE_COLUMNS:
            rows = ["a", "b"] if column.dtype == "utf-8" else np.zeros((2, column.width) if column.width else 2)
            if column.name == "transform":
                rows = np.array([UTM, (np.nan,) * 6])
            file[f"{schema.SCENES}/{column.name}"] = column.to_array(rows)
    return path


Place = tuple[str, int, int]
"""Scene, row and column of a patch."""


def set_places(path: Path, places: Sequence[Place], polarization: str = "vv", scenes: Sequence[str] = ()) -> Path:
    """Give the patches of a file other places, and the file the scenes they need, in the order of ``scenes`` first."""
    names = list(dict.fromkeys([*scenes, *(scene for scene, _, _ in places)]))
    columns = {"scene": [names.index(scene) for scene, _, _ in places]}
    columns |= {"row": [row for _, row, _ in places], "col": [col for _, _, col in places]}
    with h5py.File(path, "r+", libver=schema.LIBVER) as file:
        file.attrs["polarization"] = file[schema.PATCHES].attrs["polarization"] = polarization
        for column in schema.INDEX_COLUMNS[:3]:
            file[f"{schema.INDEX}/{column.name}"][:] = column.to_array(columns[column.name])
        for column in schema.SCENE_COLUMNS:
            rows = (
                names
                if column.dtype == "utf-8"
                else np.zeros((len(names), column.width) if column.width else len(names))
            )
            del file[f"{schema.SCENES}/{column.name}"]
            file[f"{schema.SCENES}/{column.name}"] = column.to_array(rows)
    return path


def read_plain(
    path: Path, numbers: Iterable[int] | None = None, *, augment: bool = False, seed: int = 0, epoch: int = 0
) -> np.ndarray:
    """Values (n, 1, H, W) as plain h5py and NumPy give them, patch by patch."""
    with h5py.File(path) as file:
        patches = file["patches"] if "patches" in file else _joined_blocks(file)
        lut = file["lut"][:] if "lut" in file else None
        values = []
        for number in range(len(patches)) if numbers is None else numbers:
            patch = patches[number] if lut is None else lut[patches[number]]
            symmetry = draw_symmetry(seed, epoch, number) if augment else 0
            patch = np.rot90(patch, symmetry % 4)
            values.append(np.fliplr(patch) if symmetry > 3 else patch)
    return np.array(values).astype(np.float32)[:, None]


def _joined_blocks(file: h5py.File) -> np.ndarray:
    blocks = file["blocks"][:]
    return np.array([np.block([[blocks[block] for block in row] for row in grid]) for grid in file["index/blocks"]])


def raw_chunks(path: Path) -> list[bool]:
    """Whether HDF5 stored each chunk without its filter."""
    with h5py.File(path) as file:
        patches = file["patches"]
        return [bool(patches.id.get_chunk_info(number).filter_mask) for number in range(len(patches))]


def chunk_place(path: Path, number: int) -> tuple[int, int]:
    """Byte offset and size of a patch's chunk."""
    with h5py.File(path) as file:
        info = file["patches"].id.get_chunk_info(number)
        return info.byte_offset, info.size


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Write into a file in place."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
