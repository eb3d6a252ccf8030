"""Patches as shards: a ``.npy`` of values for each scene, with the metadata that plain shards have, and more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.lib import format as npy_format

from sar_h5.errors import OutputError
from sar_h5.exports.export_summary import ExportSummary
from sar_h5.exports.file_names import FileNames
from sar_h5.exports.patch_source import ChosenScene, PatchSource, check_outside, pieces
from sar_h5.exports.writing import check_jobs, output_errors
from sar_h5.job import check_disk
from sar_h5.pending_directory import PendingDirectory
from sar_h5.progress import Progress
from sar_h5.schema import DEFAULT_SPLIT, UNKNOWN
from sar_h5.sources.shard_facts import KEY, ShardFacts, shard_facts_data
from sar_h5.sources.shard_set import GLOBAL_BOUNDS, METADATA, METADATA_NAMES
from sar_h5.tables.patch_choice import PatchChoice, as_scenes

BATCH_NBYTES = 16 << 20
"""How many bytes of values are in memory at once."""

MOST_METADATA_NBYTES = 64 << 20
"""Larger metadata are not read back; see :func:`sar_h5.plain_data.read_plain_data`."""

SHARD_SUFFIX = ".npy"


def export_shards(
    path: str | Path,
    out: str | Path,
    *,
    where: str | None = None,
    manifest: str | Path | None = None,
    split: str | None = None,
    split_name: str = DEFAULT_SPLIT,
    scene: str | Sequence[str] = (),
    jobs: int | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> ExportSummary:
    """Write patches as ``.npy`` shards: one per scene, float32 (n, P, P) in [0, 1], for ``np.load``, mmap or not.

    Beside them ``metadata.npy`` (a pickled dict with ``file_index``, ``vmin``, ``vmax``, ``patch_size``, ``stride``,
    ``polarization``, and under ``"sar_h5"`` all that is known of the scenes and the places of the patches) and
    ``global_bounds.npy``. :func:`sar_h5.convert` makes an equal file of them: shards become the same files again, in
    the same order. What values do not tell is not in them: digital numbers and their histogram, which of the pixels of
    value 0 held no data, and splits.

    Args:
        path: a file of this package.
        out: the directory to make; the one that it lies in must exist.
        where: a condition that chooses patches; see :func:`sar_h5.tables.where.parse_where`.
        manifest: a CSV with one row per scene, whose columns the condition may use too.
        split: write only the patches of "train", "val" or "test".
        split_name: which of the file's ways of splitting.
        scene: write only the patches of the scene, or scenes, of this name.
        jobs: number of threads that decode; None for as many as this process may use cores.
        overwrite: whether an earlier export may be replaced, as a whole.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Raises:
        SettingError: where a condition is none, or nothing is chosen.
        SourceError: where the file or the manifest cannot be read.
        FormatError: where the file is not of this package, or damaged.
        CorruptPatchError: where a patch is not what was written (its checksum differs).
        OutputError: where the directory exists already, does not fit on the disk, or cannot be written.
    """
    out, threads = Path(out), check_jobs(jobs)
    check_outside(out, "--shards", file=path, manifest=manifest)
    source = PatchSource(path, PatchChoice(where, manifest, split, split_name, as_scenes(scene)))
    names = FileNames(METADATA_NAMES)
    files = [names.give(_stem(chosen), SHARD_SUFFIX) for chosen in source.scenes]
    metadata = _metadata(source, files)
    with PendingDirectory(out, overwrite=overwrite, option="--shards") as pending, Progress(progress) as bar:
        patch_nbytes = source.settings.patch_size**2 * np.dtype(np.float32).itemsize
        check_disk(pending.partial, source.count * patch_nbytes, "--shards")
        bar.start(f"{source.settings.polarization} shards", source.count * patch_nbytes)
        for number, (chosen, name) in enumerate(zip(source.scenes, files, strict=True), start=1):
            bar.scene(number, len(files))
            _write_shard(pending.partial / name, out, source, chosen, threads, bar)
        _write_metadata(pending.partial, out, metadata)
        summary = ExportSummary(
            kind="shards",
            path=str(out),
            source=source.path,
            content_digest=source.digest,
            polarization=source.settings.polarization,
            pixels="values",
            scenes=len(files),
            patches=source.count,
            of_patches=source.of_patches,
            files=len(files),
            nbytes=sum(file.stat().st_size for file in pending.partial.iterdir()),
            notes=_losses(source),
        )
        source.close()
        pending.commit(summary.to_dict())
    return summary


def _losses(source: PatchSource) -> tuple[str, ...]:
    """Return what the file tells of its pixels and values do not."""
    settings, notes = source.settings, []
    if settings.invalid_code is not None:
        notes.append("pixels without data are 0, as those of less than vmin are; GeoTIFFs tell them apart by masks")
    if settings.encoding == "dn":
        notes.append("digital numbers are not in shards; --geotiff with --pixels dn keeps them")
    return tuple(notes)


def _stem(chosen: ChosenScene) -> str:
    """Name a shard as the one that its scene came from, else after the scene."""
    origin = PurePosixPath(chosen.info.path.replace("\\", "/")).name
    if origin.lower().endswith(SHARD_SUFFIX):
        return origin[: -len(SHARD_SUFFIX)]
    room = 190  # of the 200 bytes that a name takes at most, so that the polarization stays
    name = chosen.info.name.encode(errors="replace")[:room].decode(errors="ignore")
    return f"{name}_{chosen.info.polarization}"


def _write_shard(file: Path, out: Path, source: PatchSource, chosen: ChosenScene, threads: int, bar: Progress) -> None:
    size = source.settings.patch_size
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(chosen.numbers), size, size)}
    with output_errors(out, "--shards"), file.open("wb") as stream:
        npy_format.write_array_header_1_0(stream, header)
        for _, numbers in pieces(chosen.numbers, size**2 * 4, BATCH_NBYTES):
            values = source.values(numbers, threads)
            stream.write(values.astype("<f4", copy=False).data)
            bar.advance(values.nbytes, len(numbers))


def _metadata(source: PatchSource, files: Sequence[str]) -> dict[str, object]:
    """Return what ``metadata.npy`` says: names that plain shards have, and under a key of our own all the rest."""
    settings = source.settings
    index = [(name, len(chosen.numbers)) for name, chosen in zip(files, source.scenes, strict=True)]
    facts = [ShardFacts(chosen.info, chosen.known_places) for chosen in source.scenes]
    data: dict[str, object] = {"file_index": index, "vmin": settings.vmin, "vmax": settings.vmax}
    data |= {"patch_size": settings.patch_size, "polarization": settings.polarization}
    if settings.stride != UNKNOWN:
        data["stride"] = settings.stride
    return {**data, KEY: shard_facts_data(settings.polarization, files, facts)}


def _write_metadata(directory: Path, out: Path, metadata: dict[str, object]) -> None:
    bounds = {name: metadata[name] for name in ("vmin", "vmax")}
    with output_errors(out, "--shards"):
        for name, data in ((METADATA, metadata), (GLOBAL_BOUNDS, bounds)):
            np.save(directory / name, np.array(data, dtype=object), allow_pickle=True)
        nbytes = (directory / METADATA).stat().st_size
    if nbytes > MOST_METADATA_NBYTES:
        raise OutputError(
            f"{out}: expected metadata of at most {MOST_METADATA_NBYTES >> 20} MB, found {nbytes >> 20} MB: too many "
            "patches for one directory of shards; export some scenes at a time, with --scene or --where"
        )
