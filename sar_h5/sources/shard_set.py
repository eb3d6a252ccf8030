"""A directory of shards: which files belong to it, in which order, and what its metadata tell."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import numpy as np

from sar_h5.errors import BadSource, BoundsError, SourceError
from sar_h5.plain_data import read_plain_data
from sar_h5.radiometry import Bounds
from sar_h5.schema import UNKNOWN
from sar_h5.sources.bounds_file import find_bounds, read_bounds_file
from sar_h5.sources.shard_facts import ShardFacts, find_shard_facts
from sar_h5.sources.shards import NpyShard, may_be_wanted, shard_polarization

METADATA = "metadata.npy"
GLOBAL_BOUNDS = "global_bounds.npy"
SHUFFLE_INDEX = "shuffle_idx.npy"
METADATA_NAMES = frozenset({METADATA, GLOBAL_BOUNDS, SHUFFLE_INDEX})

_LONGEST_NAME = 4096
"""No file system takes longer paths; a longer entry of ``file_index`` is no path."""


@dataclass(frozen=True)
class ShardSet:
    """The shards of one directory.

    Attributes:
        shards: in the order of ``file_index``, or by name where there is none.
        bounds: what the directory tells of the bounds, by polarization.
        stride: distance between neighbouring patches as the metadata tell it; -1 where they do not.
        broken: what cannot be used, and why.
        notes: what a user may want to know about the choice of files.
    """

    shards: tuple[NpyShard, ...] = ()
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    stride: int = UNKNOWN
    broken: tuple[BadSource, ...] = ()
    notes: tuple[str, ...] = ()


def read_shard_set(
    directory: Path,
    files: Sequence[Path],
    wanted: Sequence[str] = (),
    assigned: str | None = None,
    *,
    with_bounds: bool = True,
) -> ShardSet:
    """Open the shards of a directory.

    Args:
        directory: where ``metadata.npy`` and ``global_bounds.npy`` are looked for; paths in ``file_index`` resolve
            here.
        files: the ``.npy`` files to use, metadata excluded; with a ``file_index`` those that it does not list are
            left out.
        wanted: keep only shards of these polarizations; empty for all.
        assigned: the polarization that the user gives to shards that tell none, or None.
        with_bounds: whether to look for bounds.

    Raises:
        SourceError: where the metadata cannot be read, or ask for more than plain data.
        BoundsError: where the directory contradicts itself about the bounds.
    """
    metadata = _read_metadata(directory)
    listed, broken = _resolve_index(directory, metadata.get("file_index"), wanted)
    notes: list[str] = []
    if listed is None:
        entries = [(path, UNKNOWN) for path in sorted(files, key=lambda path: path.name)]
    else:
        chosen = {real_path(path) for path in files}
        entries = [(path, count) for path, count in listed if real_path(path) in chosen]
        known = {real_path(path) for path, _ in listed}
        left_out = sorted(
            path.name for path in files if real_path(path) not in known and may_be_wanted(path.name, wanted)
        )
        if left_out:
            notes.append(f"{directory}: not in file_index and left out: {', '.join(left_out)}")
    if (directory / SHUFFLE_INDEX).is_file():
        notes.append(f"{directory}: {SHUFFLE_INDEX} is not applied; patches keep the order of the shards")
    facts = find_shard_facts(metadata, str(directory / METADATA))
    shards, unusable = _open_shards(directory, entries, wanted, assigned, facts)
    polarizations = sorted({shard.info.polarization for shard in shards})
    return ShardSet(
        shards=tuple(shards),
        bounds=_find_all_bounds(directory, metadata, polarizations) if with_bounds else {},
        stride=_positive_int(metadata.get("stride")),
        broken=(*broken, *unusable),
        notes=tuple(notes),
    )


def _read_metadata(directory: Path) -> dict[str, object]:
    path = directory / METADATA
    if not path.is_file():
        return {}
    data = read_plain_data(path)
    if not isinstance(data, Mapping):
        raise SourceError(f"{path}: expected a pickled dict with file_index, found {type(data).__name__}")
    return {str(key): value for key, value in data.items()}


def indexed_files(directory: Path) -> set[Path]:
    """Return the real paths of the files that the ``file_index`` of a directory lists; none where it has none.

    Raises:
        SourceError: where the metadata cannot be read, or ask for more than plain data.
    """
    listed, _ = _resolve_index(directory, _read_metadata(directory).get("file_index"), ())
    return {real_path(path) for path, _ in listed or ()}


def indexed_counts(directory: Path) -> list[tuple[Path | None, int]] | None:
    """Return what the ``file_index`` of a directory lists, of all polarizations and in its order.

    Returns:
        The file, None where it is not found within the directory, and how many patches it is said to hold; None in all
        where there is no ``file_index``.

    Raises:
        SourceError: where the metadata cannot be read, or ask for more than plain data.
    """
    index = _read_metadata(directory).get("file_index")
    if index is None:
        return None
    entries = [_index_entry(directory, entry) for entry in _index_entries(directory, index)]
    return [(resolve_within(directory, name), count) for name, count in entries]


def real_path(path: Path) -> Path:
    """Return the path without links; unlike ``Path.resolve``, of a link to itself too."""
    return Path(os.path.realpath(path))


def _resolve_index(
    directory: Path, index: object, wanted: Sequence[str]
) -> tuple[list[tuple[Path, int]] | None, list[BadSource]]:
    """Resolve ``file_index`` within the directory; None where there is none.

    What is not there, or there twice, is broken, unless its name tells that it is not wanted.
    """
    if index is None:
        return None, []
    resolved: dict[Path, tuple[Path, int]] = {}
    broken: list[BadSource] = []
    for entry in _index_entries(directory, index):
        name, count = _index_entry(directory, entry)
        if not may_be_wanted(_pure_path(name).name, wanted):
            continue
        path = resolve_within(directory, name)
        if path is None:
            broken.append(BadSource(name, f"listed in file_index, but not found within {directory}"))
        elif real_path(path) in resolved:
            broken.append(
                BadSource(
                    name,
                    f"listed in file_index twice: an earlier entry stands for {resolved[real_path(path)][0]} already",
                )
            )
        else:
            resolved[real_path(path)] = (path, count)
    return list(resolved.values()), broken


def _index_entries(directory: Path, index: object) -> Sequence[object]:
    entries = index.tolist() if isinstance(index, np.ndarray) else index
    if not isinstance(entries, (list, tuple)):
        raise SourceError(
            f"{directory / METADATA}: expected file_index as a list of (path, count), found {type(index).__name__}"
        )
    return entries


def _index_entry(directory: Path, entry: object) -> tuple[str, int]:
    if isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[0], (str, PurePath)):
        count = _positive_int(entry[1], least=0)
        if count != UNKNOWN:
            return str(entry[0]), count
    raise SourceError(f"{directory / METADATA}: expected entries (path, count) in file_index, found {entry!r:.200}")


def _positive_int(value: object, least: int = 1) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least:
        return int(value)
    return UNKNOWN


def resolve_within(directory: Path, name: str) -> Path | None:
    """Find a listed file within a directory, wherever the list was written.

    Lists travel: a path may be relative, absolute on another machine, or a Windows path. The longest tail of it that
    exists below the directory is taken; nothing outside the directory ever is, nor what a link leads to there.

    Args:
        directory: where to look.
        name: the path as listed.

    Returns:
        The file, or None where no tail of the path exists.
    """
    if len(name) > _LONGEST_NAME:
        return None
    pure = _pure_path(name)
    parts = [part for part in pure.parts if part != pure.anchor and part != "."]
    while ".." in parts:
        parts = parts[parts.index("..") + 1 :]
    root = real_path(directory)
    candidates = (directory.joinpath(*parts[first:]) for first in range(len(parts)))
    return next((path for path in candidates if _is_file(path) and real_path(path).is_relative_to(root)), None)


def _pure_path(name: str) -> PurePath:
    return PureWindowsPath(name) if "\\" in name or PureWindowsPath(name).drive else PurePosixPath(name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes, or a folder that may not be entered
        return False


def _open_shards(
    directory: Path,
    entries: Sequence[tuple[Path, int]],
    wanted: Sequence[str],
    assigned: str | None,
    facts: Mapping[str, ShardFacts | str],
) -> tuple[list[NpyShard], list[BadSource]]:
    shards: list[NpyShard] = []
    broken: list[BadSource] = []
    for path, count in entries:
        try:
            known = facts.get(path.name) if path.parent == directory else None
            if isinstance(known, str):
                raise SourceError(known)
            polarization = shard_polarization(path, assigned) if known is None else known.info.polarization
            if wanted and polarization not in wanted:
                continue
            shard = NpyShard(path, str(path), polarization, known)
            if count not in (UNKNOWN, shard.count):
                raise SourceError(f"file_index promises {count} patches, the shard's header {shard.count}")
        except SourceError as error:
            broken.append(BadSource(str(path), str(error)))
        else:
            shards.append(shard)
    return shards, broken


def same_bounds(one: Bounds, other: Bounds) -> bool:
    """Tell whether two bounds scale alike: they are used in float32, so 14.77 is the same in either precision."""
    return all(
        np.float32(mine) == np.float32(theirs) for mine, theirs in ((one.vmin, other.vmin), (one.vmax, other.vmax))
    )


def _find_all_bounds(
    directory: Path, metadata: Mapping[str, object], polarizations: Sequence[str]
) -> dict[str, Bounds]:
    found: dict[str, Bounds] = {}
    for polarization in polarizations:
        stated = [find_bounds(metadata, polarization, str(directory / METADATA))]
        if (directory / GLOBAL_BOUNDS).is_file():
            stated.append(read_bounds_file(directory / GLOBAL_BOUNDS, polarization))
        given = [bounds for bounds in stated if bounds is not None]
        if len(given) == 2 and not same_bounds(*given):
            first, second = given
            raise BoundsError(
                f"{first.origin} says {first.vmin} to {first.vmax} dB, {second.origin} says {second.vmin} to "
                f"{second.vmax} dB; give the right ones with --vmin and --vmax"
            )
        if given:
            found[polarization] = given[-1]
    return found
