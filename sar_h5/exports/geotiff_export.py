"""Patches as GeoTIFFs, one each, in a folder for each scene; every program for maps reads them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.errors import NotGeoreferencedWarning

from sar_h5.errors import SettingError
from sar_h5.exports.export_summary import ExportSummary
from sar_h5.exports.file_names import FileNames
from sar_h5.exports.patch_raster import encode_patch
from sar_h5.exports.patch_source import ChosenScene, Numbers, PatchSource, check_outside, pieces
from sar_h5.exports.writing import check_jobs, output_errors
from sar_h5.job import check_disk, spread
from sar_h5.pending_directory import PendingDirectory
from sar_h5.progress import Progress
from sar_h5.schema import DEFAULT_SPLIT, UNKNOWN
from sar_h5.sources.patch_tags import DTYPES, PIXELS, PatchTags, Pixels
from sar_h5.tables.patch_choice import PatchChoice, as_scenes
from sar_h5.workers import in_order

BATCH_NBYTES = 2 << 20
"""How many bytes of pixels one thread works on at a time."""

IN_FLIGHT_NBYTES = 32 << 20
"""How many bytes of pixels are worked on at once at most."""

SAMPLED_PATCHES = 8
"""From so many patches the size of all is told."""


def export_geotiffs(
    path: str | Path,
    out: str | Path,
    *,
    pixels: Pixels = "values",
    where: str | None = None,
    manifest: str | Path | None = None,
    split: str | None = None,
    split_name: str = DEFAULT_SPLIT,
    scene: str | Sequence[str] = (),
    jobs: int | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> ExportSummary:
    """Write each patch as a GeoTIFF ``<scene>/<row>_<col>.tif``; by its number in the scene where its place is unknown.

    A raster has the transform or the ground control points of its scene, moved to the patch, and their reference
    system; its tags (``SAR_H5_*``) say all that the file does about it, so that :func:`sar_h5.convert` makes an equal
    file of them. Values are float32 in [0, 1]. They have no nodata value, since 0 is a value too: pixels without data,
    where the file tells them apart, are in a mask within the raster, which rasterio, GDAL and QGIS take into account.
    Digital numbers are uint16, with nodata 0.

    Args:
        path: a file of this package.
        out: the directory to make; the one that it lies in must exist.
        pixels: "values", or "dn" for digital numbers, of files made with ``encoding="dn"``.
        where: a condition that chooses patches; see :func:`sar_h5.tables.where.parse_where`.
        manifest: a CSV with one row per scene, whose columns the condition may use too.
        split: write only the patches of "train", "val" or "test".
        split_name: which of the file's ways of splitting.
        scene: write only the patches of the scene, or scenes, of this name.
        jobs: number of threads that decode and write; None for as many as this process may use cores.
        overwrite: whether an earlier export may be replaced, as a whole.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Raises:
        SettingError: where the file has no digital numbers, a condition is none, or nothing is chosen.
        SourceError: where the file or the manifest cannot be read.
        FormatError: where the file is not of this package, or damaged.
        CorruptPatchError: where a patch is not what was written (its checksum differs).
        OutputError: where the directory exists already, does not fit on the disk, or cannot be written.
    """
    out, threads = Path(out), check_jobs(jobs)
    check_outside(out, "--geotiff", file=path, manifest=manifest)
    source = PatchSource(path, PatchChoice(where, manifest, split, split_name, as_scenes(scene)))
    _check_pixels(source, pixels)
    scenes = [chosen for chosen in source.scenes if len(chosen.numbers)]
    names = FileNames()
    folders = [names.give(chosen.info.name) for chosen in scenes]
    with PendingDirectory(out, overwrite=overwrite, option="--geotiff") as pending, _quiet(), Progress(progress) as bar:
        patch_nbytes = source.settings.patch_size**2 * np.dtype(DTYPES[pixels]).itemsize
        check_disk(pending.partial, _estimate_nbytes(source, scenes, pixels), "--geotiff")
        bar.start(f"{source.settings.polarization} patches", source.count * patch_nbytes)
        nbytes = 0
        for number, (chosen, folder) in enumerate(zip(scenes, folders, strict=True), start=1):
            bar.scene(number, len(scenes))
            with output_errors(out, "--geotiff"):
                (pending.partial / folder).mkdir()
                batches = _batches(source, chosen, pending.partial / folder, pixels, patch_nbytes)
                for written, patches in in_order(_Batch.write, batches, _Batch.held_nbytes, threads, IN_FLIGHT_NBYTES):
                    nbytes += written
                    bar.advance(patches * patch_nbytes, patches)
        summary = ExportSummary(
            kind="geotiff",
            path=str(out),
            source=source.path,
            content_digest=source.digest,
            polarization=source.settings.polarization,
            pixels=pixels,
            scenes=len(scenes),
            patches=source.count,
            of_patches=source.of_patches,
            files=source.count,
            nbytes=nbytes,
            notes=("digital numbers are not in values; --pixels dn keeps them",) if _loses_dn(source, pixels) else (),
        )
        source.close()
        pending.commit(summary.to_dict())
    return summary


def _check_pixels(source: PatchSource, pixels: str) -> None:
    if pixels not in PIXELS:
        raise SettingError(f"expected pixels {' or '.join(PIXELS)}; found {pixels!r}")
    encoding = source.settings.encoding
    if pixels == "dn" and encoding != "dn":
        raise SettingError(
            f"{source.path}: has no digital numbers to export: it was made with --encoding {encoding}, which keeps "
            "values; leave --pixels out, or convert the products again with --encoding dn"
        )


def _loses_dn(source: PatchSource, pixels: Pixels) -> bool:
    return source.settings.encoding == "dn" and pixels == "values"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence rasterio about patches that lie nowhere: nothing is wrong with them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@dataclass(frozen=True)
class _Batch:
    """Some patches of a scene, to be written in a thread."""

    source: PatchSource
    chosen: ChosenScene
    pixels: Pixels
    first: int
    numbers: Numbers
    files: Sequence[Path]

    def held_nbytes(self) -> int:
        return len(self.numbers) * self.source.settings.patch_size**2 * np.dtype(DTYPES[self.pixels]).itemsize

    def write(self) -> tuple[int, int]:
        """Write the patches; return how many bytes and patches that were."""
        nbytes = 0
        for file, content in zip(self.files, self.encoded(), strict=True):
            nbytes += file.write_bytes(content)
        return nbytes, len(self.files)

    def encoded(self) -> Iterator[bytes]:
        """Yield the bytes of each raster."""
        patches, held = _read(self.source, self.numbers, self.pixels)
        for position, patch in enumerate(patches):
            mask = None if held is None or held[position].all() else held[position]
            yield encode_patch(patch, mask, _tags(self.source, self.chosen, self.first + position, self.pixels))


def _batches(
    source: PatchSource, chosen: ChosenScene, folder: Path, pixels: Pixels, patch_nbytes: int
) -> Iterator[_Batch]:
    names = FileNames()
    for first, numbers in pieces(chosen.numbers, patch_nbytes, BATCH_NBYTES):
        files = [folder / names.give(_stem(chosen, first + position), ".tif") for position in range(len(numbers))]
        yield _Batch(source, chosen, pixels, first, numbers, files)


def _stem(chosen: ChosenScene, position: int) -> str:
    row, col = chosen.places[position].tolist()
    return str(chosen.positions[position]) if UNKNOWN in (row, col) else f"{row}_{col}"


def _read(
    source: PatchSource, numbers: Numbers, pixels: Pixels
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Read patches, and which of their pixels hold data; None where the file does not tell, or nodata does."""
    if pixels == "dn":
        return source.codes(numbers), None
    invalid = source.settings.invalid_code
    return source.values(numbers), None if invalid is None else source.codes(numbers) != invalid


def _tags(source: PatchSource, chosen: ChosenScene, position: int, pixels: Pixels) -> PatchTags:
    row, col = chosen.places[position].tolist()
    settings = source.settings
    return PatchTags(
        pixels=pixels,
        vmin=settings.vmin,
        vmax=settings.vmax,
        patch_size=settings.patch_size,
        stride=settings.stride,
        origin=source.digest,
        scene=chosen.info,
        scene_number=chosen.number,
        patch=int(chosen.numbers[position]),
        row=row,
        col=col,
    )


def _estimate_nbytes(source: PatchSource, scenes: Sequence[ChosenScene], pixels: Pixels) -> int:
    """Return about how much disk the rasters will take, from a few of them."""
    sizes = [
        len(content)
        for chosen in spread(scenes, SAMPLED_PATCHES)
        for position in spread(range(len(chosen.numbers)), max(1, SAMPLED_PATCHES // len(scenes)))
        for content in _Batch(source, chosen, pixels, position, chosen.numbers[position : position + 1], ()).encoded()
    ]
    return int(source.count * sum(sizes) / max(len(sizes), 1))
