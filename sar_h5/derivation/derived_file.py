"""A file put together from patches of others: pixels as they come, then all tables and attributes to match."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.columns import write_column
from sar_h5.derivation.attributes import copy_attributes
from sar_h5.derivation.block_pixels import BlockPixels
from sar_h5.derivation.components import join_components
from sar_h5.derivation.foreign_columns import carry_along, patch_rows, scene_rows
from sar_h5.derivation.joined_splits import write_splits
from sar_h5.derivation.patch_chunks import PatchChunks
from sar_h5.derivation.patch_order import PatchOrder
from sar_h5.derivation.pieces import Piece
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.derivation.taken_patch import PixelTarget
from sar_h5.errors import FormatError, OutputError, SarH5Error
from sar_h5.schema import Column, FileSettings
from sar_h5.text_checksum import seal_texts
from sar_h5.version import VERSION

_OF_THE_FORMAT = frozenset(
    {
        *schema.PIXELS.values(), schema.BLOCK_CHECKSUM_COLUMN.name, schema.LUT, schema.HISTOGRAM, schema.INDEX,
        schema.SCENES, schema.SPLITS,
    }
)  # fmt: skip


@dataclass(frozen=True)
class FileFacts:
    """What a new file says about all its patches.

    Attributes:
        settings: for the attributes.
        lut: float32 (K,), or None.
        histogram: uint64 (65536,), or None.
        digest: of the content.
        operation: what was done, for the history.
        attributes: further attributes of the root that are not those of the first file; None takes one away.
    """

    settings: FileSettings
    lut: npt.NDArray[np.float32] | None
    histogram: npt.NDArray[np.uint64] | None
    digest: str
    operation: str
    attributes: Mapping[str, object | None] = field(default_factory=dict)


class DerivedFile:
    """Writes a file from the patches of others, and all else that is in them. A context manager that closes it.

    Args:
        path: the file to make; replaced where it exists.
        pieces: what it is made from; where all files must say the same, the first one is asked.
        form: how it stores pixels.
        count: how many patches it holds at most.
        jobs: number of threads.
        by_place: how equal blocks are found; see ``block_matching``.

    Attributes:
        pixels: where patches are written to.

    Raises:
        OutputError: where the file cannot be written (from any method).
    """

    def __init__(
        self,
        path: Path,
        pieces: Sequence[Piece],
        form: PixelForm,
        count: int,
        jobs: int,
        *,
        by_place: bool = False,
    ) -> None:
        self._path, self._pieces = path, pieces
        like, errors = pieces[0].pixels, self.errors
        self.pixels: PixelTarget
        with self.errors():
            self._file = h5py.File(path, "w", libver=schema.LIBVER)
            if form.settings.layout == "patches":
                self.pixels = PatchChunks(self._file, like, form, count, errors)
            else:
                counts = [piece.blocks if form.is_cut_like(piece) else 0 for piece in pieces]
                self.pixels = BlockPixels(
                    path, self._file, like, form, count, counts, jobs, errors, by_place=by_place
                )  # fmt: skip

    def __enter__(self) -> DerivedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pixels.close()
        if kind is None:
            with self.errors():
                self._file.close()
        else:
            with contextlib.suppress(OSError, RuntimeError):  # a full disk says so again; the file is about to go
                self._file.close()

    def finish(self, order: PatchOrder, valid_fraction: npt.NDArray[np.float32], facts: FileFacts) -> list[str]:
        """Write everything else.

        Args:
            order: of the patches that have been written.
            valid_fraction: float32 (n,), theirs.
            facts: what the file says of all of them.

        Returns:
            The names of tables that could not be carried along.
        """
        with self.errors():
            checksum = self.pixels.finish(len(order.number))
            self._write_attributes(order, facts)
            if facts.lut is not None:
                write_column(self._file, schema.LUT_COLUMN, facts.lut)
            if facts.histogram is not None:
                write_column(self._file, schema.HISTOGRAM_COLUMN, facts.histogram)
            rows = patch_rows(self._pieces, order)
            left_behind = carry_along(self._pieces, self._file, rows, _OF_THE_FORMAT.__contains__)
            left_behind += self._write_index(order, checksum, valid_fraction)
            self.pixels.write_tables(self._file)
            left_behind += self._write_scenes(order)
            write_splits(self._pieces, self._file, order)
            seal_texts(self._file)
            self._file.flush()
        return left_behind

    @property
    def file(self) -> h5py.File:
        """The open file, to look at once it is finished."""
        return self._file

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what h5py raises where it cannot write into one error."""
        try:
            yield
        except SarH5Error:
            raise
        except UnicodeEncodeError as error:  # h5py reads what is not UTF-8, and does not write it
            names = ", ".join(piece.name for piece in self._pieces)
            raise FormatError(
                f"{names}: expected attributes in UTF-8, found {error.object[:60]!r}; nothing was written"
            ) from error
        except (OSError, RuntimeError) as error:  # h5py raises either, depending on where HDF5 noticed
            raise OutputError(f"{self._path}: cannot be written (disk full, or no longer there?): {error}") from error

    def _write_attributes(self, order: PatchOrder, facts: FileFacts) -> None:
        copy_attributes(self._pieces[0].file, self._file)
        settings = facts.settings.to_attrs()
        for holder in (self._file, self.pixels.dataset):
            for name in self._pieces[0].found.settings.to_attrs().keys() & holder.attrs.keys() - settings.keys():
                del holder.attrs[name]
            for name, value in settings.items():
                holder.attrs[name] = value
        lines = [line for piece in self._pieces for line in piece.found.attributes.get("history", "").splitlines()]
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        history = [*dict.fromkeys(lines), f"{now} {facts.operation} (sar_h5 {VERSION})"]
        changed: dict[str, object | None] = {
            **facts.attributes,
            "history": "\n".join(history),
            "uuid": str(uuid.uuid4()),
            "content_digest": facts.digest,
            schema.EXTRACTED_FROM: None if order.origin is None else order.origin.digest,
            schema.LEFT_OUT_SCENES: (
                None if order.origin is None else np.int64(order.origin.scenes - len(order.origin.positions))
            ),
        }
        for name, value in changed.items():
            if value is not None:
                self._file.attrs[name] = value
            elif name in self._file.attrs:
                del self._file.attrs[name]

    def _write_index(
        self, order: PatchOrder, checksum: npt.NDArray[np.uint32], valid_fraction: npt.NDArray[np.float32]
    ) -> list[str]:
        values: dict[str, npt.NDArray[Any]] = {
            "scene": order.scene,
            "checksum": checksum,
            "valid_fraction": valid_fraction,
        }
        for column in schema.INDEX_COLUMNS:
            if column.name not in values:
                values[column.name] = order.gather([piece.found.index[column.name] for piece in self._pieces])
        columns = list(schema.INDEX_COLUMNS)
        if order.left_out.any():
            columns.append(schema.POSITION_COLUMN)
            values[schema.POSITION_COLUMN.name] = order.position
        component = join_components(self._pieces, order)
        if component is not None:
            columns.append(schema.COMPONENT_COLUMN)
            values[schema.COMPONENT_COLUMN.name] = component
        group = self._write_group(schema.INDEX, columns, values)
        known = {
            column.name
            for column in (
                *schema.INDEX_COLUMNS, schema.POSITION_COLUMN, schema.COMPONENT_COLUMN, schema.BLOCK_GRID_COLUMN,
            )
        }  # fmt: skip
        return carry_along(self._pieces, group, patch_rows(self._pieces, order), known.__contains__, schema.INDEX)

    def _write_scenes(self, order: PatchOrder) -> list[str]:
        counts = order.counts
        gcps = [self._pieces[piece].scene_gcps(scene) for (piece, scene), *_ in order.parts]
        points = np.array([len(some) for some in gcps], dtype=np.int64)
        values: dict[str, npt.NDArray[Any]] = {
            column.name: order.gather_scenes([piece.found.scenes[column.name] for piece in self._pieces])
            for column in schema.SCENE_COLUMNS
        }
        values |= {"patch_start": np.cumsum(counts) - counts, "patch_count": counts}
        values |= {"gcp_start": np.cumsum(points) - points, "gcp_count": points}
        values["dropped_count"] = values["dropped_count"] + order.filtered
        columns = list(schema.SCENE_COLUMNS)
        if order.left_out.any():
            columns.append(schema.LEFT_OUT_COLUMN)
            values[schema.LEFT_OUT_COLUMN.name] = order.left_out
        if order.origin is not None:
            columns.append(schema.SCENE_POSITION_COLUMN)
            values[schema.SCENE_POSITION_COLUMN.name] = order.origin.positions
        columns.append(schema.GCP_TABLE)
        values[schema.GCP_TABLE.name] = np.concatenate([np.zeros((0, schema.GCP_TABLE.width)), *gcps])
        group = self._write_group(schema.SCENES, columns, values)
        known = {
            column.name
            for column in (
                *schema.SCENE_COLUMNS, schema.LEFT_OUT_COLUMN, schema.SCENE_POSITION_COLUMN, schema.GCP_TABLE,
            )
        }  # fmt: skip
        return carry_along(self._pieces, group, scene_rows(self._pieces, order), known.__contains__, schema.SCENES)

    def _write_group(self, name: str, columns: Sequence[Column], values: Mapping[str, npt.NDArray[Any]]) -> h5py.Group:
        old, group = self._pieces[0].file[name], self._file.create_group(name)
        copy_attributes(old, group)
        for column in columns:
            dataset = write_column(group, column, values[column.name])
            if column.name in old:
                copy_attributes(old[column.name], dataset)
        return group
