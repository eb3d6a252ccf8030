"""The file format, version 1.0, as data: every path, attribute, dtype and description, once.

Layout "patches": ``/patches`` holds integer codes (or float32 values), one Blosc chunk per patch; ``/lut`` turns
codes into values in [0, 1]; ``/index`` says where each patch comes from; ``/scenes`` describes the scenes;
``/histogram`` counts the digital numbers of the training scenes. All columns are plain datasets of plain types,
compressed, and with checksums.

Layout "blocks": overlapping patches share their pixels. ``/blocks`` takes the place of ``/patches``: squares whose side
divides patch size and stride, one Blosc chunk each, none of them twice; ``/index/blocks`` says which ones make up each
patch, ``/block_checksum`` what each of them has for a checksum.

Single texts in attributes are of any length: h5py gives those as str, and texts of one length as bytes. They lie in
HDF5's global heap, the one part of a file without checksums; ``heap_guard`` looks at that before HDF5 does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

FORMAT = "sar-h5"
FORMAT_VERSION = "1.0"
CONVENTIONS = "CF-1.11"

PATCHES = "patches"
BLOCKS = "blocks"
"""Both the dataset of layout "blocks", and the column of ``/index`` with the numbers of each patch's blocks."""

LUT = "lut"
HISTOGRAM = "histogram"
INDEX = "index"
SCENES = "scenes"
SPLITS = "splits"
DEFAULT_SPLIT = "default"

BLOSC_FILTER = 32001

LIBVER = ("v110", "v110")
"""HDF5 1.10 objects: HDF5 2.0's latest are unreadable to Debian's h5ls 1.10.8, and the B-trees of 1.8 take four
times the
space at 720,953 chunks."""

UNKNOWN = -1
"""Stands for an integer that the source does not tell."""

Encoding = Literal["dn", "palette", "float32"]
ENCODINGS: tuple[Encoding, ...] = ("palette", "dn", "float32")
Layout = Literal["patches", "blocks"]
LAYOUTS: tuple[Layout, ...] = ("patches", "blocks")

PIXELS: Mapping[Layout, str] = {"patches": PATCHES, "blocks": BLOCKS}
"""The dataset that holds the pixels, one chunk for each of its items."""

SPLIT_CODES: Mapping[str, int] = {"train": 1, "val": 2, "validation": 2, "test": 3}
"""What the numbers in ``/splits/<name>`` mean; 0 is unused."""

SPLIT_NAMES = ("unused", "train", "val", "test")
"""The name of each of these numbers."""


@dataclass(frozen=True)
class Column:
    """One dataset of a group with one row per patch or scene.

    Attributes:
        name: within its group.
        dtype: little-endian NumPy dtype, or ``"utf-8"`` for strings.
        long_name: what it is, for people.
        units: the unit as CF writes it ("1" for pure numbers, "" for text).
        width: number of columns of a two-dimensional dataset, 0 for a plain column.
    """

    name: str
    dtype: str
    long_name: str
    units: str = "1"
    width: int = 0

    def to_array(self, values: Sequence[object] | npt.ArrayLike) -> npt.NDArray[Any]:
        """Return values as they are stored.

        Text becomes UTF-8 of one length: HDF5 keeps text of any length in a heap without checksums, and can loop
        without end where that is damaged.

        Args:
            values: one per row; str for text. What UTF-8 cannot hold (odd bytes in file names) is escaped.
        """
        if self.dtype != "utf-8":
            return np.array(values, dtype=self.dtype)
        return text_array(np.asarray(values, dtype=object))


def text_array(values: Iterable[object]) -> npt.NDArray[Any]:
    """Return texts as UTF-8 of one length; what UTF-8 cannot hold is escaped."""
    encoded = [str(value).encode(errors="backslashreplace") for value in values]
    length = max(map(len, encoded), default=1) or 1
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", length))


INDEX_COLUMNS = (
    Column("scene", "<i4", "number of the scene in /scenes"),
    Column("row", "<i4", "row of the top-left corner in the scene, -1 where unknown", "pixel"),
    Column("col", "<i4", "column of the top-left corner in the scene, -1 where unknown", "pixel"),
    Column("valid_fraction", "<f4", "fraction of the patch's pixels that the quality filter counts"),
    Column(
        "checksum",
        "<u4",
        "CRC-32 of the stored chunk; in layout blocks, of the checksums of the patch's blocks, uint32, row by row",
    ),
)

POSITION_COLUMN = Column(
    "position", "<i4", "position of the patch among those that the conversion kept of its scene, -1 where unknown"
)
"""``/index/position``; like ``LEFT_OUT_COLUMN`` only in files from which patches have been left out since."""
BLOCK_GRID_COLUMN = Column(BLOCKS, "<u4", "numbers in /blocks of the blocks that make up the patch, row by row")
"""``/index/blocks`` (N, P/B, P/B), the one column of three dimensions; only in layout "blocks"."""

