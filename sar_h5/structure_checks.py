"""Is a file laid out as the format says? Attributes, datasets, columns, and where patches say they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.chunk_table import read_chunk_table
from sar_h5.errors import UnsafeFileError
from sar_h5.file_objects import MOST_PATCH_NBYTES, check_patches, walk_objects
from sar_h5.file_structure import Columns, Structure, StructureReport
from sar_h5.opening import open_file
from sar_h5.schema import Column, FileSettings
from sar_h5.text_checksum import find_changed_texts
from sar_h5.verify_report import Problem, ProblemKind

_FROM_DAMAGE = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    MemoryError,
    IndexError,
    OverflowError,
    AttributeError,
)
"""What h5py raises, anywhere, where metadata are damaged."""


def check_structure(path: str | Path) -> StructureReport:
    """Check everything about a file but its patches. HDF5 may loop without end where the file is damaged."""
    problems: list[Problem] = []
    found: Structure | None = None
    try:
        with open_file(path) as file:
            check = StructureCheck(file, problems)
            found = check.check()
            check.check_readable()
            check.check_texts()
    except UnsafeFileError as error:
        problems.append(Problem(error.place, ProblemKind.WRONG_TYPE, error.reason))
    except _FROM_DAMAGE as error:  # what was found before still counts
        problems.append(Problem("/", ProblemKind.CORRUPT, f"HDF5 cannot read on: {error}"))
    return StructureReport(found, tuple(problems))


class StructureCheck:
    """Walks through the layout of an open file; each method checks one part and adds what it finds.

    Args:
        file: the file.
        problems: where problems are added.
    """

    def __init__(self, file: h5py.File, problems: list[Problem]) -> None:
        self._file, self._problems = file, problems

    def check(self) -> Structure | None:
        """Check everything that can be checked; None where the patches cannot be looked at."""
        if not self._check_root():
            return None
        settings = self._check_settings()
        patches = self._file.get(schema.PATCHES)
        if not isinstance(patches, h5py.Dataset):
            self._add(f"/{schema.PATCHES}", ProblemKind.MISSING, "expected a dataset")
            return None
        if settings is None or not self._check_layout(patches, settings):
            return None
        check_patches(patches)
        scenes = self._check_columns(schema.SCENES, schema.SCENE_COLUMNS, None)
        index = self._check_columns(schema.INDEX, schema.INDEX_COLUMNS, len(patches))
        lut = self._check_lut(settings)
        self._check_optional(len(patches))
        if index is None or scenes is None or (lut is None) != (settings.encoding == "float32"):
            return None
        if not self._check_places(index, scenes, settings):
            return None
        position, left_out = self._check_left_out(index["scene"], scenes["patch_count"])
        return Structure(
            dtype=patches.dtype,
            table=replace(read_chunk_table(patches), checksums=index["checksum"]),
            index=index,
            scenes=scenes,
            lut=lut,
            settings=settings,
            has_histogram=schema.HISTOGRAM in self._file,
            attributes={name: value for name, value in self._file.attrs.items() if isinstance(value, str)},
            position=position,
            left_out=left_out,
            scene_position=self._check_scene_position(len(scenes["name"])),
            left_out_scenes=self._check_left_out_scenes(),
        )

    def check_readable(self) -> None:
        """Visit every object and read every attribute, as tools do that show a file; what cannot be read raises."""
        dict(self._file.attrs)
        for _, item in walk_objects(self._file):
            dict(item.attrs)

    def check_texts(self) -> None:
        """Check that texts are as they were written; not where something else is wrong, which may be the reason."""
        if self._problems:
            return
        for place, expected, found in find_changed_texts(self._file):
            message = f"expected texts of checksum {expected:08x}, found {found:08x}: one has changed since"
            self._add(f"{place}@", ProblemKind.WRONG_VALUE, message)

    def _add(self, place: str, kind: ProblemKind, message: str) -> None:
        self._problems.append(Problem(place, kind, message))

    def _check_left_out(
        self, scene: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32] | None, npt.NDArray[np.int64]]:
        """Return the position of each patch in its scene, and how many were left out of each; see ``schema``."""
        nothing = np.zeros(len(counts), np.int64)
        places = {
            f"/{group}/{column.name}": (column, length)
            for group, column, length in (
                (schema.INDEX, schema.POSITION_COLUMN, len(scene)),
                (schema.SCENES, schema.LEFT_OUT_COLUMN, len(counts)),
            )
        }
        if not any(place in self._file for place in places):
            return None, nothing
        found = [self._read_column(place, column) for place, (column, _) in places.items()]
        for (place, (_, length)), values in zip(places.items(), found, strict=True):
            if values is not None and len(values) != length:
                self._add(place, ProblemKind.WRONG_TYPE, f"expected {length} rows, found {len(values)}")
                return None, nothing
        position, left_out = found
        if position is None or left_out is None:
            return None, nothing
        known = left_out[scene] >= 0
        within = (position >= 0) & (position < (counts + left_out)[scene])
        rising = np.ones(len(scene), np.bool_)
        rising[1:] = (np.diff(position) > 0) | (np.diff(scene) > 0)
        wrong = np.flatnonzero(np.where(known, ~(within & rising), position != schema.UNKNOWN))
        if len(wrong) or left_out.min(initial=0) < schema.UNKNOWN:
            number = int(wrong[0]) if len(wrong) else 0
            message = (
                "expected positions that rise in each scene, below patch_count + left_out_count, or -1 in all of it"
            )
            self._add(f"/{schema.INDEX}/{schema.POSITION_COLUMN.name}[{number}]", ProblemKind.WRONG_VALUE, message)
            return None, nothing
        return position, left_out

    def _check_scene_position(self, count: int) -> npt.NDArray[np.int32] | None:
        place = f"/{schema.SCENES}/{schema.SCENE_POSITION_COLUMN.name}"
        if schema.EXTRACTED_FROM not in self._file.attrs and place not in self._file:
            return None
        positions = self._read_column(place, schema.SCENE_POSITION_COLUMN)
        if positions is not None and (len(positions) != count or positions.min(initial=0) < 0):
            self._add(
                place, ProblemKind.WRONG_VALUE, f"expected {count} positions of at least 0, found {len(positions)}"
            )
            return None
        return positions

    def _check_left_out_scenes(self) -> int:
        value, place = self._file.attrs.get(schema.LEFT_OUT_SCENES), f"/@{schema.LEFT_OUT_SCENES}"
        if (value is not None) != (schema.EXTRACTED_FROM in self._file.attrs):
            self._add(place, ProblemKind.MISSING, f"expected it and {schema.EXTRACTED_FROM}, found one of the two")
        elif value is not None and not (isinstance(value, np.int64) and value >= 0):
            self._add(place, ProblemKind.WRONG_VALUE, f"expected an integer of at least 0, found {value!r:.40}")
        elif value is not None:
            return int(value)
        return 0

    def _check_root(self) -> bool:
        attrs = self._file.attrs
        if attrs.get("format") != schema.FORMAT:
            self._add(
                "/@format",
                ProblemKind.WRONG_VALUE,
                f"expected {schema.FORMAT!r}, as sar-h5 convert writes it, found {attrs.get('format')!r}",
            )
            return False
        version = str(attrs.get("format_version", ""))
        if version.partition(".")[0] != schema.FORMAT_VERSION.partition(".")[0]:
            self._add(
                "/@format_version", ProblemKind.WRONG_VALUE, f"expected {schema.FORMAT_VERSION}, found {version!r}"
            )
            return False
        for name in schema.ROOT_ATTRIBUTES:
            if name not in attrs:
                self._add(f"/@{name}", ProblemKind.MISSING, "expected an attribute")
        return True

    def _check_settings(self) -> FileSettings | None:
        found: list[FileSettings] = []
        for holder in (self._file, self._file.get(schema.PATCHES)):
            if holder is None:
                continue
            missing = [name for name in schema.PATCH_ATTRIBUTES if name not in holder.attrs]
            for name in missing:
                self._add(f"{holder.name}@{name}", ProblemKind.MISSING, "expected an attribute")
            try:
                found += [] if missing else [FileSettings.from_attrs(holder.attrs)]
            except (TypeError, ValueError) as error:
                self._add(f"{holder.name}@", ProblemKind.WRONG_VALUE, str(error))
        if len(found) == 2 and found[0] != found[1]:
            self._add(f"/{schema.PATCHES}@", ProblemKind.WRONG_VALUE, "attributes differ from those of the root")
        if found and not found[0].vmin < found[0].vmax:
            self._add(
                "/@vmin", ProblemKind.WRONG_VALUE, f"expected vmin < vmax, found {found[0].vmin} and {found[0].vmax}"
            )
        return found[0] if len(found) == 2 else None

    def _check_layout(self, patches: h5py.Dataset, settings: FileSettings) -> bool:
        size, place = settings.patch_size, f"/{schema.PATCHES}"
        before = len(self._problems)
        if patches.shape[1:] != (size, size):
            self._add(place, ProblemKind.WRONG_TYPE, f"expected shape (N, {size}, {size}), found {patches.shape}")
        if size**2 * patches.dtype.itemsize > MOST_PATCH_NBYTES:
            found = f"{size} x {size} of {patches.dtype}"
            self._add(
                place, ProblemKind.WRONG_VALUE, f"expected at most {MOST_PATCH_NBYTES:,} bytes a patch, found {found}"
            )
        if patches.chunks != (1, size, size):
            self._add(place, ProblemKind.WRONG_TYPE, f"expected chunks (1, {size}, {size}), found {patches.chunks}")
        kinds = {"palette": ("|u1", "<u2"), "dn": ("<u2",), "float32": ("<f4",)}[settings.encoding]
        if patches.dtype.str not in kinds:
            self._add(place, ProblemKind.WRONG_TYPE, f"expected dtype {' or '.join(kinds)}, found {patches.dtype.str}")
        filters = patches.id.get_create_plist()
        numbers = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
        if numbers != [schema.BLOSC_FILTER]:
            self._add(place, ProblemKind.WRONG_TYPE, f"expected the one filter {schema.BLOSC_FILTER}, found {numbers}")
        return len(self._problems) == before

    def _check_columns(self, group: str, columns: tuple[Column, ...], length: int | None) -> Columns | None:
        before = len(self._problems)
        found: Columns = {}
        for column in columns:
            values = self._read_column(f"/{group}/{column.name}", column)
            if values is None:
                continue
            length = len(values) if length is None else length
            if len(values) != length:
                self._add(
                    f"/{group}/{column.name}", ProblemKind.WRONG_TYPE, f"expected {length} rows, found {len(values)}"
                )
            found[column.name] = values
        return found if len(self._problems) == before else None

    def _read_column(self, place: str, column: Column) -> npt.NDArray[Any] | None:
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

    def _check_lut(self, settings: FileSettings) -> npt.NDArray[np.float32] | None:
        place = f"/{schema.LUT}"
        if settings.encoding == "float32":
            if schema.LUT in self._file:
                self._add(place, ProblemKind.WRONG_VALUE, "expected none beside float32 values")
            return None
        lut = self._read_column(place, schema.LUT_COLUMN)
        if lut is None:
            return None
        if settings.invalid_code is not None and (settings.invalid_code != 0 or lut[:1].any()):
            self._add(place, ProblemKind.WRONG_VALUE, "expected invalid_code 0 with value 0")
        steps = np.diff(lut if settings.invalid_code is None else lut[1:])
        rising = bool((steps >= 0).all()) if settings.encoding == "dn" else bool((steps > 0).all())
        if len(lut) == 0 or not (rising and lut.min() >= 0 and lut.max() <= 1):
            self._add(place, ProblemKind.WRONG_VALUE, "expected rising values in [0, 1]")
        return lut

    def _check_optional(self, count: int) -> None:
        if schema.HISTOGRAM in self._file:
            histogram = self._read_column(f"/{schema.HISTOGRAM}", schema.HISTOGRAM_COLUMN)
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

    def _check_places(self, index: Columns, scenes: Columns, settings: FileSettings) -> bool:
        """Patches must lie in the runs that the scenes announce (False where they do not), and within their scenes."""
        if not self._check_runs(index["scene"], scenes["patch_start"], scenes["patch_count"]):
            return False
        below = index["valid_fraction"] < np.float32(settings.min_valid)
        for number in np.flatnonzero(below):
            fraction = index["valid_fraction"][number]
            message = f"expected at least min_valid = {settings.min_valid:g}, found {fraction:g}"
            self._add(f"/index/valid_fraction[{number}]", ProblemKind.WRONG_VALUE, message)
        for axis, extent in (("row", "height"), ("col", "width")):
            corner, length = index[axis], scenes[extent][index["scene"]]
            inside = (corner >= 0) & (corner + settings.patch_size <= length)
            for number in np.flatnonzero(~inside & (corner != -1)):
                message = f"expected the patch within {length[number]} pixels, found its corner at {corner[number]}"
                self._add(f"/index/{axis}[{number}]", ProblemKind.WRONG_VALUE, message)
        self._read_column(f"/{schema.SCENES}/{schema.GCP_TABLE.name}", schema.GCP_TABLE)
        return True

    def _check_runs(
        self, scene: npt.NDArray[np.int32], starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
    ) -> bool:
        sound = counts.min(initial=0) >= 0 and counts.max(initial=0) <= len(scene) and counts.sum() == len(scene)
        if (
            not sound
            or not np.array_equal(starts, np.cumsum(counts) - counts)
            or not np.array_equal(scene, np.repeat(np.arange(len(counts)), counts))
        ):
            self._add(
                f"/{schema.INDEX}/scene",
                ProblemKind.WRONG_VALUE,
                "patches do not lie in the runs that patch_start and patch_count of /scenes announce; "
                "patches unchecked",
            )
            return False
        return True
