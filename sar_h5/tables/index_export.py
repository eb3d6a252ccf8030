"""The index of a file as a table for other programs: Parquet or CSV, written piece by piece."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.errors import OutputError, SettingError
from sar_h5.extras import import_extra
from sar_h5.pending import PendingFile
from sar_h5.schema import DEFAULT_SPLIT
from sar_h5.tables.patch_choice import PatchChoice, as_scenes, read_choice
from sar_h5.tables.patch_table import PatchTable

ROWS_OF_GROUP = 1 << 16
"""Rows of a row group in Parquet."""

ROWS_OF_TEXT = 1 << 13
"""Rows that are in memory as text at once."""

Patches = npt.NDArray[np.int64]
_QUOTED = frozenset(',"\r\n')


@dataclass(frozen=True)
class IndexSummary:
    """What was exported.

    Attributes:
        path: the table.
        source: the file that it is about.
        patches: how many rows it has.
        of_patches: how many patches the file has.
        columns: names, in order.
        nbytes: size of the table.
    """

    path: str
    source: str
    patches: int
    of_patches: int
    columns: tuple[str, ...]
    nbytes: int

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return dataclasses.asdict(self)

    def to_text(self) -> str:
        """Return the line that the command prints."""
        return (
            f"{self.path}: {self.patches:,} of {self.of_patches:,} patches of {self.source}, {len(self.columns)} "
            f"columns, {self.nbytes / 1e6:,.2f} MB"
        )


def export_index(
    path: str | Path,
    out: str | Path,
    *,
    manifest: str | Path | None = None,
    where: str | None = None,
    split: str | None = None,
    split_name: str = DEFAULT_SPLIT,
    scene: str | Sequence[str] = (),
    overwrite: bool = False,
) -> IndexSummary:
    """Write what a file says about its patches as a table with a row per patch.

    Columns are those of :class:`sar_h5.tables.patch_table.PatchTable`. Floats keep every bit (in CSV: the shortest text
    that gives the same number, empty for NaN). In Parquet text is dictionary-encoded, each column says its meaning and
    unit, and the table says its source, the digest of its content, and its bounds in dB.

    Args:
        path: a file of this package.
        out: the table, ending with .parquet or .csv; its directory must exist.
        manifest: a CSV with one row per scene, to be joined; see :func:`sar_h5.tables.manifest.read_manifest`.
        where: a condition that chooses rows; see :func:`sar_h5.tables.where.parse_where`.
        split: write only the patches of "train", "val" or "test".
        split_name: which of the file's ways of splitting.
        scene: write only the patches of the scene, or scenes, of this name.
        overwrite: whether an existing table may be replaced.

    Raises:
        SettingError: where the table's name ends otherwise, the condition is none, nothing is chosen, or the manifest
            lacks scenes of the file.
        SourceError: where the file or the manifest cannot be read.
        FormatError: where the file is not of this package, or damaged.
        OutputError: where the table exists already, or cannot be written.
        MissingExtraError: where Parquet is asked for and pyarrow is not installed.
    """
    out = Path(out)
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise SettingError(f"{out}: expected an index named *.parquet or *.csv, found {out.suffix or 'no suffix'}")
    for name, taken in (("file", path), ("manifest", manifest)):
        if taken is not None and out.resolve() == Path(taken).resolve():
            raise SettingError(f"{out}: is the {name} itself; choose another --index")
    table, chosen = read_choice(path, PatchChoice(where, manifest, split, split_name, as_scenes(scene)))
    with PendingFile(out, overwrite=overwrite, option="--index") as pending:
        with _output_errors(out):
            write(pending.partial, table, chosen)
            nbytes = pending.partial.stat().st_size
        pending.commit()
    return IndexSummary(str(out), str(path), len(chosen), table.count, tuple(table.columns), nbytes)


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # pyarrow's errors of input and output are OSError too
        raise OutputError(f"{path}: cannot be written (disk full, or no longer there?): {error}") from error


def _pieces(chosen: Patches, size: int) -> Iterator[Patches]:
    return (chosen[start : start + size] for start in range(0, len(chosen), size))


def _write_csv(path: Path, table: PatchTable, chosen: Patches) -> None:
    # By hand, since the module csv of Python 3.11 leaves a lone carriage return unquoted, and cannot read that again;
    # and since a text that many rows share then need be quoted only once.
    texts = {
        name: [_cell(value) for value in column.values.tolist()]
        for name, column in table.columns.items()
        if column.is_text
    }
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(",".join(map(_cell, table.columns)) + "\n")
        for piece in _pieces(chosen, ROWS_OF_TEXT):
            cells = [
                [texts[name][row] for row in column.places(piece).tolist()]
                if name in texts
                else _number_cells(column.take(piece))
                for name, column in table.columns.items()
            ]
            stream.writelines(",".join(row) + "\n" for row in zip(*cells, strict=True))


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED.intersection(text) else text


def _number_cells(values: npt.NDArray[Any]) -> list[str]:
    cells: list[str] = values.astype(str).tolist()
    if values.dtype.kind == "f":
        for number in np.flatnonzero(np.isnan(values)):
            cells[number] = ""
    return cells


def _write_parquet(path: Path, table: PatchTable, chosen: Patches) -> None:
    pyarrow = import_extra("pyarrow", "an index in Parquet")
    parquet = import_extra("pyarrow.parquet", "an index in Parquet")
    texts = {
        name: pyarrow.array(column.values, pyarrow.string()).dictionary_encode()
        for name, column in table.columns.items()
        if column.is_text
    }
    schema = _arrow_schema(pyarrow, table)
    with path.open("wb") as stream, parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for piece in _pieces(chosen, ROWS_OF_GROUP):
            arrays = [
                texts[name].take(pyarrow.array(column.places(piece)))
                if name in texts
                else pyarrow.array(column.take(piece))
                for name, column in table.columns.items()
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _arrow_schema(pyarrow: Any, table: PatchTable) -> Any:
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    fields = [
        pyarrow.field(
            name,
            text if column.is_text else pyarrow.from_numpy_dtype(np.dtype(column.column.dtype)),
            metadata={"long_name": column.column.long_name, "units": column.column.units},
        )
        for name, column in table.columns.items()
    ]
    settings = table.settings
    return pyarrow.schema(
        fields,
        metadata={
            "source": table.path.encode(errors="backslashreplace"),  # file names may hold any bytes
            "content_digest": table.digest,
            "polarization": settings.polarization,
            "vmin": repr(settings.vmin),
            "vmax": repr(settings.vmax),
        },
    )


WRITERS: dict[str, Callable[[Path, PatchTable, Patches], None]] = {".csv": _write_csv, ".parquet": _write_parquet}
"""How a table is written, by the end of its name."""
