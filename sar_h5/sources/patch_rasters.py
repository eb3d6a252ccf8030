"""GeoTIFFs of single patches, known by their tags, put together again as scenes of patches with their places."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio

from sar_h5.errors import BadSource, SourceError
from sar_h5.georeference import patch_transform
from sar_h5.radiometry import Bounds
from sar_h5.schema import UNKNOWN
from sar_h5.sources.patch_tags import DTYPES, FORMAT_TAG, PatchTags, Pixels, shift_gcps
from sar_h5.sources.rasters import open_raster
from sar_h5.sources.scene import Georeference, SceneInfo, SourceFile
from sar_h5.sources.shards import check_values


@dataclass(frozen=True)
class _Shared:
    """What all patches of one scene say alike."""

    pixels: Pixels
    vmin: float
    vmax: float
    patch_size: int
    stride: int
    scene: SceneInfo
    ground: str

    @property
    def of_file(self) -> tuple[Pixels, float, float, int, int]:
        """What all patches of one file say alike."""
        return self.pixels, self.vmin, self.vmax, self.patch_size, self.stride


@dataclass(frozen=True)
class _Patch:
    path: str
    shared: _Shared
    number: int
    row: int
    col: int


@dataclass
class PatchRasters:
    """The patch rasters among some files.

    Attributes:
        scenes: in the order of the files that they were exported from, by polarization.
        bounds: what their tags say, by polarization.
        strides: likewise, in pixels; -1 where they say nothing.
        broken: what cannot be used, and why.
        others: the files that are no patch rasters, or cannot be opened.
    """

    scenes: dict[str, list[PatchRasterScene]] = field(default_factory=dict)
    bounds: dict[str, Bounds] = field(default_factory=dict)
    strides: dict[str, int] = field(default_factory=dict)
    broken: list[BadSource] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


class PatchRasterScene:
    """The patches that are there of one scene.

    Args:
        info: what is known of the scene.
        pixels: what the rasters hold.
        patch_size: side of a patch in pixels.
        files: the rasters, in the order of the patches.
        places: int32 (n, 2), row and column of each, -1 where unknown.

    Attributes:
        info: see above.
        dtype: float32 or uint16.
        count: how many there are.
        patch_size: see above.
        places: see above; None where not one is known.
    """

    def __init__(
        self, info: SceneInfo, pixels: Pixels, patch_size: int, files: Sequence[str], places: npt.NDArray[np.int32]
    ) -> None:
        self.info = info
        self.dtype: np.dtype[np.generic] = np.dtype(DTYPES[pixels])
        self.count, self.patch_size = len(files), patch_size
        self.places = None if (places == UNKNOWN).all() else places
        self._files = tuple(files)

    def batches(self, most_nbytes: int) -> Iterator[npt.NDArray[Any]]:
        """Yield consecutive patches (n, P, P) in batches of about ``most_nbytes``.

        Raises:
            SourceError: where a raster cannot be read, was changed, or holds values outside [0, 1].
        """
        start = 0
        for values in self.unchecked_batches(most_nbytes):
            if values.dtype == np.float32:
                check_values(values, start)
            yield values
            start += len(values)

    def unchecked_batches(self, most_nbytes: int) -> Iterator[npt.NDArray[Any]]:
        """Yield what :meth:`batches` does, whatever the values are."""
        step = max(1, most_nbytes // (self.patch_size**2 * self.dtype.itemsize))
        return (self._read(start, min(start + step, self.count)) for start in range(0, self.count, step))

    def patches(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Read patches ``start`` to ``stop`` (exclusive), (n, P, P); errors as :meth:`batches`."""
        values = self._read(start, stop)
        if values.dtype == np.float32:
            check_values(values, start)
        return values

    def identify(self) -> SourceFile:
        """Return the size of all rasters together, and the checksum of their bytes one after the other.

        Raises:
            SourceError: where one cannot be read.
        """
        nbytes, crc32 = 0, 0
        for file in self._files:
            try:
                content = Path(file).read_bytes()
            except OSError as error:
                raise SourceError(f"{file}: cannot be read: {error.strerror or error}") from error
            nbytes, crc32 = nbytes + len(content), zlib.crc32(content, crc32)
        return SourceFile(nbytes, crc32)

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        patches = np.empty((stop - start, self.patch_size, self.patch_size), dtype=self.dtype)
        for patch, file in zip(patches, self._files[start:stop], strict=True):
            try:
                with open_raster(file) as dataset:
                    _check_layout(dataset, self.patch_size, self.dtype)
                    patch[:] = dataset.read(1)
            except SourceError as error:
                raise SourceError(f"{Path(file).name}: {error}") from error
        return patches