COMPONENT_COLUMN = Column(
    "component",
    "<i4",
    "where row and col were recovered from the pixels that patches share: places within a component are relative to "
    "each other, those of different ones are not; -1 where unknown",
)
"""``/index/component``, numbered through the file; only where places were recovered, which then have no say in the
digest: they follow from the content."""

BLOCK_CHECKSUM_COLUMN = Column("block_checksum", "<u4", "CRC-32 of the stored chunk of each block")
"""``/block_checksum`` (M,); only in layout "blocks"."""

SCENE_COLUMNS = (
    Column("name", "utf-8", "name of the acquisition, the same for all polarizations", ""),
    Column("source_path", "utf-8", "raster or shard that it was read from", ""),
    Column("source_size", "<i8", "size of the source file", "byte"),
    Column("source_checksum", "<u4", "CRC-32 of the source file"),
    Column("height", "<i4", "rows of the scene, -1 where unknown", "pixel"),
    Column("width", "<i4", "columns of the scene, -1 where unknown", "pixel"),
    Column("start_time", "utf-8", "start of sensing, ISO 8601, UTC; empty where unknown", ""),
    Column("platform", "utf-8", "satellite; empty where unknown", ""),
    Column("mode", "utf-8", "acquisition mode; empty where unknown", ""),
    Column("product_type", "utf-8", "product type; empty where unknown", ""),
    Column("orbit", "<i4", "absolute orbit number, -1 where unknown"),
    Column("pass", "utf-8", "ASCENDING or DESCENDING; empty where unknown", ""),
    Column("patch_start", "<i8", "number of its first patch"),
    Column("patch_count", "<i8", "how many patches it has in this file"),
    Column("dropped_count", "<i8", "how many of its grid positions the quality filter dropped"),
    Column("crs", "utf-8", "coordinate reference system of transform, WKT; empty where there is none", ""),
    Column(
        "transform",
        "<f8",
        "affine (a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f; NaN without",
        "",
        6,
    ),
    Column("gcp_start", "<i8", "first row of its ground control points in gcps"),
    Column("gcp_count", "<i8", "how many ground control points it has"),
    Column("gcp_crs", "utf-8", "coordinate reference system of its ground control points, WKT", ""),
)

LEFT_OUT_COLUMN = Column(
    "left_out_count", "<i8", "how many patches that the conversion kept of it are not in this file, -1 where unknown"
)
"""``/scenes/left_out_count``."""

SCENE_POSITION_COLUMN = Column("position", "<i4", "position of the scene among those of the file extracted_from names")
"""``/scenes/position``; only in files with ``EXTRACTED_FROM``."""

GCP_TABLE = Column("gcps", "<f8", "ground control points of all scenes: row, col, x, y, z", "", 5)

LUT_COLUMN = Column(LUT, "<f4", "value in [0, 1] of each code: value = lut[code]")
HISTOGRAM_COLUMN = Column(
    HISTOGRAM,
    "<u8",
    "how often each digital number occurs among the valid pixels of the scenes that gave the bounds, or of all scenes "
    "where none did",
)


COLUMN_PATHS = frozenset(
    {
        LUT,
        HISTOGRAM,
        BLOCK_CHECKSUM_COLUMN.name,
        *(
            f"{INDEX}/{column.name}"
            for column in (*INDEX_COLUMNS, POSITION_COLUMN, BLOCK_GRID_COLUMN, COMPONENT_COLUMN)
        ),
        *(f"{SCENES}/{column.name}" for column in (*SCENE_COLUMNS, LEFT_OUT_COLUMN, SCENE_POSITION_COLUMN, GCP_TABLE)),
    }
)
"""All columns but those of ``/splits``, which have names of the user's choice."""


def split_column(name: str) -> Column:
    """Describe ``/splits/<name>``."""
    meanings = ", ".join(f"{code} {split}" for code, split in enumerate(SPLIT_NAMES))
    return Column(name, "|u1", f"split of each patch: {meanings}")


PATCH_ATTRIBUTES = ("vmin", "vmax", "patch_size", "stride", "min_valid", "polarization", "encoding", "layout")
"""Attributes of the root and again of the dataset with the pixels; in layout "blocks" also ``block_size``."""

ROOT_ATTRIBUTES = (
    "format",
    "format_version",
    "Conventions",
    "title",
    "history",
    "quantity",
    "units",
    "uuid",
    "content_digest",
    "software",
    "valid_measure",
    "bounds_origin",
    "skipped_sources",
)
"""Further attributes of the root. ``invalid_code`` stands on the root and on ``/patches`` of files made from
rasters, ``BOUNDS_SCENES`` on the root where bounds are percentiles."""

BOUNDS_SCENES = "bounds_scenes"
"""Attribute of the root: the names of the scenes whose valid pixels gave the bounds. Files of before it lack it."""

HISTOGRAM_SCENES = "histogram_scenes"
"""Attribute of the root: the names of the scenes that ``/histogram`` counts, where these are neither ``BOUNDS_SCENES``
nor all scenes of the file."""

EXTRACTED_FROM = "extracted_from"
"""Attribute of the root of files that hold a part of another one: its content digest."""

