"""``append``: further scenes for a file that is there."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from sar_h5.conversion import convert_inventory
from sar_h5.cores import usable_cores
from sar_h5.derivation.agreement import check_agreement, check_layouts
from sar_h5.derivation.derivation_summary import Addition, DerivationSummary
from sar_h5.derivation.making import Making
from sar_h5.derivation.pieces import Piece, open_piece
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.derivation.requests import check_distinct, check_jobs
from sar_h5.derivation.same_scenes import check_same_source, stored_source
from sar_h5.errors import BadSource, BoundsError, OutputError, SettingError, SourceError
from sar_h5.job import Scene, check_disk
from sar_h5.pending import PendingFile
from sar_h5.progress import Progress
from sar_h5.radiometry import Bounds
from sar_h5.settings import BadSourcePolicy
from sar_h5.shard_job import SCALED
from sar_h5.sources.discovery import Inventory, discover
from sar_h5.sources.shard_set import same_bounds
from sar_h5.stated_settings import conversion_settings
from sar_h5.summary import FileSummary

SceneT = TypeVar("SceneT", bound=Scene)

NEW_SUFFIX = ".append.partial"
"""Of the directory beside a file in which scenes are converted that are to be appended."""


def append(
    path: str | Path,
    sources: str | Path | Sequence[str | Path],
    *,
    skip_existing: bool = False,
    on_bad_source: BadSourcePolicy = "fail",
    jobs: int | None = None,
    progress: bool | None = False,
) -> DerivationSummary:
    """Add scenes to a file, behind those that it has.

    They are converted as the file says: patch size, stride, bounds, quality filter, encoding, layout, codec. The
    result has the content of one conversion of all scenes with these bounds, apart from the order of scenes, and so the
    digest, where the sources sort otherwise. It takes the place of the file at the end, in one go: however the run
    ends, the file is as it was or complete. Meanwhile it takes its size once more on the disk.

    Bounds that were percentiles stay those of the scenes that gave them, and so does the histogram; where bounds were
    given, the histogram counts the new scenes as well.

    Args:
        path: a file of this package.
        sources: products, GeoTIFFs, shards, directories of these, and files of this package; files come last.
        skip_existing: whether scenes that the file has already are passed over, after a look whether their sources are
            those that it was made from; else they are refused.
        on_bad_source: "fail" names every broken source and changes nothing; "skip" goes on without them.
        jobs: number of threads; None for as many as this process may use cores.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Returns:
        What the file holds now; where nothing is new it is not touched.

    Raises:
        SettingError: where a file is to be appended to itself.
        SourceError: where sources are missing or broken, or scenes are in the file already, from these or other
            sources.
        BoundsError: where shards or files have other bounds.
        FormatError: where a file is none of this package, is damaged, or holds patches of another kind.
        OutputError: where the result cannot be written.

    Warns:
        LeakageWarning: as ``merge`` does.
    """
    file = Path(path).resolve() if Path(path).is_symlink() else Path(path)  # the file is replaced, not the link
    given = [Path(item) for item in ([sources] if isinstance(sources, (str, Path)) else sources)]
    if not given:
        raise SettingError(f"expected something to append to {file}; found nothing")
    files = [item for item in given if item.is_file() and h5py.is_hdf5(item)]
    check_jobs(jobs)
    check_distinct([file, *files])
    if not file.is_file():
        what = "a directory" if file.is_dir() else "no such file"
        raise SourceError(f"{file}: expected a file to append to, found {what}; `sar-h5 convert` makes one")
    scenes = _Scenes(file, [item for item in given if item not in files], files, skip_existing=skip_existing)
    threads = usable_cores() if jobs is None else jobs
    with PendingFile(file, overwrite=True, option="FILE") as pending, _Workplace(file) as workplace:
        summary = scenes.write(pending, workplace.path, on_bad_source, threads, progress)
        if scenes.found_new:
            shutil.copymode(file, pending.partial)
            pending.commit()
    return summary


class _Workplace:
    """A directory beside a file, empty on entering and gone on leaving; what a killed run has left goes as well."""

    def __init__(self, file: Path) -> None:
        self.path = file.with_name(file.name + NEW_SUFFIX)

    def __enter__(self) -> _Workplace:
        self._remove()
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
        except OSError as error:
            raise OutputError(
                f"{self.path}: expected to remove what a run has left, cannot: {error}; remove it"
            ) from error


class _Scenes:
    """The scenes to append to one file."""

    def __init__(self, file: Path, sources: list[Path], files: list[Path], *, skip_existing: bool) -> None:
        self._file, self._sources, self._files, self._skips = file, sources, files, skip_existing
        self._passed_over: set[str] = set()
        self.found_new = False

    def write(
        self,
        pending: PendingFile,
        workplace: Path,
        on_bad_source: BadSourcePolicy,
        jobs: int,
        progress: bool | None,
    ) -> DerivationSummary:
        """Convert what is to be converted, and write the new file under its temporary name."""
        started = time.perf_counter()
        with ExitStack() as stack:
            old = stack.enter_context(open_piece(self._file))
            pieces = [stack.enter_context(open_piece(path)) for path in self._files]
            check_layouts([old, *pieces])
            check_agreement([old, *pieces], rebased=False)  # before names: they are the same for all polarizations
            pieces = [piece for piece in (self._new_of(old, piece) for piece in pieces) if piece.scenes]
            check_disk(self._file.parent, self._file.stat().st_size)
            made = self._convert(old, pieces, workplace, on_bad_source, jobs, progress)
            if made is not None:
                pieces.insert(0, _without_history(stack.enter_context(open_piece(Path(made.path)))))
            self.found_new = bool(pieces)
            if not pieces:
                return self._unchanged(old, time.perf_counter() - started)
            operation = f"append {' '.join(self._source_names)} to {self._file}"
            with Progress(progress) as bar:
                # Blocks of shards whose stride is unknown may have come out with another side: then they are cut anew.
                summary = Making([old, *pieces], operation, None, jobs, PixelForm.of(old)).run(pending, bar)
        dropped = {name: count for piece in pieces for name, count in _dropped(piece)}  # parts share a scene
        return dataclasses.replace(
            summary,
            sources=self._source_names,
            seconds=time.perf_counter() - started,
            added=Addition(
                scenes=summary.scenes - len(old.scene_names),
                patches=summary.patches - old.found.count,
                dropped=sum(dropped.values()),
                passed_over=len(self._passed_over),
                converted=0 if made is None else made.patches,
            ),
            skipped=() if made is None else made.skipped,
        )

    @property
    def _source_names(self) -> tuple[str, ...]:
        return tuple(map(str, (*self._sources, *self._files)))

    def _new_of(self, old: Piece, piece: Piece) -> Piece:
        """Take the scenes of a file that the old one does not have."""
        names, known = piece.scene_names, set(old.scene_names)
        there = [number for number in piece.scenes if names[number] in known]
        self._pass_over([names[number] for number in there], piece.name)
        for number in there:
            check_same_source(old, names[number], stored_source(piece, number), piece.name)
        new = [number for number in piece.scenes if names[number] not in known]
        kept = np.flatnonzero(np.isin(piece.found.index["scene"], new)).astype(np.int64)
        return piece.take(kept, tuple(new))

    def _pass_over(self, known: Sequence[str], where: str) -> None:
        if known and not self._skips:
            raise SourceError(
                f"{where}: {self._file} has {len(known):,} of its scenes already ({_enumerate(known)}); pass "
                "--skip-existing to append only the others; nothing was changed"
            )
        self._passed_over.update(known)

    def _convert(
        self,
        old: Piece,
        others: Sequence[Piece],
        workplace: Path,
        on_bad_source: BadSourcePolicy,
        jobs: int,
        progress: bool | None,
    ) -> FileSummary | None:
        """Convert the new scenes of the sources to a file; None where there are none."""
        if not self._sources:
            return None
        settings = old.found.settings
        inventory = discover(self._sources, (settings.polarization,))
        self._check_kind(old, inventory)
        names = set(old.scene_names)
        found = [*inventory.rasters.get(settings.polarization, ()), *inventory.shards.get(settings.polarization, ())]
        self._pass_over(
            [scene.info.name for scene in found if scene.info.name in names], _enumerate(map(str, self._sources))
        )
        inventory.broken += _check_known(old, [scene for scene in found if scene.info.name in names])
        _leave_out(inventory.rasters, names)
        _leave_out(inventory.shards, names)
        if not any((*inventory.rasters.values(), *inventory.shards.values(), inventory.broken)):
            return None
        codec = old.codec
        stated = dataclasses.replace(
            conversion_settings(old.found, jobs),
            encoding=settings.encoding,
            codec=codec.name,
            clevel=codec.clevel,
            shuffle=codec.shuffle,
            layout=settings.layout,
            on_bad_source=on_bad_source,
        )
        there = sum(piece.path.stat().st_size for piece in (old, *others))
        made = convert_inventory(
            inventory, self._sources, workplace, stated, reserved_nbytes=there, progress=progress
        )  # fmt: skip
        return made[settings.polarization]

    def _check_kind(self, old: Piece, inventory: Inventory) -> None:
        """Refuse sources of another kind, or with other bounds, before any of them is read."""
        settings = old.found.settings
        shards = inventory.shards.get(settings.polarization)
        of_shards = old.found.attributes.get("quantity") == SCALED[0]
        if (shards and not of_shards) or (inventory.rasters.get(settings.polarization) and of_shards):
            kinds = ("shards", "rasters") if of_shards else ("rasters", "shards")
            raise SourceError(
                f"{_enumerate(map(str, self._sources))}: {self._file} was made of {kinds[0]}, and these are "
                f"{kinds[1]}; convert all of it from one kind"
            )
        stated = inventory.bounds.get(settings.polarization) if shards else None
        if stated is not None and not same_bounds(stated, Bounds(settings.vmin, settings.vmax)):
            raise BoundsError(
                f"{stated.origin}: these shards were scaled with bounds {stated.vmin!r} to {stated.vmax!r} dB, and "
                f"{self._file} has {settings.vmin!r} to {settings.vmax!r} dB; the same value would mean another "
                "backscatter; convert all of it from the products"
            )

    def _unchanged(self, old: Piece, seconds: float) -> DerivationSummary:
        found = old.found
        return DerivationSummary(
            path=old.name,
            sources=self._source_names,
            scenes=len(old.scene_names),
            patches=found.count,
            left_out=0,
            filtered=0,
            compressed=0,
            vmin=found.settings.vmin,
            vmax=found.settings.vmax,
            encoding=found.settings.encoding,
            levels=0 if found.lut is None else len(found.lut),
            codec=str(old.codec),
            nbytes=old.path.stat().st_size,
            seconds=seconds,
            content_digest=found.attributes.get("content_digest", ""),
            layout=found.settings.layout,
            added=Addition(passed_over=len(self._passed_over)),
            notes=("all of these scenes are in the file already; it is as it was",),
        )


def _without_history(piece: Piece) -> Piece:
    """Forget how a file was made that nobody asked for."""
    return dataclasses.replace(
        piece, found=dataclasses.replace(piece.found, attributes={**piece.found.attributes, "history": ""})
    )


def _dropped(piece: Piece) -> Iterator[tuple[str, int]]:
    """Yield the name of each scene taken, and how many of its patches the quality filter dropped."""
    for scene in piece.scenes:
        yield piece.scene_names[scene], int(piece.found.scenes["dropped_count"][scene])


def _check_known(old: Piece, scenes: Iterable[Scene]) -> list[BadSource]:
    """Refuse scenes that are not those of the file with their names; return what cannot be read."""
    broken = []
    for scene in scenes:
        try:
            source = scene.identify()
        except SourceError as error:
            broken.append(BadSource(scene.info.path, str(error)))
        else:
            check_same_source(old, scene.info.name, source, scene.info.path)
    return broken


def _leave_out(scenes: dict[str, list[SceneT]], names: set[str]) -> None:
    for polarization, some in scenes.items():
        scenes[polarization] = [scene for scene in some if scene.info.name not in names]


def _enumerate(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3:,} more" if len(listed) > 3 else "")
