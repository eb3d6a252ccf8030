"""The splits of a file that is put together from others: those of one name joined, counted and measured again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.columns import write_column
from sar_h5.derivation.attributes import copy_attributes
from sar_h5.derivation.patch_order import PatchOrder
from sar_h5.derivation.pieces import Piece
from sar_h5.opening import name_damage
from sar_h5.splits.leak_checks import check_leaks, describe_leaks
from sar_h5.splits.leakage import SplitOverlap, measure_stored, read_split_source

_MEASURED = {"shared_pixels": "pixels", "scene_pairs_on_same_ground": "scene_pairs"}
"""Attributes of splits that say what they share."""


def write_splits(pieces: Sequence[Piece], file: h5py.File, order: PatchOrder) -> None:
    """Write the splits of all pieces into a new file whose index and scenes are written.

    Patches of files without splits of a name belong to none of them (0). How splits were made is told as the first file
    that has them tells it; what they hold and share is counted again.
    """
    names = dict.fromkeys(name for piece in pieces for name in piece.file.get(schema.SPLITS, {}))
    groups = [piece for piece in pieces if schema.SPLITS in piece.file]
    if not groups:
        return
    group = file.create_group(schema.SPLITS)
    copy_attributes(groups[0].file[schema.SPLITS], group)
    for name in names:
        owners = [piece for piece in groups if name in piece.file[schema.SPLITS]]
        codes = order.gather([_codes(piece, name) for piece in pieces])
        dataset = write_column(group, schema.split_column(name), codes)
        copy_attributes(owners[0].file[schema.SPLITS][name], dataset)
        for code, split in enumerate(schema.SPLIT_NAMES):
            if f"{split}_count" in dataset.attrs:
                dataset.attrs[f"{split}_count"] = np.int64((codes == code).sum())
        if any(measure in dataset.attrs for measure in _MEASURED):
            _write_overlap(dataset, measure_stored(file, read_split_source(file, file.filename), name))


def check_joined_splits(pieces: Sequence[Piece], file: h5py.File, path: Path) -> list[str]:
    """Refuse joined splits that leak pixels without having been forced to, as ``split`` does.

    Args:
        pieces: what the file is put together from.
        file: the new file, complete.
        path: its final name, for messages.

    Returns:
        What may leak without being the same pixels, and which splits were made in different ways.

    Raises:
        FormatError: where splits share pixels.
    """
    if schema.SPLITS not in file:
        return []
    source = read_split_source(file, path)
    notes = []
    for name, dataset in file[schema.SPLITS].items():
        owners = [piece for piece in pieces if name in piece.file.get(schema.SPLITS, {})]
        if len(owners) < 2:
            continue  # nothing was joined
        overlap = measure_stored(file, source, name)
        advice = (
            f"`sar-h5 split {' '.join(piece.name for piece in pieces)} --name {name} --overwrite` splits them alike"
        )
        check_leaks(overlap, advice)
        notes += describe_leaks(file, source, dataset[:], overlap)
        made = {_method(piece, name) for piece in owners}
        if len(made) > 1:
            notes.append(f"splits {name!r} were made in different ways: {'; '.join(sorted(made))}")
    return notes


def _codes(piece: Piece, name: str) -> npt.NDArray[np.uint8]:
    with name_damage(piece.path):
        if name not in piece.file.get(schema.SPLITS, {}):
            return np.zeros(piece.found.count, np.uint8)
        codes: npt.NDArray[np.uint8] = piece.file[schema.SPLITS][name][:]
        return codes


def _write_overlap(dataset: h5py.Dataset, overlap: SplitOverlap) -> None:
    for attribute, measure in _MEASURED.items():
        if attribute in dataset.attrs:
            dataset.attrs[attribute] = np.int64(getattr(overlap, measure))


def _method(piece: Piece, name: str) -> str:
    attrs = piece.file[schema.SPLITS][name].attrs
    parts = [f"{key} {np.asarray(attrs[key]).tolist()}" for key in ("by", "fractions", "seed") if key in attrs]
    return ", ".join(parts) or "by others"
