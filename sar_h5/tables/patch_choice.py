"""Which patches of a file a user asks for: of some scenes, of a split, for which a condition holds."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sar_h5.contents import read_split
from sar_h5.errors import FormatError, SettingError
from sar_h5.schema import DEFAULT_SPLIT
from sar_h5.tables.patch_table import PatchTable, choose_patches, read_patch_table
from sar_h5.tables.where import parse_where

Patches = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PatchChoice:
    """What patches have to be; of all conditions each must hold.

    Attributes:
        where: a condition on their columns; see :func:`sar_h5.tables.where.parse_where`. None for any.
        manifest: a CSV with one row per scene, whose columns may be used too.
        split: "train", "val" or "test"; None for any.
        split_name: which of the file's ways of splitting.
        scenes: names of scenes; empty for all.

    Raises:
        SettingError: where the condition is none.
    """

    where: str | None = None
    manifest: str | Path | None = None
    split: str | None = None
    split_name: str = DEFAULT_SPLIT
    scenes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.where is not None:
            parse_where(self.where)

    @property
    def takes_all(self) -> bool:
        """Whether nothing is asked of them."""
        return self.where is None and self.split is None and not self.scenes

    def to_dict(self) -> dict[str, object]:
        """Return what is asked as plain data for JSON."""
        asked = {"where": self.where, "split": self.split, "scenes": list(self.scenes)}
        named = {"manifest": self.manifest and str(self.manifest), "split_name": self.split and self.split_name}
        return {name: value for name, value in {**asked, **named}.items() if value}


def as_scenes(scene: str | Sequence[str]) -> tuple[str, ...]:
    """Return one name or several as several."""
    return (scene,) if isinstance(scene, str) else tuple(scene)


def read_choice(path: str | Path, choice: PatchChoice) -> tuple[PatchTable, Patches]:
    """Read what a file says about its patches, and find those that are asked for.

    Returns:
        The table of all patches, and int64 (n,), the numbers of those chosen, in order.

    Raises:
        SourceError: where the file or the manifest cannot be read.
        FormatError: where the file is not of this package, damaged, or has no such split.
        SettingError: where there is no such scene, the manifest lacks scenes of the file, or nothing is left.
    """
    table = read_patch_table(path, choice.manifest)
    held = np.ones(table.count, dtype=np.bool_)
    if choice.scenes:
        held &= _of_scenes(table, choice.scenes)
    if choice.split is not None:
        members = read_split(path, choice.split, choice.split_name)
        if members[-1] >= table.count:
            raise FormatError(f"{path}: split {choice.split_name!r} names patch {members[-1]} of {table.count}")
        held &= np.isin(np.arange(table.count), members)
    if choice.where is not None:
        held &= np.isin(np.arange(table.count), choose_patches(table, parse_where(choice.where)))
    chosen = np.flatnonzero(held).astype(np.int64)
    if not choice.takes_all and not len(chosen):
        raise SettingError(f"{path}: none of its {table.count:,} patches is all that was asked for: {choice.to_dict()}")
    return table, chosen


def _of_scenes(table: PatchTable, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    column = table.columns["scene_name"]
    known = column.values.tolist()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name[:200], known, 3, 0.0)
            raise SettingError(f"{table.path}: has no scene {name[:200]!r}; the nearest are {', '.join(near)}")
    numbers = np.flatnonzero([name in names for name in known])
    return np.isin(table["scene"], numbers)
