"""What splits of a file share: pixels, which must be none, and ground that several scenes cover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.contents import columns_of, find_patches, split_codes
from sar_h5.errors import FormatError
from sar_h5.opening import name_damage, open_as_it_is
from sar_h5.schema import SPLIT_NAMES
from sar_h5.splits.footprints import Footprints, scene_footprints
from sar_h5.splits.methods import SplitMethod, method_from_attrs
from sar_h5.splits.scenes import PatchPlaces, patch_places
from sar_h5.splits.shared_pixels import count_shared_pixels


class LeakageWarning(UserWarning):
    """Something of validation or test that training may see, without being the same pixels."""


@dataclass(frozen=True)
class SplitOverlap:
    """What the splits of a file hold and share.

    Attributes:
        path: the file.
        name: of the splits.
        method: how they were made; None where the file does not say.
        patches: how many patches there are of "train", "val", "test" and "unused".
        shared_pixels: how many pixels lie in patches of two splits, by "train/val", "train/test" and "val/test".
        unknown: how many patches may share pixels with another split beyond that: their scene has patches in several
            splits, and their places are not known.
        scene_pairs: how many pairs of scenes with patches of different splits cover the same ground; -1 where there are
            too many scenes to compare.
    """

    path: str
    name: str
    method: SplitMethod | None
    patches: Mapping[str, int]
    shared_pixels: Mapping[str, int]
    unknown: int
    scene_pairs: int

    @property
    def pixels(self) -> int:
        """How many pixels are shared, over all pairs of splits."""
        return sum(self.shared_pixels.values())

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return {
            "path": self.path,
            "name": self.name,
            "method": None if self.method is None else str(self.method),
            "patches": dict(self.patches),
            "shared_pixels": dict(self.shared_pixels),
            "unknown": self.unknown,
            "scene_pairs": self.scene_pairs,
        }

    def describe_overlap(self) -> str:
        """Say in one line what is shared."""
        parts = [f"{count_noun(self.pixels, 'pixel')} in two splits"]
        if self.unknown:
            parts.append(f"{count_noun(self.unknown, 'patch', 'patches')} of scenes in several splits, places unknown")
        if self.scene_pairs < 0:
            parts.append("the ground of so many scenes was not compared")
        elif self.scene_pairs:
            parts.append(f"{count_noun(self.scene_pairs, 'pair')} of scenes of different splits on the same ground")
        return ", ".join(parts)


@dataclass(frozen=True)
class SplitSource:
    """What splitting and checking splits need of a file.

    Attributes:
        path: the file.
        places: where its patches lie.
        footprints: where its scenes lie on the ground.
    """

    path: str
    places: PatchPlaces
    footprints: Footprints


def count_noun(count: int, noun: str, plural: str = "") -> str:
    """Say how many there are of something."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def split_overlap(path: str | Path, name: str = schema.DEFAULT_SPLIT) -> SplitOverlap:
    """Count what the splits of a file share: the pixels exactly, and the pairs of scenes on the same ground.

    Args:
        path: a file of this package.
        name: of the splits.

    Raises:
        SourceError: where the file is not there.
        FormatError: where it is no file of this package, is damaged, or has no splits of that name.
    """
    with name_damage(path), open_as_it_is(path) as file:
        return measure_stored(file, read_split_source(file, path), name)


def read_split_source(file: h5py.File, path: str | Path) -> SplitSource:
    """Read from an open file what splitting needs.

    Raises:
        FormatError: where it is no file of this package.
    """
    patches = find_patches(file, None)
    if patches.settings is None:
        raise FormatError(f"{path}: expected a file made by sar-h5 convert (attribute format={schema.FORMAT!r})")
    index, scenes = columns_of(file, path, schema.INDEX), columns_of(file, path, schema.SCENES)
    if len(index["scene"]) != patches.shape[0]:
        raise FormatError(
            f"{path}: expected {patches.shape[0]:,} rows in /{schema.INDEX}, found {len(index['scene']):,}; run "
            f"`sar-h5 verify {path}`"
        )
    table = file.get(f"{schema.SCENES}/{schema.GCP_TABLE.name}")
    gcps = table[:] if isinstance(table, h5py.Dataset) else np.zeros((0, schema.GCP_TABLE.width))
    places = patch_places(index, scenes, patches.settings.patch_size)
    return SplitSource(str(path), places, scene_footprints(scenes, gcps))