def find_patch_rasters(paths: Iterable[Path], wanted: Sequence[str] = ()) -> PatchRasters:
    """Find the patch rasters among GeoTIFFs and put them together as scenes.

    Args:
        paths: the files.
        wanted: keep only scenes of these polarizations; empty for all.
    """
    found = PatchRasters()
    groups: dict[tuple[str, str, int], list[_Patch]] = {}
    origins: dict[str, int] = {}
    known: dict[_Shared, _Shared] = {}
    for path in paths:
        try:
            read = _read_patch(path)
        except ValueError as error:
            found.broken.append(BadSource(str(path), str(error)))
            continue
        if read is None:
            found.others.append(path)
            continue
        tags, ground = read
        if wanted and tags.scene.polarization not in wanted:
            continue
        origins.setdefault(tags.origin, len(origins))
        shared = _Shared(tags.pixels, tags.vmin, tags.vmax, tags.patch_size, tags.stride, tags.scene, ground)
        patch = _Patch(str(path), known.setdefault(shared, shared), tags.patch, tags.row, tags.col)
        groups.setdefault((tags.scene.polarization, tags.origin, tags.scene_number), []).append(patch)
    for key in sorted(groups, key=lambda key: (key[0], origins[key[1]], key[2])):
        groups[key] = _agreeing(groups[key], found.broken)
    for polarization in sorted({key[0] for key in groups}):
        ordered = [key for key in sorted(groups, key=lambda key: (origins[key[1]], key[2])) if key[0] == polarization]
        _add_scenes(found, polarization, [groups[key] for key in ordered])
    return found


def _read_patch(path: Path) -> tuple[PatchTags, str] | None:
    """Return the tags of a patch raster and its reference systems, or None; raise ValueError where it is broken."""
    try:
        with open_raster(str(path)) as dataset:
            texts = dataset.tags()
            if FORMAT_TAG not in texts:
                return None
            tags = PatchTags.from_tags(texts)
            _check_layout(dataset, tags.patch_size, np.dtype(DTYPES[tags.pixels]))
            return _with_control_points(dataset, tags), _reference_systems(dataset)
    except UnicodeDecodeError:  # tags of others, in another encoding
        return None
    except _ChangedError as error:
        raise ValueError(str(error)) from error
    except SourceError:
        return None  # whoever reads it as a raster says what is wrong


class _ChangedError(SourceError):
    """A patch raster that is not as its tags say."""


def _check_layout(dataset: rasterio.DatasetReader, patch_size: int, dtype: np.dtype[np.generic]) -> None:
    expected, found = (1, patch_size, patch_size), (dataset.count, dataset.height, dataset.width)
    if expected != found or dataset.dtypes[0] != dtype.name:
        raise _ChangedError(
            f"expected a patch of (bands, rows, columns) {expected} of {dtype.name} as its tags say, found {found} of "
            f"{dataset.dtypes[0]}: it was changed after the export; export it again, or remove it"
        )