LEFT_OUT_SCENES = "left_out_scenes"
"""Attribute of the root beside ``EXTRACTED_FROM``: how many scenes of that file are not in this one."""

TEXTS_CHECKSUM = "texts_checksum"
"""Attribute of the root and of each split: CRC-32 of ``TEXT_ATTRIBUTES``, see ``text_checksum``. Files of before it
lack it."""

TEXT_ATTRIBUTES = frozenset(
    {
        *ROOT_ATTRIBUTES,
        "polarization",
        "encoding",
        "layout",
        EXTRACTED_FROM,
        "long_name",
        "by",
        "created",
        "flag_meanings",
    }
)
"""Attributes that are texts of any length: HDF5 keeps those in its global heap, which has no checksums."""

PATCHES_LONG_NAME: Mapping[Encoding, str] = {
    "palette": "codes of patches: value = lut[code]",
    "dn": "digital numbers of patches: value = lut[code]",
    "float32": "patches, scaled to [0, 1]",
}

BLOCKS_LONG_NAME: Mapping[Encoding, str] = {
    "palette": "codes of blocks of pixels: value = lut[code]",
    "dn": "digital numbers of blocks of pixels: value = lut[code]",
    "float32": "blocks of pixels, scaled to [0, 1]",
}


@dataclass(frozen=True)
class FileSettings:
    """What a file says about all its patches: the attributes of the root and of ``/patches``.

    Attributes:
        vmin, vmax: bounds in dB.
        patch_size: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels, -1 where unknown.
        min_valid: least valid fraction that the conversion kept; 0 where it dropped nothing.
        polarization: "vv", "vh", "hh" or "hv".
        encoding: how values are stored.
        layout: how patches are stored.
        invalid_code: the code of pixels without data, or None where the file has none.
        block_size: side of a block in pixels, which divides ``patch_size``; None in layout "patches".

    Raises:
        ValueError: where layout and block size do not go together.
    """

    vmin: float
    vmax: float
    patch_size: int
    stride: int
    min_valid: float
    polarization: str
    encoding: Encoding
    layout: Layout = "patches"
    invalid_code: int | None = None
    block_size: int | None = None

    def __post_init__(self) -> None:
        if (self.layout == "blocks") != (self.block_size is not None):
            raise ValueError(f"expected a block size in layout blocks only, found {self.block_size} in {self.layout}")
        if self.block_size is not None and (self.block_size < 1 or self.patch_size % self.block_size):
            raise ValueError(f"expected blocks that divide {self.patch_size} pixels, found {self.block_size}")

    @property
    def blocks_per_side(self) -> int:
        """How many blocks make up a side of a patch; 1 in layout "patches"."""
        return self.patch_size // self.block_size if self.block_size else 1

    def to_attrs(self) -> dict[str, object]:
        """Return the attributes as they are written; the inverse of :meth:`from_attrs`."""
        attrs: dict[str, object] = {
            "vmin": np.float64(self.vmin),
            "vmax": np.float64(self.vmax),
            "patch_size": np.int64(self.patch_size),
            "stride": np.int64(self.stride),
            "min_valid": np.float64(self.min_valid),
            "polarization": self.polarization,
            "encoding": self.encoding,
            "layout": self.layout,
        }
        if self.invalid_code is not None:
            attrs["invalid_code"] = np.int64(self.invalid_code)
        if self.block_size is not None:
            attrs["block_size"] = np.int64(self.block_size)
        return attrs

    @classmethod
    def from_attrs(cls, attrs: Mapping[str, object]) -> FileSettings:
        """Read the settings from attributes.

        Raises:
            KeyError: where one is missing.
            TypeError, ValueError: where one has a value that it cannot have.
        """
        encoding, layout = str(attrs["encoding"]), str(attrs["layout"])
        if encoding not in ENCODINGS or layout not in LAYOUTS:
            raise ValueError(f"unknown encoding {encoding!r} or layout {layout!r}")
        invalid_code, block_size = attrs.get("invalid_code"), attrs.get("block_size")
        return cls(
            vmin=_number(attrs["vmin"]),
            vmax=_number(attrs["vmax"]),
            patch_size=_integer(attrs["patch_size"]),
            stride=_integer(attrs["stride"]),
            min_valid=_number(attrs["min_valid"]),
            polarization=_text(attrs["polarization"]),
            encoding=encoding,
            layout=layout,
            invalid_code=None if invalid_code is None else _integer(invalid_code),
            block_size=None if block_size is None else _integer(block_size),
        )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"expected text, found {type(value).__name__}")


def _integer(value: object) -> int:
    if not isinstance(value, (int, np.integer)):
        raise TypeError(f"expected an integer, found {type(value).__name__}")
    if not -1 << 63 <= int(value) < 1 << 63:
        raise ValueError(f"expected an integer of 64 bits, found {value}")
    return int(value)


def _number(value: object) -> float:
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    raise TypeError(f"expected a number, found {type(value).__name__}")
