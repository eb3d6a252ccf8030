"""What files that are put together from others must have in common with those."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np

from sar_h5 import SceneSplit, convert, split_file
from sar_h5.splits.leakage import LeakageWarning
from tests.written_blocks import read_patches

TABLES = ("lut", "histogram", "block_checksum")


def make_file(
    source: Path | list[Path], out: Path, *, name: str = "vv.h5", split: bool = True, **options: object
) -> Path:
    """Convert, and split by scene."""
    convert(source, out, polarization="vv", **options)  # type: ignore[arg-type]
    path = (out / "vv.h5").rename(out / name)
    if split:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeakageWarning)  # simulated products show the same ground
            split_file(path, SceneSplit((0.5, 0.5, 0)))
    return path


def columns(path: Path) -> dict[str, np.ndarray]:
    """All tables of a file, by their paths."""
    with h5py.File(path) as f:
        groups = [group for group in ("index", "scenes", "splits") if group in f]
        tables = {f"{group}/{name}": f[group][name][:] for group in groups for name in f[group]}
        return tables | {name: f[name][:] for name in TABLES if name in f}


def attribute(path: Path, name: str) -> object:
    """An attribute of the root, None where it is not there."""
    with h5py.File(path) as f:
        return f.attrs.get(name)


def patches(path: Path) -> np.ndarray:
    """All patches as plain h5py gives them, in either layout."""
    return read_patches(path)


def values(path: Path) -> np.ndarray:
    """The values of all patches, as plain h5py gives them."""
    with h5py.File(path) as f:
        return f["lut"][:][read_patches(path)] if "lut" in f else read_patches(path)


RECOVERED = ("index/row", "index/col", "index/component")
"""Tables that only a conversion to blocks fills in, where the source does not tell places."""


def assert_same(one: Path, other: Path, *, but: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> None:
    """Two files hold the same in every table, chunk and attribute, but for history, uuid and what is named."""
    mine, theirs = (
        {name: column for name, column in columns(path).items() if name not in without} for path in (one, other)
    )
    assert mine.keys() == theirs.keys()
    for name, column in mine.items():
        assert column.tobytes() == theirs[name].tobytes(), name
    with h5py.File(one) as a, h5py.File(other) as b:
        pixels = "patches" if "patches" in a else "blocks"
        assert a[pixels].shape == b[pixels].shape
        assert {name: str(value) for name, value in a[pixels].attrs.items()} == {
            name: str(value) for name, value in b[pixels].attrs.items()
        }
        for number in range(len(a[pixels])):
            place = (number, 0, 0)
            assert a[pixels].id.read_direct_chunk(place) == b[pixels].id.read_direct_chunk(place)
        changed = {name for name in {*a.attrs, *b.attrs} if str(a.attrs.get(name)) != str(b.attrs.get(name))}
        assert changed <= {"history", "uuid", "texts_checksum", *but}
        for name in mine:
            assert {key: str(value) for key, value in a[name].attrs.items()} == {
                key: str(value) for key, value in b[name].attrs.items()
            }, name
