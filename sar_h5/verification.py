"""Every departure of a file from the format: structure, attributes, index, checksums, codes, digest."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.compression import decompress
from sar_h5.contents import open_file
from sar_h5.digest import ContentDigest, patch_content
from sar_h5.errors import SourceError
from sar_h5.progress import Progress
from sar_h5.radiometry import is_inside
from sar_h5.schema import Column, FileSettings

_MOST_LISTED = 100
"""How many problems of one sort are listed: a column that is wrong throughout would fill the screen."""


class ProblemKind(StrEnum):
    """What sort of departure a problem is."""

    MISSING = "missing"
    WRONG_TYPE = "wrong type"
    WRONG_VALUE = "wrong value"
    CORRUPT = "corrupt"


@dataclass(frozen=True)
class Problem:
    """One departure from the format.

    Attributes:
        place: where in the file, such as "/patches[17]" or "/@vmin".
        kind: what sort.
        message: what was expected and what was found.
    """

    place: str
    kind: ProblemKind
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}: {self.message}"


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        path: the file.
        patches: how many patches were checked.
        problems: every problem, in the order of the file; empty where it is sound.
    """

    path: str
    patches: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        problems = [{"place": item.place, "kind": str(item.kind), "message": item.message} for item in self.problems]
        return {"path": self.path, "ok": self.ok, "patches": self.patches, "problems": problems}


def verify(path: str | Path, *, progress: bool | None = False) -> VerifyReport:
    """Check a file from end to end.

    Structure, attributes, index, the checksum and every code of every patch, and the digest.

    Args:
        path: a file of this package.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Returns:
        The report, with all problems; a file that cannot be opened at all is one problem.

    Raises:
        SourceError: where there is no such file.
    """
    problems: list[Problem] = []
    checked = 0
    if not Path(path).is_file():
        found = "a directory" if Path(path).is_dir() else "no such file"
        raise SourceError(f"{path}: expected a file made by sar-h5 convert, found {found}")
    try:
        with open_file(path) as file, Progress(progress) as bar:
            checker = _Checker(file, problems, bar)
            checked = checker.check()
            checker.check_readable()
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        # Damaged metadata make h5py fail anywhere, with any of these; what was found before still counts.
        problems.append(Problem("/", ProblemKind.CORRUPT, f"HDF5 cannot read on: {error}"))
    return VerifyReport(str(path), checked, tuple(problems))


