"""Is a file laid out as the format says? Attributes, datasets, columns, and where patches say they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.chunk_table import read_chunk_table
from sar_h5.column_checks import ColumnChecks
from sar_h5.errors import UnsafeFileError
from sar_h5.file_objects import check_patches, walk_objects
from sar_h5.file_structure import Columns, Structure, StructureReport
from sar_h5.left_out_checks import LeftOutChecks
from sar_h5.opening import open_file
from sar_h5.pixel_checks import PixelChecks
from sar_h5.recovered_place_checks import RecoveredPlaceChecks
from sar_h5.schema import FileSettings
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
        self._columns = ColumnChecks(file, problems)
        layout = file.attrs.get("layout")
        self._pixels = schema.BLOCKS if isinstance(layout, str) and layout == "blocks" else schema.PATCHES

    def check(self) -> Structure | None:
        """Check everything that can be checked; None where the patches cannot be looked at."""
        if not self._check_root():
            return None
        settings = self._check_settings()
        stored = self._file.get(self._pixels)
        if not isinstance(stored, h5py.Dataset):
            self._add(f"/{self._pixels}", ProblemKind.MISSING, "expected a dataset")
            return None
        if settings is None:
            return None
        pixels = PixelChecks(stored, settings, self._problems)
        if not pixels.check_layout():
            return None
        check_patches(stored)
        grid = pixels.read_grid() if settings.layout == "blocks" else None
        if (grid is None) != (settings.layout == "patches"):
            return None
        count = len(stored if grid is None else grid)
        scenes = self._columns.read_group(schema.SCENES, schema.SCENE_COLUMNS, None)
        index = self._columns.read_group(schema.INDEX, schema.INDEX_COLUMNS, count)
        lut = self._columns.read_lut(settings)
        self._columns.check_optional(count)
        if index is None or scenes is None or (lut is None) != (settings.encoding == "float32"):
            return None
        component = RecoveredPlaceChecks(self._file, self._columns, self._problems).read(index, settings, grid)
        if not self._check_places(index, scenes, settings, are_told=component is None):
            return None
        left_out = LeftOutChecks(self._file, self._columns, self._problems)
        position, counts = left_out.read_positions(index["scene"], scenes["patch_count"])
        if grid is None:
            table = replace(read_chunk_table(stored), checksums=index["checksum"])
        else:
            table = pixels.read_block_table(self._columns, grid, index["checksum"])
        return Structure(
            dtype=stored.dtype,
            table=table,
            grid=grid,
            index=index,
            scenes=scenes,
            lut=lut,
            settings=settings,
            has_histogram=schema.HISTOGRAM in self._file,
            attributes={name: value for name, value in self._file.attrs.items() if isinstance(value, str)},
            position=position,
            left_out=counts,
            scene_position=left_out.read_scene_positions(len(scenes["name"])),
            left_out_scenes=left_out.read_scene_count(),
            component=component,
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
        for holder in (self._file, self._file.get(self._pixels)):
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
            self._add(f"/{self._pixels}@", ProblemKind.WRONG_VALUE, "attributes differ from those of the root")
        if found and not found[0].vmin < found[0].vmax:
            self._add(
                "/@vmin", ProblemKind.WRONG_VALUE, f"expected vmin < vmax, found {found[0].vmin} and {found[0].vmax}"
            )
        return found[0] if len(found) == 2 else None

    def _check_places(self, index: Columns, scenes: Columns, settings: FileSettings, *, are_told: bool) -> bool:
        """Patches must lie in the runs that the scenes announce (False where they do not), and within their scenes.

        Places that were not told but recovered lie in no scene.
        """
        if not self._check_runs(index["scene"], scenes["patch_start"], scenes["patch_count"]):
            return False
        below = index["valid_fraction"] < np.float32(settings.min_valid)
        for number in np.flatnonzero(below):
            fraction = index["valid_fraction"][number]
            message = f"expected at least min_valid = {settings.min_valid:g}, found {fraction:g}"
            self._add(f"/index/valid_fraction[{number}]", ProblemKind.WRONG_VALUE, message)
        for axis, extent in (("row", "height"), ("col", "width")) if are_told else ():
            corner, length = index[axis], scenes[extent][index["scene"]]
            inside = (corner >= 0) & (corner + settings.patch_size <= length)
            for number in np.flatnonzero(~inside & (corner != -1)):
                message = f"expected the patch within {length[number]} pixels, found its corner at {corner[number]}"
                self._add(f"/index/{axis}[{number}]", ProblemKind.WRONG_VALUE, message)
        self._columns.read(f"/{schema.SCENES}/{schema.GCP_TABLE.name}", schema.GCP_TABLE)
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
