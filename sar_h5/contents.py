"""What is inside an HDF5 file: where its patches are and what they mean, its columns, its splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.errors import FormatError
from sar_h5.file_objects import check_patches, walk_objects
from sar_h5.opening import open_as_it_is, open_file
from sar_h5.schema import FileSettings, Layout

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class PatchSource:
    """Where the patches of a file are, and how they turn into values.

    Attributes:
        name: of the dataset within the file that holds their pixels.
        shape: (N, H, W).
        dtype: of what is stored.
        settings: what the file says about its patches; None for files of others.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    settings: FileSettings | None

    @property
    def in_blocks(self) -> bool:
        """Whether each patch is made up of blocks that others share."""
        return self.settings is not None and self.settings.layout == "blocks"

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """(H, W) of what is stored in one piece: a patch, or a block of the patches."""
        _, height, width = self.shape
        per_side = self.settings.blocks_per_side if self.settings is not None else 1
        return height // per_side, width // per_side


def find_patches(file: h5py.File, name: str | None) -> PatchSource:
    """Find the patches in an open file.

    Args:
        file: the file.
        name: path of a dataset (N, H, W) of real numbers; None for ``/patches``, or the only such dataset of the file.
            ``/blocks`` of a file of this package stands for the patches that its blocks make up, as does None.

    Raises:
        FormatError: where there is none, or it is none of these.
    """
    ours = file.attrs.get("format") == schema.FORMAT
    if ours:
        _check_version(file)
    chosen = name or next((known for known in _known_names(ours=ours) if known in file), None) or _only_candidate(file)
    dataset = file.get(chosen)
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(
            f"{file.filename}: expected a dataset {chosen}, found {', '.join(_candidates(file)) or 'none'}"
        )
    if dataset.ndim != 3 or _kind(dataset) not in "uif":
        raise FormatError(
            f"{file.filename}: expected {chosen} as (N, H, W) of integers or floats, found {dataset.shape} of "
            f"{_describe_dtype(dataset)}"
        )
    layout = {known: layout for layout, known in schema.PIXELS.items()}.get(chosen.strip("/")) if ours else None
    check_patches(dataset)
    settings = _settings(file, layout) if layout else None
    if layout == "patches" and settings is not None:
        _check_shape(file, dataset, settings)
    shape = dataset.shape if layout != "blocks" or settings is None else _shape_in_blocks(file, dataset, settings)
    return PatchSource(chosen, shape, dataset.dtype, settings)


def read_stored(file: h5py.File, source: PatchSource, number: int) -> npt.NDArray[Any]:
    """Read a single patch of an open file, (H, W) as stored, through HDF5 and without a look at any other.

    Raises:
        OSError, RuntimeError, IndexError: where HDF5 cannot read it, or it is made up of blocks that are not there.
    """
    stored = file[source.name]
    if not source.in_blocks:
        patch: npt.NDArray[Any] = stored[number]
        return patch
    grid = file[f"{schema.INDEX}/{schema.BLOCKS}"][number]
    return np.block([[stored[int(block)] for block in row] for row in grid])


def _known_names(*, ours: bool) -> tuple[str, ...]:
    return tuple(schema.PIXELS.values()) if ours else (schema.PATCHES,)


def _check_version(file: h5py.File) -> None:
    version = str(file.attrs.get("format_version", ""))
    if version.partition(".")[0] != schema.FORMAT_VERSION.partition(".")[0]:
        raise FormatError(
            f"{file.filename}: expected format version {schema.FORMAT_VERSION}, found {version or 'none'}; update "
            "sar_h5"
        )


def _settings(file: h5py.File, layout: Layout) -> FileSettings:
    try:
        settings = FileSettings.from_attrs(file[schema.PIXELS[layout]].attrs)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file.filename}: its attributes are not those of the format: {error}") from error
    if settings.layout != layout:
        raise FormatError(
            f"{file.filename}: expected layout {layout!r} of a file with /{schema.PIXELS[layout]}, found "
            f"{settings.layout!r}; run `sar-h5 verify {file.filename}`"
        )
    return settings


def _check_shape(file: h5py.File, patches: h5py.Dataset, settings: FileSettings) -> None:
    if patches.shape[1:] != (settings.patch_size, settings.patch_size):
        raise FormatError(
            f"{file.filename}: expected patches of {settings.patch_size} x {settings.patch_size} as patch_size says, "
            f"found {patches.shape}; run `sar-h5 verify {file.filename}`"
        )


def _shape_in_blocks(file: h5py.File, blocks: h5py.Dataset, settings: FileSettings) -> tuple[int, int, int]:
    """Return (N, P, P) of the patches that blocks (M, B, B) make up; the column that says how must be there."""
    side, per_side = settings.block_size, settings.blocks_per_side
    column = schema.BLOCK_GRID_COLUMN
    grid = file.get(f"{schema.INDEX}/{column.name}")
    found = f"{grid.dtype} of shape {grid.shape}" if isinstance(grid, h5py.Dataset) else "none"
    if blocks.shape[1:] != (side, side):
        found = f"/{schema.BLOCKS} of shape {blocks.shape}"
    elif isinstance(grid, h5py.Dataset) and grid.dtype == column.dtype and grid.shape[1:] == (per_side, per_side):
        return grid.shape[0], settings.patch_size, settings.patch_size
    raise FormatError(
        f"{file.filename}: expected /{schema.BLOCKS} (M, {side}, {side}) and /{schema.INDEX}/{column.name} as "
        f"{column.dtype} (N, {per_side}, {per_side}), found {found}; run `sar-h5 verify {file.filename}`"
    )


