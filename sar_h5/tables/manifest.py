"""A CSV of the user's own with one row per scene: its columns, in the order of a file's scenes."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SarH5Error, SettingError, SourceError

SCENE_COLUMN_NAMES = ("scene", "scene_name", "name")
"""What the column with the scenes' names may be called; the first of these that a manifest has."""

DELIMITERS = ",;\t"
MAX_LINE = 1 << 20
"""Characters in a line. The module csv refuses fields of more than 131,072."""

MAX_RECORD = 16 << 20
"""Characters in a record. With quotes it may go on over any number of lines, and csv holds all of it."""

_MOST_NAMED = 5
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(
    r"[+-]?(?:(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?)|nan", re.IGNORECASE
)
_TRUTH = {"true": True, "false": False}


def read_manifest(path: str | Path, scenes: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Read the columns that a manifest has about the scenes of a file.

    The manifest is a CSV in UTF-8 with a header, and a comma, a semicolon or a tab between columns. One column,
    ``scene`` (or ``scene_name``, or ``name``), holds the scenes' names. Rows of other scenes are passed over; columns
    without a name, such as the row numbers that pandas writes, too. Only rows of ``scenes`` are kept in memory, and
    decide what a column holds: integers; floats, where empty means NaN; true and false; else text. Numbers with leading
    zeros are text.

    Args:
        path: the manifest.
        scenes: names of the file's scenes.

    Returns:
        One array (len(scenes),) per column but that of the names: int64, float64, bool, or object with str.

    Raises:
        SourceError: where it cannot be read, is not such a CSV, or holds a scene twice.
        SettingError: where it lacks scenes of the file.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            table = _read_table(stream, str(path), set(scenes))
    except SarH5Error:
        raise
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: expected a manifest in UTF-8, found {error.reason}; save it as UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL character
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{path}: expected a manifest (CSV), cannot read it: {reason}") from error
    _check_complete(table, str(path), scenes)
    return {
        name: to_values([table.rows[scene][number] for scene in scenes])
        for number, name in enumerate(table.header)
        if name and number != table.scene_column
    }


@dataclass
class _Table:
    header: list[str]
    scene_column: int
    rows: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def _read_table(stream: TextIO, path: str, scenes: set[str]) -> _Table:
    delimiter = _find_delimiter(stream, path)
    stream.seek(0)
    records = _records(stream, path, delimiter)
    _, first = next(records)
    table = _Table([name.strip() for name in first], 0)
    table.scene_column = _find_scene_column(table.header, path)
    for line, record in records:
        if len(record) != len(table.header):
            raise SourceError(
                f"{path}: expected {len(table.header)} columns as in the header, found {len(record)} in line {line}"
            )
        scene = record[table.scene_column]
        if scene in scenes:
            table.rows[scene] = record
            if len(lines := table.lines.setdefault(scene, [])) < _MOST_NAMED:
                lines.append(line)
        elif len(table.others) < _MOST_NAMED:
            table.others.append(scene)
    return table


def _find_delimiter(stream: TextIO, path: str) -> str:
    """Return the delimiter that makes one of the header's columns that of the scenes."""
    headers = []
    for delimiter in DELIMITERS:
        stream.seek(0)
        _, header = next(_records(stream, path, delimiter), (0, []))
        headers.append([name.strip() for name in header])
        if set(SCENE_COLUMN_NAMES) & set(headers[-1]):
            return delimiter
    found = max(headers, key=len)
    raise SourceError(
        f"{path}: expected a header with a column scene (or {' or '.join(SCENE_COLUMN_NAMES[1:])}), found "
        f"{_listed(found) if found else 'an empty file'}"
    )


def _find_scene_column(header: Sequence[str], path: str) -> int:
    repeated = sorted(name for name, count in Counter(header).items() if name and count > 1)
    if repeated:
        raise SourceError(f"{path}: expected different names of columns, found more than one {_listed(repeated)}")
    return next(header.index(name) for name in SCENE_COLUMN_NAMES if name in header)


def _records(stream: TextIO, path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not an empty line, with the number of its first line."""
    lines = _Lines(stream, path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        lines.of_record = 0
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise SourceError(f"{path}: expected a CSV, found in line {line}: {error}") from error
        if record is None:
            return
        if record:
            yield line, record


class _Lines:
    """Lines of a text file, none too long, and not too many in a record.

    Attributes:
        of_record: characters of the record so far; whoever begins another one sets it to 0.
    """

    def __init__(self, stream: TextIO, path: str) -> None:
        self.of_record = 0
        self._stream, self._path, self._number = stream, path, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self.of_record += len(line)
        found = ""
        if "\0" in line:
            found = "a NUL character"
        elif len(line) > MAX_LINE:
            found = f"more than {MAX_LINE:,} characters"
        elif self.of_record > MAX_RECORD:
            found = f"a record of more than {MAX_RECORD:,} characters"
        if found:
            raise SourceError(
                f"{self._path}: expected lines of text, found {found} in line {self._number}; is this a CSV?"
            )
        return line


def _check_complete(table: _Table, path: str, scenes: Sequence[str]) -> None:
    repeated = {scene: lines for scene, lines in table.lines.items() if len(lines) > 1}
    if repeated:
        places = [f"{scene!r} in lines {' and '.join(map(str, lines[:3]))}" for scene, lines in repeated.items()]
        raise SourceError(f"{path}: expected one row per scene, found {_listed(places, quoted=False)}")
    missing = [scene for scene in dict.fromkeys(scenes) if scene not in table.rows]
    if missing:
        others = f"; scenes that only the manifest has: {_listed(table.others)}" if table.others else ""
        raise SettingError(
            f"{path}: expected a row for each scene of the file, found none for {len(missing):,} of "
            f"{len(set(scenes)):,}: {_listed(missing)}{others}"
        )


def _listed(names: Sequence[str], *, quoted: bool = True) -> str:
    shown = ", ".join(repr(name[:200]) if quoted else name[:200] for name in names[:_MOST_NAMED])
    return shown + (f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else "")


def to_values(cells: Sequence[str]) -> npt.NDArray[Any]:
    """Turn the cells of a column into what all of them hold.

    Args:
        cells: text.

    Returns:
        int64; float64 with NaN where a cell is empty; bool; or object with the text itself. Text where a number would
        lose digits, or its leading zeros.
    """
    stripped = [cell.strip() for cell in cells]
    filled = [cell for cell in stripped if cell]
    if filled and len(filled) == len(cells):
        if all(cell.lower() in _TRUTH for cell in filled):
            return np.array([_TRUTH[cell.lower()] for cell in filled])
        if all(_INTEGER.fullmatch(cell) and abs(int(cell)) < 1 << 63 for cell in filled):
            return np.array([int(cell) for cell in filled], dtype=np.int64)
    if filled and all(map(_is_exact_float, filled)):
        return np.array([float(cell or "nan") for cell in stripped])
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    return values


def _is_exact_float(cell: str) -> bool:
    if not _NUMBER.fullmatch(cell):
        return False
    return not cell.lstrip("+-").isdigit() or (len(cell) < 300 and int(cell) == float(cell))
