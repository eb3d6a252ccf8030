"""Every object of an HDF5 file, each once, and nothing outside it; what a file may make its reader allocate.

HDF5 follows a link into another file, and reads data that lie in others (external storage, virtual datasets), when a
program only asks for what the file itself holds. A file from elsewhere could so have any file of this machine read. And
a file of a kilobyte can announce a column of a terabyte, which HDF5 fills in. So all links and sizes are looked at
before anything is read.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import h5py

from sar_h5 import schema
from sar_h5.errors import UnsafeFileError

MOST_OBJECTS = 100_000
"""How many links a file may hold; those of this package hold about 40."""

MOST_DEPTH = 100
"""How deep groups may be nested."""

MOST_PATCHES = 50_000_000
"""How many patches; the table of their places takes 17 bytes for each, their index 20."""

MOST_PATCH_NBYTES = 1 << 30
"""How large a patch may be, as stored or as float32: 16,384 x 16,384 of float32."""

MOST_COLUMNS_NBYTES = 2 << 30
"""How large all columns of a file of this package may be together: index, scenes, splits and tables, all but patches
and what users have added. Those of 720,953 patches take 20 MB."""

_DISTRUST = "no file of this package is like that: do not use it where you do not know who made it"
_ADVICE = "copy what you need into one file (h5py: File.copy, expand_external=True), if you trust where it points"


def walk_objects(file: h5py.File) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield the name and the object of every group and dataset of an open file, those nearest to the root first.

    Without recursion, since a file can nest a million groups, or hold itself; each object comes once.

    Raises:
        UnsafeFileError: where a link leads to another file or is of an unknown kind, or where there are too many of
            them, or too deep.
    """
    waiting = deque([("", file.id, 0)])
    seen = {_address(h5py.h5o.open(file.id, b"."))}
    count = 0
    while waiting:
        above, group, depth = waiting.popleft()
        if depth > MOST_DEPTH:
            reason = f"expected groups in at most {MOST_DEPTH} others, found more; {_DISTRUST}"
            raise UnsafeFileError.at(file.filename, f"{above[:80]}...", reason)
        for link, kind in _links(group, file.filename, MOST_OBJECTS - count):
            count += 1
            name = f"{above}/{link.decode(errors='backslashreplace')}"
            if kind == h5py.h5l.TYPE_SOFT:  # leads to another object of this file, or nowhere
                continue
            if kind != h5py.h5l.TYPE_HARD:
                reason = f"expected an object of this file, found {_describe(group, link)}; {_ADVICE}"
                raise UnsafeFileError.at(file.filename, name, reason)
            item = h5py.h5o.open(group, link)
            if _address(item) in seen:
                continue
            seen.add(_address(item))
            if isinstance(item, h5py.h5g.GroupID):
                yield name, h5py.Group(item)
                waiting.append((name, item, depth + 1))
            elif isinstance(item, h5py.h5d.DatasetID):
                yield name, h5py.Dataset(item)


def check_objects(file: h5py.File) -> None:
    """Make sure that an open file leads to no other one, and that it takes bounded memory to read.

    Raises:
        UnsafeFileError: where it does not.
    """
    ours = _is_ours(file)
    columns_nbytes = 0
    for name, item in walk_objects(file):
        if not isinstance(item, h5py.Dataset):
            continue
        _check_storage(file.filename, name, item.id)
        if ours and _is_column(name):
            columns_nbytes += _check_column(file.filename, name, item.id)
            if columns_nbytes > MOST_COLUMNS_NBYTES:
                reason = (
                    f"expected columns of at most {MOST_COLUMNS_NBYTES:,} bytes together, found {columns_nbytes:,} "
                    f"up to this one of shape {item.shape}; {_DISTRUST}"
                )
                raise UnsafeFileError.at(file.filename, name, reason)