def _with_control_points(dataset: rasterio.DatasetReader, tags: PatchTags) -> PatchTags:
    """Take the scene's control points from the raster, or check that its transform is that of its place."""
    place = tags.scene.georeference
    if UNKNOWN in (tags.row, tags.col):
        return tags
    if not np.isnan(place.transform[0]):
        expected = patch_transform(place.transform, tags.row, tags.col)
        if not np.allclose(tuple(dataset.transform)[:6], expected, rtol=1e-9, atol=1e-12):
            raise _ChangedError(
                f"expected the transform {expected} at row {tags.row}, column {tags.col} of its scene, found "
                f"{tuple(dataset.transform)[:6]}: it was moved or warped after the export; export it again, or remove "
                "it"
            )
        return tags
    if place.gcps:
        return tags
    points = [(point.row, point.col, point.x, point.y, point.z or 0.0) for point in dataset.gcps[0]]
    moved = dataclasses.replace(place, gcps=shift_gcps(points, tags.row, tags.col))
    return dataclasses.replace(tags, scene=dataclasses.replace(tags.scene, georeference=moved))


def _reference_systems(dataset: rasterio.DatasetReader) -> str:
    systems = (dataset.crs, dataset.gcps[1])
    return " and ".join(system.to_wkt() for system in systems if system)


def _agreeing(patches: list[_Patch], broken: list[BadSource]) -> list[_Patch]:
    """Keep those patches of a scene that say what most of them say, each once, in the order of their numbers."""
    common = Counter(patch.shared for patch in patches).most_common(1)[0][0]
    kept: dict[int, _Patch] = {}
    for patch in patches:
        if patch.shared != common:
            broken.append(BadSource(patch.path, _contradiction(patch.shared, common)))
        elif patch.number in kept:
            other = kept[patch.number].path
            broken.append(BadSource(patch.path, f"is patch {patch.number} of its scene, which {other} is already"))
        else:
            kept[patch.number] = patch
    return [kept[number] for number in sorted(kept)]


def _contradiction(mine: _Shared, common: _Shared) -> str:
    for one, other in (
        (mine, common),
        (mine.scene, common.scene),
        (mine.scene.georeference, common.scene.georeference),
    ):
        for name in (item.name for item in dataclasses.fields(one)):
            found, expected = getattr(one, name), getattr(other, name)
            if found != expected and not isinstance(found, (SceneInfo, Georeference)):
                shown = f"found {str(found)[:100]!r}, expected {str(expected)[:100]!r} as"
                return f"contradicts the other patches of its scene about {name}: {shown} most of them say"
    return "contradicts the other patches of its scene"


def _add_scenes(found: PatchRasters, polarization: str, groups: Sequence[list[_Patch]]) -> None:
    counts: Counter[tuple[Pixels, float, float, int, int]] = Counter()
    for patches in groups:
        counts[patches[0].shared.of_file] += len(patches)
    common = counts.most_common(1)[0][0]
    folders = Counter(map(_folder, groups))
    for patches in groups:
        shared = patches[0].shared
        if shared.of_file == common:
            found.scenes.setdefault(polarization, []).append(
                # Scenes are told apart by their paths where a conversion is gone on with.
                _make_scene(patches, _folder(patches) if folders[_folder(patches)] == 1 else patches[0].path)
            )
            continue
        reason = (
            f"expected pixels, vmin, vmax, patch size and stride {common} as most {polarization} patches say, found "
            f"{shared.of_file}; convert them into separate files"
        )
        found.broken += [BadSource(patch.path, reason) for patch in patches]
    _, vmin, vmax, _, stride = common
    folder = str(Path(groups[0][0].path).parent)
    found.bounds[polarization] = Bounds(vmin, vmax, f"tags of the patches in {folder}")
    found.strides[polarization] = stride


def _folder(patches: Sequence[_Patch]) -> str:
    return os.path.commonpath([str(Path(patch.path).parent) for patch in patches])


def _make_scene(patches: Sequence[_Patch], path: str) -> PatchRasterScene:
    shared = patches[0].shared
    info = dataclasses.replace(shared.scene, path=path)
    places = np.array([(patch.row, patch.col) for patch in patches], dtype=np.int32)
    return PatchRasterScene(info, shared.pixels, shared.patch_size, [patch.path for patch in patches], places)
