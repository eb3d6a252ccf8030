"""HDF5 files that somebody made to do harm: each departs from a sound one in one way, and leads or lies somewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from sar_h5 import schema
from tests.patch_files import LZ4, make_codes, make_lut, write_file

Spoil = Callable[[h5py.File, Path], object]
"""Changes an open sound file; the path is that of another HDF5 file, outside the directory of the first."""

HUGE = 1 << 40


def replace(file: h5py.File, name: str, **dataset: object) -> h5py.Dataset:
    """Put another dataset in the place of one, with the attributes of the old one."""
    kept = dict(file[name].attrs) if name in file else {}
    if name in file:
        del file[name]
    made = file.create_dataset(name, **dataset)
    made.attrs.update(kept)
    return made


def replace_link(file: h5py.File, name: str, link: object) -> None:
    """Put a link in the place of an object."""
    if name in file:
        del file[name]
    file[name] = link


def make_virtual(file: h5py.File, name: str, other: Path) -> None:
    """Make a dataset a view of one in another file."""
    shape, dtype = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
    layout[:] = h5py.VirtualSource(str(other), name, shape=shape, dtype=dtype)
    kept = dict(file[name].attrs)
    del file[name]
    file.create_virtual_dataset(name, layout)
    file[name].attrs.update(kept)


def make_external(file: h5py.File, name: str, other: Path, offset: int = 0) -> None:
    """Have the data of a dataset lie in another file, whatever that is."""
    shape, dtype = file[name].shape, file[name].dtype
    nbytes = int(np.prod(shape)) * dtype.itemsize
    replace(file, name, shape=shape, dtype=dtype, external=[(str(other), offset, nbytes)])


def nest(file: h5py.File, depth: int) -> None:
    """Make groups within groups."""
    group = file.id
    create = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    for _ in range(depth):
        group = h5py.h5g.create(group, b"g", create)


LEADS_OUTSIDE: dict[str, Spoil] = {
    "patches behind an external link": lambda f, other: replace_link(
        f, "patches", h5py.ExternalLink(other, "/patches")
    ),
    "lut behind an external link": lambda f, other: replace_link(f, "lut", h5py.ExternalLink(other, "/lut")),
    "index behind an external link": lambda f, other: replace_link(f, "index", h5py.ExternalLink(other, "/index")),
    "a column behind an external link": lambda f, other: replace_link(
        f, "scenes/name", h5py.ExternalLink(other, "/scenes/name")
    ),
    "splits behind an external link": lambda f, other: replace_link(f, "splits", h5py.ExternalLink(other, "/splits")),
    "an external link that nobody asks for": lambda f, other: replace_link(
        f, "a/b/c", h5py.ExternalLink(other, "/patches")
    ),
    "a soft link to an external link": lambda f, other: (
        replace_link(f, "x", h5py.ExternalLink(other, "/")),
        replace_link(f, "patches", h5py.SoftLink("/x/patches")),
    ),
    "an external link to a device": lambda f, _: replace_link(f, "lut", h5py.ExternalLink("/dev/zero", "/lut")),
    "virtual patches": lambda f, other: make_virtual(f, "patches", other),
    "a virtual column": lambda f, other: make_virtual(f, "index/row", other),
    "external storage of the patches": lambda f, other: make_external(f, "patches", other),
    "external storage of the table": lambda f, other: make_external(f, "lut", other),
    "external storage of a column": lambda f, other: make_external(f, "index/row", other, 64),
}
"""Files that would have their reader open another one."""

TOO_LARGE: dict[str, Spoil] = {
    "patches without end": lambda f, _: replace(
        f, "patches", shape=(HUGE, 16, 16), dtype="u1", chunks=(1, 16, 16), maxshape=(None, 16, 16), **LZ4
    ),
    "patches of terabytes": lambda f, _: replace(
        f, "patches", shape=(4, 1 << 20, 1 << 20), dtype="u1", chunks=(1, 1 << 10, 1 << 10), **LZ4
    ),
    "a chunk beyond the file": lambda f, _: replace(
        f, "patches", shape=(4, 16, 16), dtype="u1", chunks=(1 << 14, 512, 511), maxshape=(None, None, None), **LZ4
    ),
    "a column without end": lambda f, _: replace(f, "index/row", shape=(HUGE,), dtype="<i4", chunks=(1 << 10,)),
    "a table without end": lambda f, _: replace(f, "lut", shape=(HUGE,), dtype="<f4", chunks=(1 << 10,)),
    "a table with a chunk of gigabytes": lambda f, _: replace(
        f, "lut", shape=(256,), dtype="<f4", chunks=((1 << 30) - 1,), maxshape=(None,), fillvalue=0.5
    ),
    "names of gigabytes": lambda f, _: replace(f, "scenes/name", shape=(2,), dtype="S2147483647", chunks=(1,)),
    "splits without end": lambda f, _: replace(f, "splits/default", shape=(HUGE,), dtype="u1", chunks=(1 << 10,)),
    "a histogram without end": lambda f, _: replace(f, "histogram", shape=(HUGE,), dtype="<u8", chunks=(1 << 10,)),
    "control points without end": lambda f, _: replace(
        f, "scenes/gcps", shape=(HUGE, 5), dtype="<f8", chunks=(1 << 10, 5)
    ),
    "text of any length": lambda f, _: replace(
        f, "scenes/name", data=["a", "b"], dtype=h5py.string_dtype(), chunks=(1,), maxshape=(None,)
    ),
}
"""Files of a few kilobytes that announce far more."""

MISSHAPEN: dict[str, Spoil] = {
    "a table shorter than the codes": lambda f, _: replace(f, "lut", data=np.linspace(0, 1, 3, dtype=np.float32)),
    "an empty table": lambda f, _: replace(f, "lut", shape=(0,), dtype="<f4"),
    "a table of NaN": lambda f, _: replace(f, "lut", data=np.full(256, np.nan, np.float32)),
    "a table above 1": lambda f, _: replace(f, "lut", data=np.linspace(0, 7, 256, dtype=np.float32)),
    "a table of texts": lambda f, _: replace(f, "lut", data=np.array([b"0.5"] * 256)),
    "a table of float64": lambda f, _: replace(f, "lut", data=np.linspace(0, 1, 256)),
    "a table of pairs": lambda f, _: replace(f, "lut", data=np.zeros(256, [("a", "f4"), ("b", "f4")])),
    "a table that is a group": lambda f, _: replace_link(f, "lut", None) if "lut" not in f else regroup(f, "lut"),
    "a scalar table": lambda f, _: replace(f, "lut", data=np.float32(1)),
    "a table without a space": lambda f, _: replace(f, "lut", data=h5py.Empty("f4")),
    "patches without a space": lambda f, _: replace(f, "patches", data=h5py.Empty("u1")),
    "patches of texts": lambda f, _: replace(f, "patches", data=np.full((4, 16, 16), b"x")),
    "patches that are a group": lambda f, _: regroup(f, "patches"),
    "patches that are a type": lambda f, _: replace_link(f, "patches", np.dtype("f4")),
    "patches of a type that NumPy has not": lambda f, _: foreign_type(f, "patches"),
    "no patch": lambda f, _: replace(
        f, "patches", shape=(0, 16, 16), dtype="u1", chunks=(1, 16, 16), maxshape=(None, 16, 16)
    ),
    "patches without pixels": lambda f, _: replace(f, "patches", shape=(4, 0, 0), dtype="u1"),
    "patches of another size than they say": lambda f, _: replace(
        f, "patches", data=np.zeros((4, 8, 8), np.uint8), chunks=(1, 8, 8), **LZ4
    ),
    "an index that is a dataset": lambda f, _: replace(f, "index", data=np.zeros(4)),
    "scenes that are a dataset": lambda f, _: replace(f, "scenes", data=np.zeros(2)),
    "splits that are a dataset": lambda f, _: replace(f, "splits", data=np.zeros(4)),
    "splits that hold a group": lambda f, _: regroup(f, "splits/default"),
    "splits of another length": lambda f, _: replace(f, "splits/default", data=np.ones(9, np.uint8)),
    "splits beyond 3": lambda f, _: replace(f, "splits/default", data=np.full(4, 200, np.uint8)),
    "a column that is a group": lambda f, _: regroup(f, "index/row"),
    "a column of references": lambda f, _: replace(f, "index/row", data=[f["lut"].ref] * 4, dtype=h5py.ref_dtype),
    "a column of another length": lambda f, _: replace(f, "index/row", data=np.zeros(2, np.int32)),
    "an empty column": lambda f, _: replace(f, "index/scene", data=np.zeros(0, np.int32)),
    "scenes that are not there": lambda f, _: replace(f, "index/scene", data=np.array([0, 1, 99, -7], np.int32)),
    "rows at the end of the world": lambda f, _: replace(f, "index/row", data=np.full(4, 2**31 - 1, np.int32)),
    "names that are no text": lambda f, _: replace(f, "scenes/name", data=np.array([b"\xff\xfe\x00\xd8", b"b"])),
    "names that control the terminal": lambda f, _: replace(
        f, "scenes/name", data=np.array(["\x1b]0;owned\x07\x1b[2J", "b\nc"], h5py.string_dtype("utf-8", 24))
    ),
    "scenes of negative length": lambda f, _: replace(f, "scenes/patch_count", data=np.array([-5, 9], np.int64)),
    "scenes of endless height": lambda f, _: replace(f, "scenes/height", data=np.full(2, 2**31 - 1, np.int32)),
    "control points out of range": lambda f, _: (
        replace(f, "scenes/gcp_start", data=np.array([-(2**60), 2**60])),
        replace(f, "scenes/gcp_count", data=np.array([2**62, -1])),
    ),
    "transforms of NaN and infinity": lambda f, _: replace(
        f, "scenes/transform", data=np.array([[np.inf] * 6, [np.nan] * 6])
    ),
    "a reference system that is none": lambda f, _: replace(
        f, "scenes/crs", data=np.array([b"EPSG:0", b"/etc/passwd"])
    ),
    "a group that holds itself": lambda f, _: replace_link(f, "scenes/again", f["/"]),
    "a soft link that leads nowhere": lambda f, _: replace_link(f, "lut", h5py.SoftLink("/nowhere")),
    "soft links in a circle": lambda f, _: (
        replace_link(f, "lut", h5py.SoftLink("/x")),
        replace_link(f, "x", h5py.SoftLink("/lut")),
    ),
    "groups nested without end": lambda f, _: nest(f, 200),
    "a link that is no text": lambda f, _: h5py.h5g.create(f.id, b"\xff\xfe\xd8"),
}
"""Files that hold other things than a file of this package, each in its place."""


def regroup(file: h5py.File, name: str) -> None:
    """Put a group in the place of a dataset."""
    del file[name]
    file.create_group(name)


def foreign_type(file: h5py.File, name: str) -> None:
    """Make a dataset of a type that NumPy has no equal of."""
    del file[name]
    space = h5py.h5s.create_simple((4, 16, 16))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.UNIX_D32LE, space)


ATTRIBUTES = (
    *schema.PATCH_ATTRIBUTES,
    *schema.ROOT_ATTRIBUTES,
    schema.BOUNDS_SCENES,
    schema.EXTRACTED_FROM,
    schema.HISTOGRAM_SCENES,
    schema.LEFT_OUT_SCENES,
    "invalid_code",
)
"""All attributes of a file that are read."""


def attribute_values(file: h5py.File) -> dict[str, object]:
    """Values of every kind that an attribute can have."""
    return {
        "empty": h5py.Empty("f4"),
        "no text": np.bytes_(b"\xff\xfe\x00\xd8"),
        "text": "x",
        "bytes": np.bytes_(b"x"),
        "long text": "x" * 60_000,
        "control codes": "\x1b]0;owned\x07\x1b[2J\r\n\t",
        "texts": np.array(["a", "b"], dtype=h5py.string_dtype()),
        "NaN": np.nan,
        "infinity": -np.inf,
        "huge": np.uint64(2**64 - 1),
        "negative": -1,
        "zero": 0,
        "numbers": np.arange(6).reshape(2, 3),
        "no numbers": np.zeros(0),
        "complex": 1j,
        "truth": np.True_,
        "compound": np.zeros((), [("a", "i4"), ("b", "S3")]),
        "object reference": file["lut"].ref,
        "region reference": file["lut"].regionref[:2],
        "opaque": np.void(b"\0\1\2"),
        "array of arrays": np.zeros(2, [("a", "f4", (2, 2))]),
    }


def make_sound(path: Path) -> Path:
    """Write a small sound file with everything that a file of this package can hold."""
    write_file(path, make_codes((4, 16, 16), 256, "u1"), make_lut(256))
    with h5py.File(path, "r+", libver=schema.LIBVER) as file:
        file["splits/default"] = np.array([1, 2, 3, 1], np.uint8)
        file["scenes/gcps"] = np.zeros((0, 5))
        file.create_dataset("histogram", data=np.zeros(65536, np.uint64), compression="gzip")
        for name in schema.ROOT_ATTRIBUTES:
            if name not in file.attrs:
                file.attrs[name] = "x"
        file.attrs["skipped_sources"] = np.array(["a", "b"], h5py.string_dtype())
    return path
