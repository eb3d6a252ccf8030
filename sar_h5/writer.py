"""One HDF5 file from scenes of patches, as ``schema`` lays it out; chunks are compressed here, written as they are."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.columns import write_column
from sar_h5.compression import Codec
from sar_h5.cutting import BatchToMake
from sar_h5.digest import ContentDigest
from sar_h5.encoding import Storage
from sar_h5.finished_scene import FinishedScene
from sar_h5.journal import Entry
from sar_h5.partial_file import PartialFile
from sar_h5.patch_chunks_writer import PatchChunksWriter
from sar_h5.pixel_writer import PixelWriter, WrittenBatch, writing_errors
from sar_h5.place_recovery import FilePlaces
from sar_h5.schema import FileSettings
from sar_h5.shared_blocks.chunks_writer import BlockChunksWriter
from sar_h5.sources.scene import SceneInfo, SourceFile
from sar_h5.text_checksum import seal_texts
from sar_h5.version import VERSION

IN_FLIGHT_NBYTES = 20 << 20
"""How many bytes of patches wait to be packed and written at once; what is made of them takes as much again."""


@dataclass(frozen=True)
class Provenance:
    """What a file says about how it was made.

    Attributes:
        title: one line for catalogues.
        command: what made it, for the history.
        quantity, units: of the source's pixels.
        bounds_origin: how the bounds came about.
        valid_measure: what ``valid_fraction`` counts: "range" or "pixels".
        skipped_sources: broken sources that were left out, with the reason.
        bounds_scenes: names of the scenes whose pixels gave the bounds; none where bounds were given.
    """

    title: str
    command: str
    quantity: str
    units: str
    bounds_origin: str
    valid_measure: str
    skipped_sources: tuple[str, ...] = ()
    bounds_scenes: tuple[str, ...] = ()


class FileWriter:
    """Writes one file, scene by scene. A context manager that closes the file, complete or not.

    Each scene finished, and the end, is a commit of the file, see :class:`sar_h5.partial_file.PartialFile`; who writes
    the same file later goes on after the last one.

    Patches are packed in threads and written in order by the thread that calls, so that the file is the same for any
    number of threads. Errors of making a batch come out of a later call for the same scene.

    Args:
        file: the file to make, where it exists replaced, with its journal beside it; or, to go on with it, the
            unfinished file.
        settings: what holds for all patches.
        storage: how values are stored.
        codec: how chunks are compressed.
        jobs: number of threads.
        finished: the scenes that an unfinished file holds.

    Raises:
        OutputError: where the file cannot be written (from any method).
    """

    def __init__(
        self,
        file: Path | PartialFile,
        settings: FileSettings,
        storage: Storage,
        codec: Codec,
        jobs: int = 1,
        finished: Iterable[FinishedScene] = (),
    ) -> None:
        self._settings, self._storage = settings, storage
        self._digest = ContentDigest(settings, from_dn=storage.from_dn)
        self._scenes: list[FinishedScene] = []
        self._count = 0
        self._places: FilePlaces | None = None
        self._part = PartialFile.create(file, Entry({})) if isinstance(file, Path) else file
        self._path = self._part.path
        writes = BlockChunksWriter if settings.layout == "blocks" else PatchChunksWriter
        self._pixels: PixelWriter = writes(self._path, settings, storage, codec, jobs, IN_FLIGHT_NBYTES)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._part)
            if not self._part.commits:
                with self._errors():
                    self._pixels.create(self._part.file)
                self._part.commit(Entry({}))
            for scene in finished:
                self._take_over(scene)
            self._open()
            stack.pop_all()

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pixels.close()
        self._part.close()

    @property
    def patch_count(self) -> int:
        """How many patches have been written; of those appended last some may be missing until :meth:`flush`."""
        return self._count

    @property
    def scenes(self) -> Sequence[FinishedScene]:
        """The scenes finished so far."""
        return self._scenes

    @property
    def places(self) -> FilePlaces | None:
        """The places that were recovered from shared pixels; None before :meth:`finish`, or where none were."""
        return self._places

    def start_scene(self, info: SceneInfo) -> None:
        """Begin a scene; every scene ends with :meth:`finish_scene` or :meth:`abandon_scene`."""
        scene = FinishedScene(info, self._count)
        self._scenes.append(scene)
        self._pixels.start_scene(scene)
        self._before_scene = self._digest.copy()
        self._digest.start_scene(info.name)

    def append(self, batch: BatchToMake) -> None:
        """Have patches of the scene begun last packed, and write what has been packed meanwhile."""
        self._write(self._pixels.append(batch))

    def flush(self) -> None:
        """Wait for all patches appended and write them."""
        self._write(self._pixels.flush())

    def _write(self, batches: Iterable[WrittenBatch]) -> None:
        for batch in batches:
            self._write_batch(batch)

    def _write_batch(self, batch: WrittenBatch) -> None:
        count = len(batch.contents)
        scene = self._scenes[-1]
        self._part.check()
        for row, col, content in zip(batch.rows.tolist(), batch.cols.tolist(), batch.contents, strict=True):
            self._digest.add(row, col, content)
            scene.contents += content
        rows: dict[str, npt.ArrayLike] = {
            "scene": np.full(count, len(self._scenes) - 1, dtype=np.int32),
            "row": batch.rows,
            "col": batch.cols,
            "valid_fraction": batch.valid_fraction,
            "checksum": batch.checksums,
        }
        for column in schema.INDEX_COLUMNS:
            scene.columns[column.name] += column.to_array(rows[column.name]).tobytes()
        scene.count += count
        self._count += count

    def finish_scene(self, source: SourceFile, dropped: int, blobs: Mapping[str, bytes] | None = None) -> None:
        """End a scene; it stays from now on, whatever happens.

        Args:
            source: identity of the file that it came from.
            dropped: how many of its patches the quality filter dropped.
            blobs: what else whoever goes on with the file must know.
        """
        self.flush()
        scene = self._scenes[-1]
        scene.source = source
        scene.dropped = dropped
        self._part.commit(scene.to_entry(blobs or {}))
        scene.contents.clear()
        scene.blocks.forget_chunks()
        self._open()

    def abandon_scene(self) -> None:
        """Take the scene begun last out again, with all its patches."""
        scene = self._scenes.pop()
        self._pixels.abandon_scene()
        self._digest = self._before_scene
        self._count = scene.start
        self._part.revert()
        self._open()

    def skip_scene(self, path: str, reason: str) -> None:
        """Note, for whoever goes on with the file, that a source was left out."""
        self._part.commit(Entry({"broken": [path, reason]}))
        self._open()

    def finish(self, provenance: Provenance, histogram: npt.NDArray[np.uint64] | None) -> str:
        """Write everything that is known only at the end.

        Args:
            provenance: how the file was made.
            histogram: uint64 (65536,), counts of valid digital numbers, or None where they are not known.

        Returns:
            The content digest.
        """
        digest = self._digest.hexdigest()
        self._places = self._pixels.recover_places(self._scenes)
        with self._errors():
            self._write_attributes(provenance, digest)
            if self._storage.lut is not None:
                write_column(self._file, schema.LUT_COLUMN, self._storage.lut)
            if histogram is not None:
                write_column(self._file, schema.HISTOGRAM_COLUMN, histogram)
            self._write_index()
            self._pixels.write_tables(self._file, self._scenes)
            self._write_scenes()
            seal_texts(self._file)
        self._part.commit(Entry({"content_digest": digest}))
        return digest

    def _take_over(self, scene: FinishedScene) -> None:
        self._digest.start_scene(scene.info.name)
        for row, col, content in scene.patches():
            self._digest.add(row, col, content)
        scene.contents.clear()
        self._pixels.take_over(scene)
        self._scenes.append(scene)
        self._count += scene.count

    def _open(self) -> None:
        with self._errors():
            self._file = self._part.file
            self._dataset = self._pixels.open(self._file)

    def _write_attributes(self, provenance: Provenance, digest: str) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        self._file.attrs.update(
            {
                "format": schema.FORMAT,
                "format_version": schema.FORMAT_VERSION,
                "Conventions": schema.CONVENTIONS,
                "title": provenance.title,
                "history": f"{now} {provenance.command} (sar_h5 {VERSION})",
                "quantity": provenance.quantity,
                "units": provenance.units,
                "uuid": str(uuid.uuid4()),
                "content_digest": digest,
                "software": f"sar_h5 {VERSION}, h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, "
                f"hdf5plugin {hdf5plugin.version}, NumPy {np.__version__}",
                "valid_measure": provenance.valid_measure,
                "bounds_origin": provenance.bounds_origin,
                "skipped_sources": np.array(provenance.skipped_sources, dtype=h5py.string_dtype("utf-8")),
            }
        )
        if provenance.bounds_scenes:
            self._file.attrs[schema.BOUNDS_SCENES] = schema.text_array(provenance.bounds_scenes)
        for holder in (self._file, self._dataset):
            holder.attrs.update(self._settings.to_attrs())

    def _write_index(self) -> None:
        group = self._file.create_group(schema.INDEX)
        for column in schema.INDEX_COLUMNS:
            rows = b"".join(scene.columns[column.name] for scene in self._scenes)
            recovered = {} if self._places is None else {"row": self._places.row, "col": self._places.col}
            write_column(group, column, recovered.get(column.name, np.frombuffer(rows, dtype=column.dtype)))
        if self._places is not None:
            write_column(group, schema.COMPONENT_COLUMN, self._places.component)

    def _write_scenes(self) -> None:
        group = self._file.create_group(schema.SCENES)
        gcps = [scene.info.georeference.gcps for scene in self._scenes]
        ends = np.cumsum([len(points) for points in gcps])
        rows = [
            _scene_row(scene, int(end) - len(points))
            for scene, points, end in zip(self._scenes, gcps, ends, strict=True)
        ]
        for column in schema.SCENE_COLUMNS:
            write_column(group, column, [row[column.name] for row in rows])
        points = np.array([point for scene in gcps for point in scene], dtype=np.float64).reshape(
            -1, schema.GCP_TABLE.width
        )
        write_column(group, schema.GCP_TABLE, points)

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return writing_errors(self._path)


def _scene_row(scene: FinishedScene, gcp_start: int) -> dict[str, object]:
    info, place = scene.info, scene.info.georeference
    return {
        "name": info.name,
        "source_path": info.path,
        "source_size": scene.source.nbytes,
        "source_checksum": scene.source.crc32,
        "height": info.height,
        "width": info.width,
        "start_time": info.start_time,
        "platform": info.platform,
        "mode": info.mode,
        "product_type": info.product_type,
        "orbit": info.orbit,
        "pass": info.orbit_pass,
        "patch_start": scene.start,
        "patch_count": scene.count,
        "dropped_count": scene.dropped,
        "crs": place.crs,
        "transform": place.transform,
        "gcp_start": gcp_start,
        "gcp_count": len(place.gcps),
        "gcp_crs": place.gcp_crs,
    }