def check_patches(patches: h5py.Dataset) -> None:
    """Make sure that a dataset (N, H, W) announces no more than its file can hold, nor patches of any size.

    Raises:
        UnsafeFileError: where it does.
    """
    count, height, width = patches.shape
    creation = patches.id.get_create_plist()
    path, place = patches.file.filename, str(patches.name)
    largest = max(height * width, math.prod(patches.chunks or (0,))) * max(patches.dtype.itemsize, 4)
    if height * width == 0:
        raise UnsafeFileError.at(path, place, f"expected patches with pixels, found {height} x {width}; convert again")
    if count > MOST_PATCHES or largest > MOST_PATCH_NBYTES:
        reason = (
            f"expected at most {MOST_PATCHES:,} patches of at most {MOST_PATCH_NBYTES:,} bytes, stored and as float32, "
            f"found {count:,} of {height:,} x {width:,} in chunks {patches.chunks}; {_DISTRUST}"
        )
        raise UnsafeFileError.at(path, place, reason)
    nbytes = count * height * width * patches.dtype.itemsize
    if creation.get_layout() == h5py.h5d.CONTIGUOUS and patches.id.get_offset() is not None:
        end, held = patches.id.get_offset() + nbytes, patches.file.id.get_filesize()
        if end > held:
            reason = (
                f"expected its {nbytes:,} bytes to lie in the file, which ends {end - held:,} before; copy it again"
            )
            raise UnsafeFileError.at(path, place, reason)


def _links(group: h5py.h5g.GroupID, filename: str, most: int) -> list[tuple[bytes, int]]:
    found: list[tuple[bytes, int]] = []

    def note(name: bytes, info: h5py.h5l.LinkInfo) -> bool | None:
        found.append((name, info.type))
        return True if len(found) > most else None  # anything but None ends the iteration

    group.links.iterate(note, info=True)
    if len(found) > most:
        raise UnsafeFileError.at(filename, "/", f"expected at most {MOST_OBJECTS:,} objects, found more; {_DISTRUST}")
    return found


def _address(item: h5py.h5i.ObjectID) -> tuple[int, int]:
    info = h5py.h5o.get_info(item)
    return info.fileno, info.addr


def _describe(group: h5py.h5g.GroupID, link: bytes) -> str:
    if group.links.get_info(link).type != h5py.h5l.TYPE_EXTERNAL:
        return "a link of a kind that HDF5 does not define"
    file, name = group.links.get_val(link)
    return f"a link to {name.decode(errors='replace')} in {file.decode(errors='replace')}"


def _check_storage(filename: str, name: str, dataset: h5py.h5d.DatasetID) -> None:
    creation = dataset.get_create_plist()
    outside = [creation.get_external(number)[0] for number in range(creation.get_external_count())]
    if creation.get_layout() == h5py.h5d.VIRTUAL:
        sources = {creation.get_virtual_filename(number) for number in range(creation.get_virtual_count())}
        outside += [source.encode() for source in sorted(sources - {"."})]
    if outside:
        shown = ", ".join(path.decode(errors="replace") for path in outside[:3])
        reason = f"expected a dataset whose data lie in this file, found them in {shown}; {_ADVICE}"
        raise UnsafeFileError.at(filename, name, reason)


def _is_ours(file: h5py.File) -> bool:
    name = file.attrs.get("format")
    return isinstance(name, str) and name == schema.FORMAT


def _is_column(name: str) -> bool:
    """Whether a dataset is one that readers read whole; what users have added beside those is theirs."""
    path = name.strip("/")
    return path in schema.COLUMN_PATHS or path.partition("/")[0] == schema.SPLITS


def _check_column(filename: str, name: str, dataset: h5py.h5d.DatasetID) -> int:
    """Return how much memory a column takes, with the chunk that HDF5 decodes at a time."""
    kind = dataset.get_type()
    if kind.detect_class(h5py.h5t.VLEN) or (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()):
        reason = f"expected values of one length, found some of any length, whose memory nothing bounds; {_DISTRUST}"
        raise UnsafeFileError.at(filename, name, reason)
    creation = dataset.get_create_plist()
    chunk = creation.get_chunk() if creation.get_layout() == h5py.h5d.CHUNKED else ()
    count: int = math.prod(dataset.shape or ()) + math.prod(chunk)
    return count * int(kind.get_size())
