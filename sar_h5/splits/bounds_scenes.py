"""Which scenes gave the bounds: as a user lists them, and whether all of them are training scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.contents import split_codes
from sar_h5.errors import SettingError
from sar_h5.opening import name_damage, open_as_it_is
from sar_h5.splits.leakage import count_noun, held_splits, read_split_source
from sar_h5.splits.scenes import PatchPlaces

_MOST_NAMED = 3
_FROM_ALL = "percentiles"
"""How ``bounds_origin`` begins in files made before they listed the scenes: all of them gave the bounds."""


def find_bounds_scenes(given: Sequence[str], known: Iterable[str]) -> frozenset[str]:
    """Return the scenes that are to give the bounds.

    Args:
        given: names of scenes, text files with a name in each line (blank lines and those that begin with # do not
            count), and HDF5 files of this package, whose scenes of training these are.
        known: the names of all scenes to convert.

    Raises:
        SettingError: where one is neither, or names no scene to convert.
        FormatError: where an HDF5 file holds no default splits.
    """
    names = frozenset(known)
    found: set[str] = set()
    for item in given:
        found |= {item} if item in names else _read_list(Path(item), names)
    return frozenset(found)


def _read_list(path: Path, known: frozenset[str]) -> set[str]:
    if not path.is_file():
        raise SettingError(
            f"--bounds-from {path}: expected a scene, a text file with a scene in each line, or an HDF5 file with "
            f"splits; found none of them. {_describe_known(known)}"
        )
    listed = set(_train_scenes(path) if h5py.is_hdf5(path) else _read_lines(path))
    if not listed:
        raise SettingError(f"--bounds-from {path}: expected the name of a scene in each line; found none")
    if strange := sorted(listed - known):
        raise SettingError(
            f"--bounds-from {path}: expected scenes to convert; {_enumerate(strange)} "
            f"{'is' if len(strange) == 1 else 'are'} none. {_describe_known(known)}"
        )
    return listed


def _read_lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"--bounds-from {path}: expected a text file with a scene in each line: {error}") from error
    return [line for line in lines if line and not line.startswith("#")]


def _train_scenes(path: Path) -> list[str]:
    with name_damage(path), open_as_it_is(path) as file:
        places = read_split_source(file, path).places
        codes = split_codes(file, path, schema.DEFAULT_SPLIT, " for --bounds-from")
    names = [scene.name for scene, wholly in zip(places.scenes, _wholly_train(places, codes), strict=True) if wholly]
    if not names:
        raise SettingError(
            f"--bounds-from {path}: expected scenes that lie wholly in train, found none: its splits divide each "
            "scene; give bounds with --vmin and --vmax, or list scenes"
        )
    return names


def _wholly_train(places: PatchPlaces, codes: npt.NDArray[np.uint8]) -> list[bool]:
    held = held_splits(places, codes)
    wholly: list[bool] = (held[:, 0] & ~held[:, 1:].any(axis=1)).tolist()
    return wholly


def read_bounds_scenes(file: h5py.File, names: Sequence[str]) -> list[str]:
    """Return the names of the scenes that gave the bounds of an open file; none where bounds were given.

    Args:
        file: the file; where it does not list them, its ``bounds_origin`` tells whether all scenes gave the bounds.
        names: of all its scenes.
    """
    if schema.BOUNDS_SCENES in file.attrs:
        return read_names(file, schema.BOUNDS_SCENES)
    return list(names) if str(file.attrs.get("bounds_origin", "")).startswith(_FROM_ALL) else []


def read_names(file: h5py.File, attribute: str) -> list[str]:
    """Return the names that an attribute of the root lists."""
    names = np.atleast_1d(file.attrs[attribute]).tolist()
    return [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names]


def scenes_outside_train(file: h5py.File, places: PatchPlaces, codes: npt.NDArray[np.uint8]) -> list[str]:
    """Return the scenes that gave the bounds of an open file and have patches in other splits than train.

    Args:
        file: the file; where it does not list the scenes, its ``bounds_origin`` tells whether all gave the bounds.
        places: where its patches lie.
        codes: uint8 (N,), the split of each patch.
    """
    sources = set(read_bounds_scenes(file, [scene.name for scene in places.scenes]))
    elsewhere: npt.NDArray[np.bool_] = held_splits(places, codes)[:, 1:].max(axis=1)
    scenes = zip(places.scenes, elsewhere, strict=True)
    return [scene.name for scene, outside in scenes if outside and scene.name in sources]


def warn_of_bounds(path: str, name: str, outside: Sequence[str], *, whole: bool) -> str:
    """Say that scenes outside train gave the bounds, and what to do.

    Args:
        path: the file.
        name: of the splits.
        outside: the scenes.
        whole: whether the splits keep scenes whole.
    """
    if not whole:
        advice = "--vmin and --vmax"
    elif name == schema.DEFAULT_SPLIT:
        advice = f"--bounds-from {path}, for the scenes of train,"
    else:  # of a file, --bounds-from takes the default splits
        advice = f"--bounds-from and a text file of the scenes of train, which are those of {name!r} in {path},"
    return (
        f"{path}: bounds were computed on {count_noun(len(outside), 'scene')} not wholly in train "
        f"({_enumerate(outside)}), of which training sees a little through them; to avoid even that, convert again "
        f"with {advice} and split again"
    )


def _enumerate(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def _describe_known(known: frozenset[str]) -> str:
    return f"Scenes to convert: {_enumerate(sorted(known))}" if known else "There is no scene to convert"
