"""Files split into train, val and test: all checked before any is changed, and all changed together."""

from __future__ import annotations

import datetime as dt
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from sar_h5 import schema
from sar_h5.columns import write_column
from sar_h5.errors import FormatError, OutputExistsError, SettingError
from sar_h5.file_update import FileUpdate
from sar_h5.opening import name_damage
from sar_h5.schema import SPLIT_NAMES
from sar_h5.splits.leak_checks import check_leaks, describe_leaks
from sar_h5.splits.leakage import (
    LeakageWarning,
    SplitOverlap,
    SplitSource,
    count_noun,
    measure_overlap,
    read_split_source,
)
from sar_h5.splits.methods import SceneSplit, SplitMethod
from sar_h5.splits.planning import Codes, SplitPlan, plan_split
from sar_h5.splits.report import SplitReport
from sar_h5.splits.scenes import merge_scenes
from sar_h5.text_checksum import seal_split, seal_texts
from sar_h5.version import VERSION

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def split_file(
    path: str | Path | Sequence[str | Path],
    method: SplitMethod | None = None,
    *,
    name: str = schema.DEFAULT_SPLIT,
    overwrite: bool = False,
) -> SplitReport:
    """Split the patches of a file into train, val and test, and store that in ``/splits/<name>``.

    Scenes, days and blocks are drawn by their names and places alone, so that files of the same scenes in other
    polarizations are split alike; where files do not hold the same scenes, give all of them at once. Nothing but
    ``/splits`` and the history changes, and each file is as it was or done, even after a kill.

    Args:
        path: a file of this package, or several to split alike.
        method: ``SceneSplit`` (also for None), ``DateSplit``, ``BlockSplit`` or ``PatchSplit``, with its settings.
        name: of the splits; a file may hold several.
        overwrite: whether splits of that name may be replaced.

    Returns:
        How many patches each split got, and what they share.

    Raises:
        SettingError: where the file cannot be split this way, or a split would be empty.
        SourceError: where a file is not there.
        FormatError: where a file is none of this package, or damaged.
        OutputExistsError: where a file holds splits of that name already.
        OutputError: where a file cannot be changed.

    Warns:
        LeakageWarning: where splits share ground or bounds without sharing pixels, or were forced to share pixels.
    """
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(item) for item in path]
    chosen = SceneSplit() if method is None else method
    _check_arguments(paths, chosen, name)
    with ExitStack() as stack:
        updates = [stack.enter_context(FileUpdate(item)) for item in paths]
        sources = [_read_source(update, name, overwrite=overwrite) for update in updates]
        places = {source.path: source.places for source in sources}
        plan = plan_split(chosen, merge_scenes(places), places)
        codes = [plan.assign(source.places) for source in sources]
        overlaps = [measure_overlap(source, name, plan.method, own) for source, own in zip(sources, codes, strict=True)]
        for overlap in overlaps:
            _check_outcome(overlap, plan)
        notes = [
            note
            for update, source, own, overlap in zip(updates, sources, codes, overlaps, strict=True)
            for note in describe_leaks(update.file, source, own, overlap)
        ]
        for note in notes:  # before anything is written, for those who make errors of warnings
            warnings.warn(note, LeakageWarning, stacklevel=2)
        for update, own, overlap in zip(updates, codes, overlaps, strict=True):
            with name_damage(update.path):
                _write_split(update.file, own, overlap, plan)
        for update in updates:
            update.stage()
        for update in updates:
            update.commit()
    groups = {SPLIT_NAMES[code]: plan.count_groups(code) for code in plan.method.wanted} if plan.groups else {}
    return SplitReport(name, plan.method, plan.what, groups, tuple(overlaps), tuple(notes))


def _check_arguments(paths: Sequence[Path], method: object, name: str) -> None:
    if not isinstance(method, SplitMethod):
        raise SettingError(f"expected SceneSplit(), DateSplit(), BlockSplit() or PatchSplit(); found {method!r}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingError(f"expected a name of letters, digits, _ and - for the splits; found {name!r}")
    if not paths:
        raise SettingError("expected at least one file to split; found none")
    if len({path.resolve() for path in paths}) < len(paths):
        raise SettingError(f"expected each file once; found {', '.join(map(str, paths))}")


def _read_source(update: FileUpdate, name: str, *, overwrite: bool) -> SplitSource:
    with name_damage(update.path):
        source = read_split_source(update.file, update.path)
        _check_absent(update, name, overwrite=overwrite)
        return source


def _check_absent(update: FileUpdate, name: str, *, overwrite: bool) -> None:
    group = update.file.get(schema.SPLITS)
    if group is not None and not isinstance(group, h5py.Group):
        raise FormatError(f"{update.path}: expected /{schema.SPLITS} to be a group, found a dataset")
    if group is not None and name in group and not overwrite:
        raise OutputExistsError(
            f"{update.path}: splits called {name!r} are there already; pass --overwrite to replace them, or choose "
            "another --name"
        )


def _check_outcome(overlap: SplitOverlap, plan: SplitPlan) -> None:
    """Refuse what would not serve: an empty split, or one that leaks pixels without having been forced to."""
    for code in plan.method.wanted:
        if overlap.patches[SPLIT_NAMES[code]] == 0:
            got = f" from its {count_noun(plan.count_groups(code), plan.what[:-1])}" if plan.groups else ""
            raise SettingError(
                f"{overlap.path}: split {SPLIT_NAMES[code]} got no patch{got} ({plan.method}); choose another --seed, "
                "a larger fraction, or other blocks, or give it the fraction 0; nothing was written"
            )
    check_leaks(
        overlap,
        f"those of sound files never do: their patches lie within their scenes; run `sar-h5 verify {overlap.path}`",
    )


def _write_split(file: h5py.File, codes: Codes, overlap: SplitOverlap, plan: SplitPlan) -> None:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    group = file.require_group(schema.SPLITS)
    # Beside an old one of that name until it is complete, so that it takes none of its space: only new bytes, at the
    # end of the file, may be many.
    pending = f"{overlap.name}.partial"
    column = schema.split_column(pending)
    dataset = write_column(group, column, codes)
    dataset.attrs.update(_attributes(overlap, plan, now))
    file.flush()
    if overlap.name in group:
        del group[overlap.name]
    group.move(pending, overlap.name)
    lines = [str(file.attrs["history"])] if "history" in file.attrs else []
    lines.append(f"{now} split {plan.method} as {overlap.name} (sar_h5 {VERSION})")
    file.attrs["history"] = "\n".join(lines)
    seal_split(dataset)
    seal_texts(file)


def _attributes(overlap: SplitOverlap, plan: SplitPlan, created: str) -> Mapping[str, object]:
    return {
        **plan.method.to_attrs(),
        "created": created,
        "software": f"sar_h5 {VERSION}",
        "flag_values": np.arange(len(SPLIT_NAMES), dtype=np.uint8),
        "flag_meanings": " ".join(SPLIT_NAMES),
        **{f"{split}_count": np.int64(count) for split, count in overlap.patches.items()},
        "shared_pixels": np.int64(overlap.pixels),
        "scene_pairs_on_same_ground": np.int64(overlap.scene_pairs),
    }
