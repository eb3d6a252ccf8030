"""Files to export, and how those that come back are compared with them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from sar_h5 import convert, schema, verify
from sar_h5.schema import INDEX_COLUMNS, SCENE_COLUMNS

OF_SOURCE = {"source_path", "source_size", "source_checksum"}
"""What a file says of what it was made from: another file after a round trip."""

HOSTILE_NAMES = [
    "../../escaped", "/sar-h5-absolute", "..", "a\0b", "<a&b>", "C:\\Windows\\x", "con", "x" * 300, "new\nline", ".hidden", "X.SAFE",
    "measurement", "same", "SAME", 'say "hi"', "\N{SNOWMAN} ", "", "a/b\\c", "-rf", "NUL.tif", "metadata",
]  # fmt: skip


def make_file(products: Path, out: Path, polarization: str = "vv", **settings: object) -> Path:
    """Convert simulated products into patches of 64 pixels."""
    chosen = {"patch_size": 64, "stride": 48, "min_valid": 0.3, **settings}
    (summary,) = convert(products, out, polarization=polarization, **chosen)  # type: ignore[arg-type]
    return Path(summary.path)


def read_values(path: Path) -> np.ndarray:
    """Values (N, P, P) by plain h5py."""
    with h5py.File(path) as file:
        patches: np.ndarray = file["patches"][:]
        return file["lut"][:][patches] if "lut" in file else patches


def assert_same(one: Path, other: Path) -> None:
    """Values, places, scenes, geo-references and settings are equal, and the second file is sound."""
    np.testing.assert_array_equal(read_values(one).view(np.uint32), read_values(other).view(np.uint32))
    with h5py.File(one) as first, h5py.File(other) as second:
        for column in INDEX_COLUMNS:
            if column.name != "checksum":
                name = f"index/{column.name}"
                np.testing.assert_array_equal(first[name][:], second[name][:], err_msg=name)
        for column in SCENE_COLUMNS:
            if column.name not in OF_SOURCE:
                name = f"scenes/{column.name}"
                np.testing.assert_array_equal(first[name][:], second[name][:], err_msg=name)
        np.testing.assert_array_equal(first["scenes/gcps"][:], second["scenes/gcps"][:])
        for name in ("vmin", "vmax", "patch_size", "stride", "polarization"):
            assert first.attrs[name] == second.attrs[name], name
    assert verify(other).problems == ()


def digest(path: Path) -> str:
    with h5py.File(path) as file:
        return str(file.attrs["content_digest"])


def rename_scenes(path: Path, names: list[str], paths: list[str] | None = None) -> None:
    """Give a file as many scenes as there are names; patches are dealt to them in order, as evenly as can be."""
    with h5py.File(path, "a") as file:
        count = len(file["index/scene"])
        file["index/scene"][:] = np.arange(count) * len(names) // count
        for column in SCENE_COLUMNS:
            place = f"scenes/{column.name}"
            old = file[place][0]
            values = {"name": names, "source_path": paths or names}.get(column.name, [old] * len(names))
            del file[place]
            if column.dtype == "utf-8":
                texts = [value.decode() if isinstance(value, bytes) else value for value in values]
                file[place] = schema.text_array(texts)
            else:
                file[place] = np.array(values)
