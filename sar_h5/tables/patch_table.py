"""All that a file says about its patches as one table, a row per patch, with the columns of a user's manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.contents import Columns, columns_of, find_patches
from sar_h5.errors import FormatError, SettingError
from sar_h5.georeference import box_patches, short_crs
from sar_h5.opening import name_damage, open_as_it_is
from sar_h5.schema import Column, FileSettings
from sar_h5.tables.conditions import Condition
from sar_h5.tables.manifest import read_manifest
from sar_h5.tables.where import parse_where

PATCH_COLUMN = Column("patch", "<i8", "number of the patch in the file")

SCENE_COLUMNS = {
    "name": "scene_name",
    **{
        name: name for name in ("source_path", "start_time", "platform", "mode", "product_type", "orbit", "pass", "crs")
    },
}
"""Which columns of ``/scenes`` each patch has, and what they are called there: ``scene`` is the scene's number."""

BOX_COLUMNS = tuple(
    Column(name, "<f8", f"{long_name} of the patch in crs; NaN where the scene has no geo-reference", "")
    for name, long_name in (
        ("left", "least x"), ("bottom", "least y"), ("right", "greatest x"), ("top", "greatest y"),
    )
)  # fmt: skip

OWN_COLUMNS = frozenset(
    {PATCH_COLUMN.name, *(column.name for column in schema.INDEX_COLUMNS + BOX_COLUMNS), *SCENE_COLUMNS.values()}
)
"""The columns that every file has."""

_SPLIT_NAMES = ("", "train", "val", "test")
"""By the numbers in ``/splits``; see :data:`sar_h5.schema.SPLIT_CODES`."""

_PIECE = 1 << 16
"""Patches whose boxes are computed together, to bound the memory that takes."""

_DTYPES = {"i": "<i8", "f": "<f8", "b": "|b1", "O": "utf-8"}