def _candidates(file: h5py.File) -> list[str]:
    datasets = ((name, item) for name, item in walk_objects(file) if isinstance(item, h5py.Dataset))
    return [name for name, dataset in datasets if dataset.ndim == 3 and _kind(dataset) in "uif"]


def _describe_dtype(dataset: h5py.Dataset) -> str:
    try:
        return str(dataset.dtype)
    except TypeError as error:
        return str(error)


def _kind(dataset: h5py.Dataset) -> str:
    try:
        return str(dataset.dtype.kind)
    except TypeError:  # of a type that NumPy has no equal of
        return "V"


def _only_candidate(file: h5py.File) -> str:
    found = _candidates(file)
    if len(found) != 1:
        raise FormatError(
            f"{file.filename}: expected /patches or a single dataset (N, H, W), found {', '.join(found) or 'none'}; "
            'name one with dataset="/path"'
        )
    return found[0]


def read_columns(path: str | Path, group: str) -> Columns:
    """Read the columns of a group, ``/index`` or ``/scenes``, as arrays; strings as object arrays of str.

    These are the ones that every file has, and ``/index/component`` where there is one.
    """
    with open_as_it_is(path) as file:
        return columns_of(file, path, group)


def columns_of(file: h5py.File, path: str | Path, group: str) -> Columns:
    """Read all columns of a group of an open file, as :func:`read_columns` does; its path is for the message."""
    if group not in file:
        raise FormatError(f"{path}: expected a group /{group}, which files of this package have; found none")
    columns = schema.INDEX_COLUMNS if group == schema.INDEX else schema.SCENE_COLUMNS
    if group == schema.INDEX and schema.COMPONENT_COLUMN.name in file[group]:
        _check_component(file[group], path)
        columns = (*columns, schema.COMPONENT_COLUMN)
    return {
        column.name: file[group][column.name].asstr()[:] if column.dtype == "utf-8" else file[group][column.name][:]
        for column in columns
    }


def _check_component(index: h5py.Group, path: str | Path) -> None:
    column, count = schema.COMPONENT_COLUMN, len(index["scene"])
    dataset = index[column.name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype != column.dtype or dataset.shape != (count,):
        found = f"{dataset.dtype} of shape {dataset.shape}" if isinstance(dataset, h5py.Dataset) else "a group"
        raise FormatError(
            f"{path}: expected /{schema.INDEX}/{column.name} as {column.dtype} ({count},), found {found}; run "
            f"`sar-h5 verify {path}`"
        )


def holds_codes(path: str | Path) -> bool:
    """Tell whether a file holds codes with a table of their values, rather than values.

    Raises:
        SourceError: where it is not there.
        FormatError: where it holds no patches.
    """
    with open_file(path) as file:
        settings = find_patches(file, None).settings
    return settings is not None and settings.encoding != "float32"


def read_identity(path: str | Path, source: PatchSource) -> str:
    """Read what tells the patches of a file from others: its content digest, or shape and size of a file of others."""
    with open_file(path) as file:
        digest = file.attrs.get("content_digest") if source.settings is not None else None
    return str(digest) if digest is not None else f"{source.shape} {source.dtype} {Path(path).stat().st_size}"


def read_split(path: str | Path, split: str, name: str) -> npt.NDArray[np.int64]:
    """Read which patches belong to a split.

    Args:
        path: the file.
        split: "train", "val" (or "validation") or "test".
        name: which of the file's ways of splitting.

    Returns:
        int64 (n,), patch numbers in order.

    Raises:
        FormatError: where the file has no such split, or it is empty.
    """
    if split not in schema.SPLIT_CODES:
        raise FormatError(f"{path}: expected split train, val or test; found {split!r}")
    with open_as_it_is(path) as file:
        members = np.flatnonzero(split_codes(file, path, name, f" for {split=}") == schema.SPLIT_CODES[split])
    if len(members) == 0:
        raise FormatError(
            f"{path}: split {split} of {name!r} is empty; `sar-h5 split {path} --name {name} --overwrite` makes "
            "others, with other fractions"
        )
    return members.astype(np.int64)


def split_codes(file: h5py.File, path: str | Path, name: str, asked: str = "") -> npt.NDArray[np.uint8]:
    """Read the split of each patch of an open file.

    Args:
        file: the file.
        path: its path, for the message.
        name: which of the file's ways of splitting.
        asked: what asked for it, for the message.

    Returns:
        uint8 (N,).

    Raises:
        FormatError: where the file has no splits of that name, or they are not laid out as the format says.
    """
    group = file.get(schema.SPLITS)
    known = sorted(group) if isinstance(group, h5py.Group) else []
    advice = f"`sar-h5 split {path} --name {name}"
    if name not in known:
        held = ", ".join(known) or "none"
        raise FormatError(
            f"{path}: expected splits called {name!r}{asked}; the file holds {held}; {advice}` makes them"
        )
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1 or dataset.dtype != np.uint8:
        found = f"{dataset.dtype} of shape {dataset.shape}" if isinstance(dataset, h5py.Dataset) else "a group"
        raise FormatError(
            f"{path}: expected /{schema.SPLITS}/{name} as uint8 (N,), found {found}; {advice} --overwrite` makes "
            f"it anew, `sar-h5 verify {path}` lists what else is wrong"
        )
    codes: npt.NDArray[np.uint8] = dataset[:]
    return codes
