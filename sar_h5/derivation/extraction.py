"""``extract``: some patches of a file as a file of their own."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.contents import read_split
from sar_h5.cores import usable_cores
from sar_h5.derivation.derivation_summary import DerivationSummary
from sar_h5.derivation.making import Making
from sar_h5.derivation.pieces import Piece, open_piece
from sar_h5.derivation.requests import check_jobs, check_output, requested_bounds
from sar_h5.errors import SettingError
from sar_h5.pending import PendingFile
from sar_h5.progress import Progress
from sar_h5.selection import Indices, patch_numbers
from sar_h5.tables.patch_table import select_patches

Mask = npt.NDArray[np.bool_]


def extract(
    path: str | Path,
    out: str | Path,
    *,
    where: str | None = None,
    split: str | None = None,
    scenes: str | Sequence[str] = (),
    indices: Indices | None = None,
    manifest: str | Path | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    bounds: str | Path | None = None,
    overwrite: bool = False,
    jobs: int | None = None,
    progress: bool | None = False,
) -> DerivationSummary:
    """Write some patches of a file into a new one, in the order of the file; all conditions must hold.

    Chunks are copied as they are stored, each checked on the way. Splits, columns, histogram and history come along.
    A scene that has patches, but none that was chosen, is not in the new file; one without any in FILE stays, unless
    scenes are named. What has been left out is on record (``/index/position``, ``/scenes/left_out_count``,
    ``extracted_from``): ``verify`` with a source takes it for no fault, and ``merge`` of all parts gives the file back.

    Args:
        path: a file of this package.
        out: the new file; its directory must exist.
        where: a condition on the columns; see :func:`sar_h5.tables.where.parse_where`.
        split: "train", "val" or "test", or another of the file's ways of splitting: "blocks:train".
        scenes: names of scenes.
        indices: numbers of patches, a slice, or a mask.
        manifest: a CSV with a row per scene, whose columns ``where`` may use.
        vmin: bound in dB to give to the new file, with ``vmax``; possible where it holds digital numbers (encoding
            "dn"). Patches that the quality filter drops with these bounds are left out.
        vmax: the upper bound.
        bounds: file with these bounds instead.
        overwrite: whether ``out`` may replace a file; never ``path`` itself.
        jobs: number of threads; None for as many as this process may use cores.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Raises:
        SettingError: where nothing is asked for, or nothing chosen; where ``out`` is the file itself.
        SourceError: where there is no such file.
        FormatError: where it is none of this package, or damaged (:class:`CorruptPatchError` names a broken patch).
        BoundsError: where the bounds cannot be changed.
        OutputError: where the result exists and may not be replaced, or cannot be written.
    """
    old, new = Path(path), Path(out)
    names = (scenes,) if isinstance(scenes, str) else tuple(scenes)
    choice = Choice(where, split, names, indices, manifest)
    check_jobs(jobs)
    check_output(new, [old])
    with PendingFile(new, overwrite=overwrite) as pending, Progress(progress) as bar:
        with open_piece(old) as piece:
            given = requested_bounds(vmin, vmax, bounds, piece.found.settings.polarization)
            if choice.is_everything and given is None:
                raise SettingError(
                    "nothing says which patches to extract; give --where, --split, --scene, or other bounds (--vmin "
                    "and --vmax); for a copy, copy the file"
                )
            chosen = choice.of(piece)
            what = [*choice.describe(), *([] if given is None else [f"bounds {given.vmin!r} to {given.vmax!r} dB"])]
            operation = f"extract {old} to {new} with {', '.join(what)}"
            summary = Making([chosen], operation, given, usable_cores() if jobs is None else jobs).run(pending, bar)
        pending.commit()
    return summary


@dataclass(frozen=True)
class Choice:
    """Which patches to take of a file: those for which everything holds that is given.

    Attributes:
        where: a condition on the columns.
        split: "train" or "NAME:train".
        scenes: names of scenes; none for all.
        indices: numbers of patches.
        manifest: a CSV whose columns the condition may use.

    Raises:
        SettingError: where there is a manifest and no condition.
    """

    where: str | None = None
    split: str | None = None
    scenes: tuple[str, ...] = ()
    indices: Indices | None = None
    manifest: str | Path | None = None

    def __post_init__(self) -> None:
        if self.manifest is not None and self.where is None:
            raise SettingError(f"{self.manifest}: a manifest has columns for a condition; give --where as well")

    @property
    def is_everything(self) -> bool:
        """Whether nothing is asked for."""
        return self.where is None and self.split is None and not self.scenes and self.indices is None

    def describe(self) -> list[str]:
        """Say what is asked for, for the history."""
        texts = [f"where={self.where[:200]!r}"] if self.where is not None else []
        texts += [f"split={self.split}"] if self.split is not None else []
        texts += (
            [f"scenes={', '.join(self.scenes[:5])}{', ...' if len(self.scenes) > 5 else ''}"] if self.scenes else []
        )
        return texts + (["indices"] if self.indices is not None else [])

    def of(self, piece: Piece) -> Piece:
        """Take what is asked for of a file.

        Raises:
            SettingError: where that is nothing, or a scene is not in it.
            FormatError: where it has no such split.
        """
        chosen = np.ones(piece.found.count, np.bool_)
        if self.scenes:
            chosen &= np.isin(piece.found.index["scene"], self._scene_numbers(piece))
        if self.split is not None:
            name, _, split = self.split.rpartition(":")
            chosen &= _mask(piece, read_split(piece.path, split, name or schema.DEFAULT_SPLIT))
        if self.where is not None:
            chosen &= _mask(piece, select_patches(piece.path, self.where, self.manifest))
        if self.indices is not None:
            chosen &= _mask(piece, patch_numbers(self.indices, piece.found.count))
        if not chosen.any():
            what = f" with {', '.join(self.describe())}" if self.describe() else ""
            raise SettingError(
                f"{piece.name}: none of its {piece.found.count:,} patches is chosen{what}; nothing was written"
            )
        return piece.take(np.flatnonzero(chosen).astype(np.int64), self._scenes_with(piece, chosen))

    def _scene_numbers(self, piece: Piece) -> list[int]:
        names = piece.scene_names
        unknown = [name for name in self.scenes if name not in names]
        if unknown:
            near = difflib.get_close_matches(unknown[0], names, 3, 0.3) or names[:3]
            raise SettingError(
                f"{piece.name}: expected scenes of the file, found {', '.join(map(repr, unknown[:3]))}, which it does "
                f"not have; it has {len(names):,}, such as {', '.join(near)}"
            )
        return [number for number, name in enumerate(names) if name in self.scenes]

    def _scenes_with(self, piece: Piece, chosen: Mask) -> tuple[int, ...]:
        """Return the scenes that are left: with a chosen patch, and, where none are named, without any before."""
        counts = np.bincount(piece.found.index["scene"][chosen], minlength=len(piece.scene_names))
        stays = counts > 0
        if not self.scenes:
            stays |= piece.found.scenes["patch_count"] == 0
        scenes: list[int] = np.flatnonzero(stays).tolist()
        return tuple(scenes)


def _mask(piece: Piece, numbers: npt.NDArray[np.int64]) -> Mask:
    mask = np.zeros(piece.found.count, np.bool_)
    mask[numbers] = True
    return mask
