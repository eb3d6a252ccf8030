"""What ``SARH5Dataset`` shows of itself in a notebook: facts of its file, and a few patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.contents import Columns, PatchSource, read_columns, read_stored
from sar_h5.errors import SarH5Error
from sar_h5.html_card import HtmlCard, Thumbnail
from sar_h5.info import FileInfo, read_info
from sar_h5.opening import open_as_it_is, open_file
from sar_h5.patch_spread import spread_patches
from sar_h5.png import encode_png
from sar_h5.scene_labels import scene_labels, shorten

_THUMBNAILS = 6
_THUMBNAIL_PX = 96
_MOST_SCENES, _MOST_SPLITS = 4, 4
_LARGEST_PATCH_NBYTES = 64 << 20

_DAMAGE = (SarH5Error, OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What HDF5 and its readers raise where a file is damaged. A card shows what is left: nobody wants a
traceback for typing a name."""


def read_card(title: str, path: str, source: PatchSource, patches: npt.NDArray[np.int64] | None = None) -> HtmlCard:
    """Read what a card says about a data set: six patches are decoded, whatever the size of the file.

    Args:
        title: its first line.
        path: of the file. Where it is gone or damaged, the card says so.
        source: its patches.
        patches: int64 (n,), numbers of those that belong to the data set; None for all.
    """
    count = source.shape[0] if patches is None else len(patches)
    facts, notes = [("patches", _patch_text(count, source))], list[str]()
    readers: tuple[Callable[[], list[tuple[str, str]]], ...] = (
        (lambda: _file_facts(read_info(path, splits=False)), lambda: _scene_facts(path), lambda: _split_facts(path))
        if source.settings
        else ()
    )
    for reader in readers:
        try:
            facts += reader()
        except _DAMAGE as error:
            notes.append(shorten(str(error), 200))
    try:
        thumbnails, broken = _thumbnails(path, source, patches, count)
    except _DAMAGE as error:
        thumbnails, broken = [], 0
        notes.append(shorten(str(error), 200))
    if broken:
        notes.append(f"{broken} of the patches to show here cannot be read: run `sar-h5 verify {path}`")
    return HtmlCard(title, tuple(facts), tuple(thumbnails), tuple(dict.fromkeys(notes)))


def _patch_text(count: int, source: PatchSource) -> str:
    total, height, width = source.shape
    of_all = "" if count == total else f" of {total:,}"
    stride = source.settings.stride if source.settings else schema.UNKNOWN
    distance = "" if stride == schema.UNKNOWN else f", stride {stride} px"
    return f"{count:,}{of_all} x {height} x {width}{distance}, {source.dtype.name}"


def _file_facts(info: FileInfo) -> list[tuple[str, str]]:
    settings = info.settings
    codes = f", {info.levels:,} codes" if info.levels else ""
    return [
        ("polarization", settings.polarization.upper()),
        ("bounds", f"{settings.vmin:.4f} to {settings.vmax:.4f} dB = 0 to 1"),
        ("encoding", f"{settings.encoding}{codes}; {info.filter}"),
        ("size", f"{info.nbytes / 1e6:,.2f} MB, {info.ratio:.2f} x smaller than float32"),
    ]


def _scene_facts(path: str) -> list[tuple[str, str]]:
    scenes = read_columns(path, schema.SCENES)
    labels, counts = scene_labels(scenes), scenes["patch_count"].tolist()
    lines = [f"{label}: {count:,} patches" for label, count in zip(labels, counts, strict=True)]
    if len(lines) > _MOST_SCENES:
        lines[_MOST_SCENES - 1 :] = [f"and {len(lines) - _MOST_SCENES + 1:,} more{_dates(scenes)}"]
    return [("scenes" if len(labels) != 1 else "scene", "\n".join(lines))]


def _dates(scenes: Columns) -> str:
    known = sorted(str(start)[:10] for start in scenes["start_time"] if start)
    return f", {known[0]} to {known[-1]}" if known else ""


def _split_facts(path: str) -> list[tuple[str, str]]:
    with open_as_it_is(path) as file:
        names = sorted(file[schema.SPLITS]) if schema.SPLITS in file else []
        lines = [f"{shorten(name)}: {_split_counts(file[schema.SPLITS][name])}" for name in names[:_MOST_SPLITS]]
    if len(names) > _MOST_SPLITS:
        lines.append(f"and {len(names) - _MOST_SPLITS} more")
    return [("splits", "\n".join(lines) or "none")]


def _split_counts(members: h5py.Dataset) -> str:
    counts = np.bincount(members[:], minlength=4)
    names = {1: "train", 2: "val", 3: "test", 0: "unused"}
    return ", ".join(f"{counts[number]:,} {name}" for number, name in names.items() if counts[number])


def _thumbnails(
    path: str, source: PatchSource, patches: npt.NDArray[np.int64] | None, count: int
) -> tuple[list[Thumbnail], int]:
    """Return a few patches as pictures, and how many of those chosen cannot be read."""
    _, height, width = source.shape
    if not 0 < height * width * 8 <= _LARGEST_PATCH_NBYTES:
        return [], 0
    chosen = spread_patches(count, _THUMBNAILS)
    numbers = chosen if patches is None else patches[chosen]
    found: list[tuple[int, npt.NDArray[np.float32]]] = []
    with open_file(path) as file:
        lut = file[schema.LUT][:] if source.settings and source.dtype.kind == "u" and schema.LUT in file else None
        for number in numbers.tolist():
            try:
                stored = read_stored(file, source, number)
                found.append((number, _reduced(stored if lut is None else lut[stored])))
            except _DAMAGE:
                continue
    low, high = _limits([image for _, image in found], is_scaled=source.settings is not None)
    return [Thumbnail(encode_png(_to_bytes(image, low, high)), f"patch {number}") for number, image in found], len(
        numbers
    ) - len(found)


def _reduced(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Average blocks of pixels until both sides fit a thumbnail; a long patch keeps its form."""
    height, width = values.shape
    step = -(-max(height, width) // _THUMBNAIL_PX)
    down, right = min(step, height), min(step, width)
    rows, cols = height // down, width // right
    blocks = values[: rows * down, : cols * right].astype(np.float64).reshape(rows, down, cols, right)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _limits(images: list[npt.NDArray[np.float32]], *, is_scaled: bool) -> tuple[float, float]:
    values = np.concatenate([image[np.isfinite(image)] for image in images] or [np.zeros(0, np.float32)])
    if is_scaled or values.size == 0:
        return 0.0, 1.0
    low, high = (float(bound) for bound in np.percentile(values, [1, 99]))
    return low, max(high, low + 1e-6)


def _to_bytes(image: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.uint8]:
    shades = np.nan_to_num((np.clip(image, low, high) - low) / (high - low))
    return np.asarray(np.round(shades * 255), dtype=np.uint8)