class _Checker:
    """Walks through one open file; each method checks one part and adds what it finds."""

    def __init__(self, file: h5py.File, problems: list[Problem], progress: Progress) -> None:
        self._file, self._problems, self._progress = file, problems, progress

    def check(self) -> int:
        """Check everything that can be checked; return how many patches were."""
        if not self._check_root():
            return 0
        settings = self._check_settings()
        patches = self._file.get(schema.PATCHES)
        if not isinstance(patches, h5py.Dataset):
            self._add(f"/{schema.PATCHES}", ProblemKind.MISSING, "expected a dataset")
            return 0
        if settings is None or not self._check_layout(patches, settings):
            return 0
        scenes = self._check_columns(schema.SCENES, schema.SCENE_COLUMNS, None)
        index = self._check_columns(schema.INDEX, schema.INDEX_COLUMNS, len(patches))
        lut = self._check_lut(settings)
        self._check_optional(len(patches))
        if index is None or scenes is None or (lut is None) != (settings.encoding == "float32"):
            return 0
        if not self._check_places(index, scenes, settings):
            return 0
        return self._check_patches(patches, index, scenes, lut, settings)

    def check_readable(self) -> None:
        """Visit every object and read every attribute, as tools do that show a file; what cannot be read raises."""
        dict(self._file.attrs)
        self._file.visititems(_read_attributes)

    def _add(self, place: str, kind: ProblemKind, message: str) -> None:
        self._problems.append(Problem(place, kind, message))

    def _check_root(self) -> bool:
        attrs = self._file.attrs
        if attrs.get("format") != schema.FORMAT:
            self._add("/@format", ProblemKind.WRONG_VALUE, f"expected {schema.FORMAT!r}, found {attrs.get('format')!r}")
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

    def _check_columns(
        self, group: str, columns: tuple[Column, ...], length: int | None
    ) -> dict[str, npt.NDArray[Any]] | None:
        before = len(self._problems)
        found: dict[str, npt.NDArray[Any]] = {}
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

    def _check_places(
        self, index: dict[str, npt.NDArray[Any]], scenes: dict[str, npt.NDArray[Any]], settings: FileSettings
    ) -> bool:
        """Patches must lie in the runs that the scenes announce (False where they do not), and within their scenes."""
        if not self._check_runs(index["scene"], scenes["patch_start"], scenes["patch_count"]):
            return False
        below = index["valid_fraction"] < np.float32(settings.min_valid)
        for number in np.flatnonzero(below)[:_MOST_LISTED]:
            fraction = index["valid_fraction"][number]
            message = f"expected at least min_valid = {settings.min_valid:g}, found {fraction:g}"
            self._add(f"/index/valid_fraction[{number}]", ProblemKind.WRONG_VALUE, message)
        for axis, extent in (("row", "height"), ("col", "width")):
            corner, length = index[axis], scenes[extent][index["scene"]]
            inside = (corner >= 0) & (corner + settings.patch_size <= length)
            for number in np.flatnonzero(~inside & (corner != -1))[:_MOST_LISTED]:
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
                "patches do not lie in the runs that patch_start and patch_count of /scenes announce; patches unchecked",
            )
            return False
        return True

    def _check_patches(
        self,
        patches: h5py.Dataset,
        index: dict[str, npt.NDArray[Any]],
        scenes: dict[str, npt.NDArray[Any]],
        lut: npt.NDArray[np.float32] | None,
        settings: FileSettings,
    ) -> int:
        from_dn = settings.encoding != "float32" and schema.HISTOGRAM in self._file
        digest = ContentDigest(settings, from_dn=from_dn)
        inside = None if lut is None else is_inside(lut)
        by_range = self._file.attrs.get("valid_measure") == "range"
        self._progress.start("verify", len(patches) * int(np.prod(patches.shape[1:])) * patches.dtype.itemsize)
        self._progress.scene(1, 1)
        before = len(self._problems)
        for number, patch in enumerate(self._decoded(patches, index["checksum"])):
            if patch is None:
                continue
            self._progress.advance(patch.nbytes)
            place = f"/{schema.PATCHES}[{number}]"
            if not self._check_codes(place, patch, lut):
                continue
            if by_range:
                counted = is_inside(patch) if inside is None else inside[patch]
                self._check_fraction(number, float(index["valid_fraction"][number]), float(counted.mean()))
            scene = int(index["scene"][number])
            if number == scenes["patch_start"][scene]:
                self._start_scenes(digest, scenes, number, scene)
            content = hashlib.sha256(patch_content(patch, lut, from_dn=from_dn).data).digest()
            digest.add(int(index["row"][number]), int(index["col"][number]), content)
        if len(self._problems) == before:
            self._check_digest(digest, scenes, len(patches))
        return len(patches)

    def _start_scenes(
        self, digest: ContentDigest, scenes: dict[str, npt.NDArray[Any]], number: int, scene: int
    ) -> None:
        """Begin a scene in the digest, and before it those without patches that start at the same number."""
        for empty in np.flatnonzero((scenes["patch_start"] == number) & (scenes["patch_count"] == 0)):
            if empty < scene:
                digest.start_scene(scenes["name"][empty])
        digest.start_scene(scenes["name"][scene])

    def _check_digest(self, digest: ContentDigest, scenes: dict[str, npt.NDArray[Any]], count: int) -> None:
        for empty in np.flatnonzero((scenes["patch_start"] == count) & (scenes["patch_count"] == 0)):
            digest.start_scene(scenes["name"][empty])
        stated = self._file.attrs.get("content_digest")
        if stated != digest.hexdigest():
            self._add("/@content_digest", ProblemKind.WRONG_VALUE, f"expected {digest.hexdigest()}, found {stated}")

    def _decoded(self, patches: h5py.Dataset, checksums: npt.NDArray[np.uint32]) -> Iterator[npt.NDArray[Any] | None]:
        """Yield each patch, or None where it is damaged, which is then on the list."""
        nbytes = int(np.prod(patches.shape[1:])) * patches.dtype.itemsize
        for number in range(len(patches)):
            place = f"/{schema.PATCHES}[{number}]"
            try:
                skipped, stored = patches.id.read_direct_chunk((number, 0, 0))
            except (OSError, RuntimeError, ValueError) as error:
                self._add(place, ProblemKind.CORRUPT, f"its chunk cannot be read: {error}")
                yield None
                continue
            if zlib.crc32(stored) != checksums[number]:
                message = f"expected checksum {checksums[number]:08x}, found {zlib.crc32(stored):08x}"
                self._add(place, ProblemKind.CORRUPT, message)
                yield None
                continue
            try:
                raw = stored if skipped & 1 else decompress(stored, nbytes)
                yield np.frombuffer(raw, dtype=patches.dtype).reshape(patches.shape[1:])
            except ValueError as error:
                self._add(place, ProblemKind.CORRUPT, str(error))
                yield None

    def _check_codes(self, place: str, patch: npt.NDArray[Any], lut: npt.NDArray[np.float32] | None) -> bool:
        if lut is not None and int(patch.max()) >= len(lut):
            self._add(place, ProblemKind.WRONG_VALUE, f"expected codes below {len(lut)}, found {patch.max()}")
            return False
        if lut is None and not (patch.min() >= 0 and patch.max() <= 1):
            self._add(place, ProblemKind.WRONG_VALUE, "expected values in [0, 1]")
            return False
        return True

    def _check_fraction(self, number: int, stated: float, found: float) -> None:
        if abs(stated - found) > 1e-6:
            place = f"/index/valid_fraction[{number}]"
            self._add(place, ProblemKind.WRONG_VALUE, f"expected {found:.6f} from its pixels, found {stated:.6f}")


def _read_attributes(_: str, item: h5py.HLObject) -> None:
    dict(item.attrs)