def measure_stored(file: h5py.File, source: SplitSource, name: str) -> SplitOverlap:
    """Measure splits that an open file holds.

    Raises:
        FormatError: where it has none of that name, or they do not fit its patches.
    """
    codes = split_codes(file, source.path, name)
    if len(codes) != len(source.places.scene) or codes.max(initial=0) >= len(SPLIT_NAMES):
        raise FormatError(
            f"{source.path}: expected /{schema.SPLITS}/{name} to hold 0 to 3 for each of "
            f"{len(source.places.scene):,} patches, found {len(codes):,} up to {codes.max(initial=0)}; "
            f"`sar-h5 split {source.path} --name {name} --overwrite` makes it anew"
        )
    try:
        method = method_from_attrs(file[schema.SPLITS][name].attrs)
    except (KeyError, TypeError, ValueError):
        method = None  # made by others, which the format allows
    return measure_overlap(source, name, method, codes)


def measure_overlap(
    source: SplitSource, name: str, method: SplitMethod | None, codes: npt.NDArray[np.uint8]
) -> SplitOverlap:
    """Count what splits share.

    Args:
        source: the file.
        name: of the splits.
        method: how they were made, or None.
        codes: uint8 (N,), the split of each patch.
    """
    places = source.places
    known = places.known
    shared = count_shared_pixels(
        codes[known], places.scene[known], places.row[known], places.col[known], places.patch_size
    )
    held = held_splits(places, codes)
    mixed = (held.sum(axis=1) > 1)[places.scene]
    counts = np.bincount(codes, minlength=len(SPLIT_NAMES))
    return SplitOverlap(
        path=source.path,
        name=name,
        method=method,
        patches={SPLIT_NAMES[code]: int(counts[code]) for code in (1, 2, 3, 0)},
        shared_pixels={f"{SPLIT_NAMES[one]}/{SPLIT_NAMES[other]}": count for (one, other), count in shared.items()},
        unknown=int((mixed & ~known & (codes > 0)).sum()),
        scene_pairs=_count_pairs(source, codes, held),
    )


def held_splits(places: PatchPlaces, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which splits each scene has patches of, bool (S, 3) for train, val and test."""
    count = len(SPLIT_NAMES)
    cells = np.bincount(places.scene * count + codes, minlength=len(places.scenes) * count)
    held: npt.NDArray[np.bool_] = cells.reshape(-1, count)[:, 1:] > 0
    return held


def _count_pairs(source: SplitSource, codes: npt.NDArray[np.uint8], held: npt.NDArray[np.bool_]) -> int:
    """Count the pairs of scenes of different splits on the same ground, -1 where there are too many scenes.

    Scenes whose pixels lie in one lattice are compared pixel by pixel: blocks keep their splits apart there.
    """
    pairs = source.footprints.pairs()
    if pairs is None:
        return schema.UNKNOWN
    one, other = held[pairs[:, 0]], held[pairs[:, 1]]
    differing = one.any(axis=1) & other.any(axis=1) & ((one | other).sum(axis=1) > 1)
    pairs = pairs[differing]
    if len(pairs) == 0:
        return 0
    lattices = _lattice_numbers(source.places)
    first, second = lattices[pairs[:, 0]], lattices[pairs[:, 1]]
    clean = [
        number for number in np.unique(first[first == second]) if _is_clean(source.places, codes, lattices, number)
    ]
    return int((~((first == second) & np.isin(first, clean))).sum())


def _lattice_numbers(places: PatchPlaces) -> npt.NDArray[np.int64]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(scene.lattice.key, len(numbers)) for scene in places.scenes], dtype=np.int64)


def _is_clean(places: PatchPlaces, codes: npt.NDArray[np.uint8], lattices: npt.NDArray[np.int64], number: int) -> bool:
    """Whether no pixel of a lattice lies in patches of two splits, of whichever scenes."""
    corners = np.array([(scene.lattice.row, scene.lattice.col) for scene in places.scenes], dtype=np.int64)
    own = np.flatnonzero((lattices[places.scene] == number) & places.known)
    row, col = (axis[own] + corners[places.scene[own], place] for place, axis in enumerate((places.row, places.col)))
    shared = count_shared_pixels(codes[own], np.zeros_like(own), row, col, places.patch_size)
    return sum(shared.values()) == 0 and bool(places.known[lattices[places.scene] == number].all())
