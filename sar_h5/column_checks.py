"""Are the columns of a file what the format says: types, lengths, and the values that hold for all of it?"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.file_structure import Columns
from sar_h5.schema import Column, FileSettings
from sar_h5.verify_report import Problem, ProblemKind


class ColumnChecks:
    """Reads columns of an open file, and adds what is wrong with them to a list.

    Args:
        file: the file.
        problems: where problems are added.
    """

    def __init__(self, file: h5py.File, problems: list[Problem]) -> None:
        self._file, self._problems = file, problems

    def read_group(self, group: str, columns: tuple[Column, ...], length: int | None) -> Columns | None:
        """Read the columns of a group, of one length (that of the first where None); None where one is not sound."""
        before = len(self._problems)
        found: Columns = {}
        for column in columns:
            values = self.read(f"/{group}/{column.name}", column)
            if values is None:
                continue
            length = len(values) if length is None else length
            if len(values) != length:
                self._add(
                    f"/{group}/{column.name}", ProblemKind.WRONG_TYPE, f"expected {length} rows, found {len(values)}"
                )
            found[column.name] = values
        return found if len(self._problems) == before else None

    def read(self, place: str, column: Column) -> npt.NDArray[Any] | None:
        """Read a column; None where it is not of its type, or HDF5 cannot read it."""
        dataset = self._file.get(place)
        if not isinstance(dataset, h5py.Dataset):
            self._add(place, ProblemKind.MISSING, "expected a dataset")
            return None
        is_text = h5py.check_string_dtype(dataset.dtype) is not None
        fits = is_text if column.dtype == "utf-8" else dataset.dtype == np.dtype(column.dtype)
        if (
            not fits
            or dataset.ndim != (2 if column.width else 1)
            or (column.width and dataset.shape[1] != column.width)
        ):
            found = f"{dataset.dtype} of shape {dataset.shape}"
            self._add(
                place,
                ProblemKind.WRONG_TYPE,
                f"expected {column.dtype} with {column.width or 1} columns, found {found}",
            )
            return None
        try:
            values: npt.NDArray[Any] = dataset.asstr()[:] if is_text else dataset[:]
        except (OSError, UnicodeDecodeError) as error:
            self._add(place, ProblemKind.CORRUPT, str(error))
            return None
        return values

    def read_lut(self, settings: FileSettings) -> npt.NDArray[np.float32] | None:
        """Read the table of values, float32 (K,); None where there is none, be that right or wrong."""
        place = f"/{schema.LUT}"
        if settings.encoding == "float32":
            if schema.LUT in self._file:
                self._add(place, ProblemKind.WRONG_VALUE, "expected none beside float32 values")
            return None
        lut = self.read(place, schema.LUT_COLUMN)
        if lut is None:
            return None
        if settings.invalid_code is not None and (settings.invalid_code != 0 or lut[:1].any()):
            self._add(place, ProblemKind.WRONG_VALUE, "expected invalid_code 0 with value 0")
        steps = np.diff(lut if settings.invalid_code is None else lut[1:])
        rising = bool((steps >= 0).all()) if settings.encoding == "dn" else bool((steps > 0).all())
        if len(lut) == 0 or not (rising and lut.min() >= 0 and lut.max() <= 1):
            self._add(place, ProblemKind.WRONG_VALUE, "expected rising values in [0, 1]")
        return lut

    def check_optional(self, count: int) -> None:
        """Check the histogram and the splits of ``count`` patches, where there are any."""
        if schema.HISTOGRAM in self._file:
            histogram = self.read(f"/{schema.HISTOGRAM}", schema.HISTOGRAM_COLUMN)
            if histogram is not None and histogram.shape != (1 << 16,):
                self._add(
                    f"/{schema.HISTOGRAM}", ProblemKind.WRONG_TYPE, f"expected 65536 counts, found {histogram.shape}"
                )
        splits = self._file.get(schema.SPLITS, {})
        if isinstance(splits, h5py.Dataset):
            self._add(f"/{schema.SPLITS}", ProblemKind.WRONG_TYPE, "expected a group, found a dataset")
            return
        for name, split in splits.items():
            is_dataset = isinstance(split, h5py.Dataset)
            if not is_dataset or split.shape != (count,) or split.dtype != np.uint8:
                found = f"{split.dtype} of shape {split.shape}" if is_dataset else "no dataset"
                self._add(
                    f"/{schema.SPLITS}/{name}", ProblemKind.WRONG_TYPE, f"expected uint8 ({count},), found {found}"
                )
            elif (highest := split[:].max(initial=0)) > max(schema.SPLIT_CODES.values()):
                self._add(f"/{schema.SPLITS}/{name}", ProblemKind.WRONG_VALUE, f"expected 0 to 3, found {highest}")

    def _add(self, place: str, kind: ProblemKind, message: str) -> None:
        self._problems.append(Problem(place, kind, message))