@dataclass(frozen=True)
class PatchColumn:
    """One column of the table.

    Attributes:
        column: its name, type, meaning and unit.
        values: the values of all patches, or those that ``rows`` choose from: one per scene, or per part of a split.
        rows: integers (N,), which of ``values`` each patch has; None where ``values`` has a row per patch.
    """

    column: Column
    values: npt.NDArray[Any]
    rows: npt.NDArray[np.integer[Any]] | None = None

    @property
    def is_text(self) -> bool:
        """Whether the values are text, as str."""
        return self.column.dtype == "utf-8"

    def places(self, patches: npt.NDArray[np.int64]) -> npt.NDArray[np.integer[Any]]:
        """Return where in ``values`` those of some patches are."""
        return patches if self.rows is None else self.rows[patches]

    def take(self, patches: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the values of some patches."""
        values: npt.NDArray[Any] = self.values[self.places(patches)]
        return values


@dataclass(frozen=True, eq=False)
class PatchTable(Mapping[str, npt.NDArray[Any]]):
    """The columns of a file; as a mapping it gives an array (N,) for each name, made when asked for.

    The columns are ``patch``, those of ``/index`` (``component`` only where places were recovered from shared pixels),
    those of the patch's scene (:data:`SCENE_COLUMNS`), the box around it (``left``, ``bottom``, ``right``, ``top``) in
    ``crs``, ``split_<name>`` for each of the file's ways of splitting, and those of the manifest. What is the same for
    all patches of a scene is kept once per scene.

    Attributes:
        path: the file.
        count: how many patches there are.
        settings: what the file says about all its patches.
        digest: of its content.
        columns: by name, in order.
    """

    path: str
    count: int
    settings: FileSettings
    digest: str
    columns: Mapping[str, PatchColumn]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        column = self.columns[name]
        return column.take(np.arange(self.count))

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def read_patch_table(path: str | Path, manifest: str | Path | None = None) -> PatchTable:
    """Read the columns of a file, and of a manifest about its scenes.

    Args:
        path: a file of this package.
        manifest: a CSV with one row per scene; see :func:`sar_h5.tables.manifest.read_manifest`.

    Raises:
        SourceError: where the file or the manifest cannot be read.
        FormatError: where the file is not of this package, or damaged.
        SettingError: where the manifest lacks scenes of the file, or has columns that the file has already.
    """
    with name_damage(path, "a sound index"):
        table, scene = _read_file(path)
    if manifest is None:
        return table
    names = table.columns["scene_name"].values.tolist()
    joined = {name: _manifest_column(name, values, scene) for name, values in read_manifest(manifest, names).items()}
    clashing = [name for name in joined if name in table.columns]
    if clashing:
        raise SettingError(
            f"{manifest}: expected columns that {path} does not have itself, found {', '.join(clashing)}; rename them"
        )
    return dataclasses.replace(table, columns={**table.columns, **joined})


def select_patches(path: str | Path, where: str, manifest: str | Path | None = None) -> npt.NDArray[np.int64]:
    """Find the patches of a file for which a condition holds.

    Args:
        path: a file of this package.
        where: a condition on the columns of its :class:`PatchTable`; see :func:`sar_h5.tables.where.parse_where`.
        manifest: a CSV with one row per scene, whose columns may be used too.

    Returns:
        int64 (n,), patch numbers in order, at least one.

    Raises:
        SettingError: where the condition is none, or holds for no patch; further as :func:`read_patch_table`.
    """
    condition = parse_where(where)
    return choose_patches(read_patch_table(path, manifest), condition)


def choose_patches(table: PatchTable, condition: Condition) -> npt.NDArray[np.int64]:
    """Find the patches of a table for which a condition holds: int64 (n,), at least one.

    Raises:
        SettingError: where it holds for none, or cannot be asked of these columns.
    """
    patches = np.flatnonzero(condition.evaluate(table, table.count)).astype(np.int64)
    if len(patches) == 0:
        raise SettingError(
            f"{table.path}: where={condition.text[:200]!r} holds for none of {table.count:,} patches; "
            "`sar-h5 export --index` writes the columns to look at"
        )
    return patches


def _read_file(path: str | Path) -> tuple[PatchTable, npt.NDArray[np.integer[Any]]]:
    with open_as_it_is(path) as file:
        source = find_patches(file, None)
        if source.settings is None:
            raise FormatError(f"{path}: expected a file made by sar-h5 convert (attribute format={schema.FORMAT!r})")
        digest = str(file.attrs.get("content_digest", ""))
        splits = {name: split[:] for name, split in sorted(file.get(schema.SPLITS, {}).items())}
        index, scenes = columns_of(file, path, schema.INDEX), columns_of(file, path, schema.SCENES)
    count, scene = source.shape[0], index["scene"]
    index_columns = [column for column in (*schema.INDEX_COLUMNS, schema.COMPONENT_COLUMN) if column.name in index]
    _check_columns(schema.INDEX, index_columns, index, count)
    _check_columns(schema.SCENES, schema.SCENE_COLUMNS, scenes, len(scenes["name"]))
    _check_columns(schema.SPLITS, [Column(name, "|u1", "") for name in splits], splits, count)
    if count and not 0 <= scene.min() <= scene.max() < len(scenes["name"]):
        raise ValueError(f"/index/scene goes from {scene.min()} to {scene.max()} with {len(scenes['name'])} scenes")
    columns = [
        PatchColumn(PATCH_COLUMN, np.arange(count, dtype=np.int64)),
        *(PatchColumn(column, index[column.name]) for column in index_columns),
        *_scene_columns(scenes, scene),
        *_box_columns(index, scenes["transform"], source.settings.patch_size),
        *(_split_column(name, codes) for name, codes in splits.items()),
    ]
    named = {column.column.name: column for column in columns}
    return PatchTable(str(path), count, source.settings, digest, named), scene


def _check_columns(group: str, columns: Sequence[Column], found: Columns, count: int) -> None:
    for column in columns:
        values = found[column.name]
        shape = (count, column.width) if column.width else (count,)
        dtype = np.dtype(object if column.dtype == "utf-8" else column.dtype)
        if values.shape != shape or values.dtype != dtype:
            raise ValueError(
                f"/{group}/{column.name} is {values.dtype} of shape {values.shape} where {dtype} of {shape} is expected"
            )


def _scene_columns(scenes: Columns, scene: npt.NDArray[np.integer[Any]]) -> Iterator[PatchColumn]:
    for column in schema.SCENE_COLUMNS:
        if column.name in SCENE_COLUMNS:
            values = scenes[column.name]
            if column.name == "crs":
                column = dataclasses.replace(column, long_name="coordinate reference system of the box, EPSG or WKT")
                values = np.array([*map(short_crs, values), None], dtype=object)[:-1]
            yield PatchColumn(dataclasses.replace(column, name=SCENE_COLUMNS[column.name]), values, scene)


def _box_columns(index: Columns, transforms: npt.NDArray[np.float64], size: int) -> Iterator[PatchColumn]:
    count = len(index["scene"])
    boxes = np.empty((count, len(BOX_COLUMNS)))
    for start in range(0, count, _PIECE):
        piece = slice(start, start + _PIECE)
        scene, row, col = (index[name][piece] for name in ("scene", "row", "col"))
        boxes[piece] = box_patches(transforms[scene], row, col, size, size)
    return (PatchColumn(column, boxes[:, number]) for number, column in enumerate(BOX_COLUMNS))


def _split_column(name: str, codes: npt.NDArray[np.uint8]) -> PatchColumn:
    if codes.max(initial=0) >= len(_SPLIT_NAMES):
        raise ValueError(f"/{schema.SPLITS}/{name} holds {codes.max()} where 0 to 3 are expected")
    column = Column(f"split_{name}", "utf-8", f"part of the split {name}: train, val, test; empty where unused", "")
    return PatchColumn(column, np.array(_SPLIT_NAMES, dtype=object), codes)


def _manifest_column(name: str, values: npt.NDArray[Any], scene: npt.NDArray[np.integer[Any]]) -> PatchColumn:
    return PatchColumn(Column(name, _DTYPES[values.dtype.kind], f"{name}, of the manifest", ""), values, scene)
