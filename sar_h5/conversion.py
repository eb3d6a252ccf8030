"""Sources to one HDF5 file per polarization: discover, survey, plan, write, commit."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sar_h5.conversion_record import WITHOUT_EFFECT, Undertaking
from sar_h5.errors import BadSource, BadSourceError, CannotResumeError, OutputError, OutputExistsError, SettingError
from sar_h5.file_maker import FileMaker
from sar_h5.finished_file import keep_finished
from sar_h5.forecasts.fit_check import check_fit
from sar_h5.job import Job, check_disk
from sar_h5.pending import PendingFile
from sar_h5.pixel_cache import PixelCache
from sar_h5.progress import Progress
from sar_h5.raster_job import RasterJob
from sar_h5.settings import DEFAULT_CACHE_NBYTES, BadSourcePolicy, ConvertSettings, ValidMeasure
from sar_h5.shard_job import ShardJob
from sar_h5.source_state import SourceState
from sar_h5.sources.discovery import Inventory, discover
from sar_h5.sources.naming import find_polarization
from sar_h5.splits.bounds_scenes import find_bounds_scenes
from sar_h5.summary import ConversionSummary
from sar_h5.version import VERSION

Source = str | Path

_KEPT = "What is finished so far is kept: the same command goes on from there."


def convert(
    sources: Source | Sequence[Source],
    out: str | Path,
    *,
    patch_size: int | None = None,
    stride: int | None = None,
    min_valid: float | None = None,
    valid_by: ValidMeasure = "range",
    percentiles: tuple[float, float] = (1, 99),
    vmin: float | None = None,
    vmax: float | None = None,
    bounds: str | Path | None = None,
    bounds_from: str | Path | Sequence[str | Path] = (),
    polarization: str | Sequence[str] = (),
    units: str = "auto",
    encoding: str = "auto",
    codec: str = "fast",
    clevel: int | None = None,
    shuffle: str | None = None,
    layout: str = "patches",
    overwrite: bool = False,
    resume: bool = False,
    on_bad_source: BadSourcePolicy = "fail",
    jobs: int | None = None,
    cache_nbytes: int = DEFAULT_CACHE_NBYTES,
    progress: bool | None = None,
) -> ConversionSummary:
    """Convert Sentinel-1 products, GeoTIFFs or ``.npy`` shards into one HDF5 file per polarization.

    Values read back from the files equal the reference pipeline (rasters) or the shards, bit for bit. Memory stays
    the same whatever the size of the sources. Files appear under their final names, ``vv.h5`` and so on, only when
    all are complete.

    Args:
        sources: one or more directories of products or shards, ``.SAFE`` directories, zipped ``.SAFE``, GeoTIFFs,
            shards; also what :func:`sar_h5.export_shards` and :func:`sar_h5.export_geotiffs` have made.
        out: directory for the results; made where it does not exist.
        patch_size: side of a patch in pixels; 256 for rasters. Shards keep theirs.
        stride: distance of neighbouring patches in pixels; 128 for rasters.
        min_valid: least valid fraction to keep a patch, in [0, 1]; 0.9 for rasters. Shards keep all patches unless
            it is given.
        valid_by: "range" counts pixels strictly inside (0.01, 0.99) after scaling, "pixels" those that hold data.
        percentiles: of all valid pixels of all scenes, which give the bounds where none are given.
        vmin: bound in dB that becomes 0; together with ``vmax``.
        vmax: bound in dB that becomes 1.
        bounds: file with the bounds: ``.npy`` or pickle of a dict with ``vmin`` and ``vmax``, an array of the two,
            or JSON.
        bounds_from: scenes whose valid pixels give the bounds, so that those of validation and test have no say: names
            of scenes, text files with a name in each line, or HDF5 files of this package with splits (their scenes of
            training). All scenes where it is not given.
        polarization: convert only these ("vv", "vh", "hh", "hv"); a single one is also given to files that tell none.
        units: of float rasters: "linear", "db", or "auto" to tell them apart where there is no doubt.
        encoding: "palette", "dn", "float32", or "auto" for palette where it fits, else float32.
        codec: "fast", "small", or a Blosc compressor ("lz4", "zstd", ...).
        clevel: compression level 0 to 9.
        shuffle: "none", "byte" or "bit"; None chooses by size.
        layout: "patches" stores each patch as one chunk; "blocks" stores squares that overlapping patches share, each
            once: about a quarter of the size at half overlap, for several chunks to read for each patch.
        overwrite: whether existing files may be replaced.
        resume: whether to go on with what an earlier run of the same conversion has left, however it ended, and to keep
            what this one leaves where it fails. Scenes finished earlier are checked, and not read again. A file that is
            finished already is kept. The result is that of a run without interruption.
        on_bad_source: "fail" names every broken source and writes nothing; "skip" goes on without them.
        jobs: number of threads; None for as many as this process may use cores. It changes no file.
        cache_nbytes: how many bytes of pixels of rasters stay in memory between the pass for the bounds and the one
            that cuts; 0 reads all of them twice.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Returns:
        A summary with one entry per file.

    Raises:
        SettingError: where a setting cannot be honoured.
        SourceError: where sources are missing or broken (:class:`BadSourceError` names each one).
        BoundsError: where bounds are missing, contradictory, or leave no range.
        RadiometryError: where the units of float rasters are in doubt.
        OutputError: where results exist and may not be replaced, or cannot be written; where what an earlier run left
            is of other settings or sources.
        InsufficientMemoryError: where the conversion takes more memory than this process may have.
    """
    settings = ConvertSettings(
        patch_size=patch_size,
        stride=stride,
        min_valid=min_valid,
        valid_measure=valid_by,
        percentiles=percentiles,
        vmin=vmin,
        vmax=vmax,
        bounds_file=None if bounds is None else Path(bounds),
        bounds_from=_texts(bounds_from),
        polarizations=(polarization,) if isinstance(polarization, str) else tuple(polarization),
        units=units,
        encoding=encoding,
        codec=codec,
        clevel=clevel,
        shuffle=shuffle,
        layout=layout,
        overwrite=overwrite,
        resume=resume,
        on_bad_source=on_bad_source,
        jobs=jobs,
        cache_nbytes=cache_nbytes,
    )
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    return run_conversion(given, Path(out), settings, progress=progress)


def run_conversion(
    sources: Sequence[Source], out: Path, settings: ConvertSettings, *, progress: bool | None = None
) -> ConversionSummary:
    """Convert sources as the settings say; see :func:`convert` for results and errors."""
    with_bounds = settings.given_bounds is None and settings.bounds_file is None
    inventory = discover(sources, settings.polarizations, with_bounds=with_bounds)
    _check_patch_size(inventory, settings)
    return convert_inventory(inventory, sources, out, settings, progress=progress)


def convert_inventory(
    inventory: Inventory,
    sources: Sequence[Source],
    out: Path,
    settings: ConvertSettings,
    *,
    reserved_nbytes: int = 0,
    progress: bool | None = None,
) -> ConversionSummary:
    """Convert scenes that have been found; see :func:`convert` for results and errors.

    Args:
        inventory: the scenes.
        sources: where they were found, for the history.
        out: directory for the results.
        settings: of the conversion.
        reserved_nbytes: how much of the free disk is needed for something else.
        progress: whether to show progress on standard error; None shows it on a terminal only.
    """
    jobs = _make_jobs(inventory, settings, _bounds_scenes(inventory, settings))
    command = _describe_command(sources, settings)
    with ExitStack() as stack:
        directory = stack.enter_context(_output_directory(out))
        outputs = [stack.enter_context(_pending(directory, job, settings)) for job in jobs]
        stack.enter_context(_telling_what_is_kept(outputs))
        waiting = [job for job, output in zip(jobs, outputs, strict=True) if not _is_finished(output, settings)]
        check_fit(directory, waiting, settings, _kept_nbytes(outputs) - reserved_nbytes)
        bar = stack.enter_context(Progress(progress))
        makers, kept = [], []
        for job, output in zip(jobs, outputs, strict=True):
            states = _source_states(inventory, job.polarization)
            if _is_finished(output, settings):
                kept.append(keep_finished(output.path, job.polarization, command, states))
                output.discard()
            else:
                undertaking = Undertaking.of(settings, {**job.terms, "sar_h5": VERSION}, states)
                makers.append(FileMaker(job, output, settings, undertaking, command, bar))
        made = _make_files(makers, inventory, directory, settings, reserved_nbytes) if makers or not kept else []
    files = [
        maker.summarize(
            _concerning(inventory.broken, maker.job.polarization), [*inventory.notes, *_replaced(maker.output)]
        )
        for maker in made
    ]
    order = [job.polarization for job in jobs]
    in_order = sorted([*kept, *files], key=lambda file: order.index(file.polarization))
    return ConversionSummary(tuple(in_order), tuple(_all_broken(inventory, jobs)))


def _check_patch_size(inventory: Inventory, settings: ConvertSettings) -> None:
    """Refuse patches that no scene holds: then the setting is wrong, and none of the sources is broken."""
    grid = settings.grid
    sizes = [(scene.info.height, scene.info.width) for scenes in inventory.rasters.values() for scene in scenes]
    if not sizes or inventory.broken or any(inventory.shards.values()) or any(grid.count(*size) for size in sizes):
        return
    height, width = max(sizes, key=lambda size: (min(size), max(size)))
    raise SettingError(
        f"no scene holds a patch of {grid.patch_size} x {grid.patch_size} (the largest has {height} x {width}); choose "
        "a smaller --patch-size"
    )


def _make_files(
    makers: list[FileMaker], inventory: Inventory, directory: Path, settings: ConvertSettings, reserved_nbytes: int
) -> list[FileMaker]:
    """Take files through all stages; return the makers of those that came of it."""
    jobs = [maker.job for maker in makers]
    for maker in makers:
        maker.survey()
    if _fatal(inventory, jobs, settings):
        for maker in makers:
            maker.check()
    _stop_at_broken(inventory, jobs, settings)
    makers = [maker for maker in makers if maker.job.scenes]
    for maker in makers:
        maker.plan()
    check_disk(directory, sum(maker.estimated_nbytes for maker in makers) + reserved_nbytes)
    for maker in makers:
        maker.begin()
    for maker in makers:
        if _fatal(inventory, jobs, settings):
            maker.check()
        else:
            maker.write(_concerning(inventory.broken, maker.job.polarization))
    _stop_at_broken(inventory, jobs, settings)
    makers = [maker for maker in makers if maker.job.scenes]
    for maker in makers:
        maker.output.commit()
    return makers


def _pending(directory: Path, job: Job[Any], settings: ConvertSettings) -> PendingFile:
    return PendingFile(directory / f"{job.polarization}.h5", overwrite=settings.overwrite, resume=settings.resume)


def _is_finished(output: PendingFile, settings: ConvertSettings) -> bool:
    return settings.resume and output.path.exists()


def _kept_nbytes(outputs: Sequence[PendingFile]) -> int:
    return sum(output.partial.stat().st_size for output in outputs if output.unfinished)


@contextlib.contextmanager
def _telling_what_is_kept(outputs: Sequence[PendingFile]) -> Iterator[None]:
    """Add to whatever ends the run early that it can be gone on with, if so."""
    try:
        yield
    except BaseException as error:  # Ctrl-C too
        refused = isinstance(error, (CannotResumeError, OutputExistsError))
        if not refused and any(output.unfinished for output in outputs):
            error.add_note(_KEPT)
        raise


def _source_states(inventory: Inventory, polarization: str) -> list[SourceState]:
    scenes = [*inventory.rasters.get(polarization, ()), *inventory.shards.get(polarization, ())]
    return [SourceState.of(scene.info) for scene in scenes]


def _replaced(output: PendingFile) -> list[str]:
    if not output.replaced_nbytes:
        return []
    size = f"{output.replaced_nbytes / 1e6:,.2f} MB"
    return [f"replaced {size} that an earlier run had left unfinished; --resume would have gone on with it"]


def _concerning(broken: Sequence[BadSource], polarization: str) -> list[BadSource]:
    """Return the sources that may be of a polarization: those whose names do not tell another."""
    return [source for source in broken if find_polarization(Path(source.path).stem) in (None, polarization)]


def _texts(given: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return (str(given),) if isinstance(given, (str, Path)) else tuple(str(item) for item in given)


def _bounds_scenes(inventory: Inventory, settings: ConvertSettings) -> frozenset[str] | None:
    """Return the names of the scenes that are to give the bounds; None for all."""
    if not settings.bounds_from or not inventory.rasters:
        return None
    names = [scene.info.name for scenes in inventory.rasters.values() for scene in scenes]
    return find_bounds_scenes(settings.bounds_from, names)


def _make_jobs(inventory: Inventory, settings: ConvertSettings, bounds_from: frozenset[str] | None) -> list[Job[Any]]:
    jobs: list[Job[Any]] = []
    cache = PixelCache(settings.cache_nbytes)
    for polarization in inventory.polarizations:
        if inventory.rasters.get(polarization):
            jobs.append(RasterJob(polarization, inventory.rasters[polarization], settings, cache, bounds_from))
        elif inventory.shards.get(polarization):
            bounds = inventory.bounds.get(polarization)
            jobs.append(ShardJob(polarization, inventory.shards[polarization], bounds, inventory.stride, settings))
    return jobs


def _all_broken(inventory: Inventory, jobs: Sequence[Job[Any]]) -> list[BadSource]:
    return [*inventory.broken, *(source for job in jobs for source in job.broken)]


def _fatal(inventory: Inventory, jobs: Sequence[Job[Any]], settings: ConvertSettings) -> bool:
    """Whether broken sources stop the run: any, or, where they are skipped, so many that nothing is left."""
    nothing_left = not any(job.scenes for job in jobs)
    return bool(_all_broken(inventory, jobs)) and (settings.on_bad_source == "fail" or nothing_left)


def _stop_at_broken(inventory: Inventory, jobs: Sequence[Job[Any]], settings: ConvertSettings) -> None:
    if _fatal(inventory, jobs, settings):
        advice = None if settings.on_bad_source == "fail" else "Nothing is left to convert."
        raise BadSourceError(_all_broken(inventory, jobs), advice)


def _describe_command(sources: Sequence[Source], settings: ConvertSettings) -> str:
    """Write the run down for the file's history."""
    changed = [
        f"{field.name}={getattr(settings, field.name)}"
        for field in dataclasses.fields(settings)
        if field.name not in WITHOUT_EFFECT and getattr(settings, field.name) != field.default
    ]
    options = f" with {', '.join(changed)}" if changed else ""
    return f"convert {' '.join(str(source) for source in sources)}{options}"


@contextlib.contextmanager
def _output_directory(path: Path) -> Iterator[Path]:
    """Make a directory; take away again, if nothing came of it, whatever was made."""
    missing: list[Path] = []
    try:
        missing += [parent for parent in (path, *path.parents) if not parent.exists()]
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise OutputError(
            f"{path}: expected a directory to write to, cannot make it: {error.strerror or error}; choose another --out"
        ) from error
    try:
        yield path
    finally:
        _remove_empty(missing)


def _remove_empty(directories: Sequence[Path]) -> None:
    """Remove directories, innermost first, as far as they are empty."""
    for directory in directories:
        with contextlib.suppress(OSError):  # not empty, so something came of it; or never made
            directory.rmdir()
