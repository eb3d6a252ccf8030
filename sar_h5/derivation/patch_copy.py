"""Patches copied from files into a new one, each checked on the way; compressed again only where that has a reason."""

from __future__ import annotations

import contextlib
import functools
import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compression import decompress
from sar_h5.cutting import BATCH_NBYTES
from sar_h5.derivation.block_matching import BlockMatching
from sar_h5.derivation.common_codes import CommonCodes
from sar_h5.derivation.derived_file import DerivedFile
from sar_h5.derivation.patch_order import PatchOrder
from sar_h5.derivation.pieces import Piece
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.derivation.taken_patch import PixelTarget, StoredChunk, TakenPatch, Write
from sar_h5.digest import ContentDigest, hash_patches, patch_content
from sar_h5.errors import CorruptPatchError, SourceError
from sar_h5.intact_reads import IntactReads
from sar_h5.patch_kernels import measure_codes
from sar_h5.progress import Progress
from sar_h5.radiometry import is_inside
from sar_h5.schema import UNKNOWN
from sar_h5.workers import in_order

IN_FLIGHT_NBYTES = 20 << 20
"""How many bytes of decoded patches are worked on at once."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CopiedPatches:
    """What came of copying patches.

    Attributes:
        kept: bool (n,), which passed the quality filter; all of them, where values stay.
        valid_fraction: float32, of those kept.
        digest: of the content of those kept.
        compressed: how many had to be compressed again.
    """

    kept: npt.NDArray[np.bool_]
    valid_fraction: npt.NDArray[np.float32]
    digest: str
    compressed: int


@dataclass(frozen=True)
class _Copy:
    """One patch, ready to be written; its valid fraction where that had to be measured again."""

    write: Write
    content: bytes
    fraction: float | None


class PatchCopy:
    """Copies the patches of pieces, in order.

    Args:
        pieces: where they come from.
        order: which, and in which order.
        codes: what they are stored as.
        form: how the new file stores pixels; patches whose values change are filtered by its ``min_valid``.
        matching: where equal blocks are looked for.
        jobs: number of threads.
        progress: told of all bytes that are read.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        order: PatchOrder,
        codes: CommonCodes,
        form: PixelForm,
        matching: BlockMatching,
        jobs: int,
        progress: Progress,
    ) -> None:
        self._pieces, self._order, self._codes, self._settings = pieces, order, codes, form.settings
        self._matching, self._jobs, self._progress = matching, jobs, progress
        self._as_stored = [
            form.takes_chunks_of(piece) and codes is None for piece, codes in zip(pieces, codes.maps, strict=True)
        ]
        self._cut_alike = [form.is_cut_like(piece) for piece in pieces]
        self._chunk_nbytes = [piece.chunk_nbytes for piece in pieces]
        self._row, self._col = (order.gather([piece.found.index[axis] for piece in pieces]) for axis in ("row", "col"))
        self._places_count = all(piece.component is None for piece in pieces)
        by_range = pieces[0].found.attributes.get("valid_measure") == "range"
        self._remeasured = [by_range and changed for changed in codes.remeasured]
        self._counted = np.zeros(1 << 16, np.bool_)
        if codes.lut is not None:
            self._counted[: len(codes.lut)] = is_inside(codes.lut)
        self._reads: list[IntactReads] = []
        self._target: PixelTarget

    def run(self, file: DerivedFile) -> CopiedPatches:
        """Write all patches into a new file.

        Raises:
            CorruptPatchError: where one cannot be read, or holds what it cannot.
            OutputError: where the file cannot be written.
        """
        order, found = self._order, [piece.found for piece in self._pieces]
        self._target = file.pixels
        kept = np.ones(len(order.number), np.bool_)
        fraction = order.gather([one.index["valid_fraction"] for one in found])
        digest = ContentDigest(self._settings, from_dn=found[0].from_dn)
        written, compressed, scene = 0, 0, -1
        names = self._scene_names()
        with contextlib.ExitStack() as stack:
            self._reads = [stack.enter_context(IntactReads(piece.name, piece.found)) for piece in self._pieces]
            self._progress.start("copy", self.nbytes)
            copied = in_order(self._copy, self._batches(), self._decoded_nbytes, self._jobs, IN_FLIGHT_NBYTES)
            for place, copy in enumerate(itertools.chain.from_iterable(copied)):
                piece, number = int(order.piece[place]), int(order.number[place])
                if copy.fraction is not None:
                    fraction[place] = copy.fraction
                    kept[place] = copy.fraction >= self._settings.min_valid
                self._progress.advance(int(self._chunk_nbytes[piece][number]), 1)
                if not kept[place]:
                    continue
                copy.write(written)
                while scene < order.scene[place]:
                    scene += 1
                    digest.start_scene(names[scene])
                digest.add(*self._digested_place(place), copy.content)
                compressed += not self._as_stored[piece]
                written += 1
            self._target.flush()
        for name in names[scene + 1 :]:
            digest.start_scene(name)
        return CopiedPatches(kept, fraction[kept], digest.hexdigest(), compressed)

    @property
    def nbytes(self) -> int:
        """How many bytes of chunks there are to read."""
        return sum(
            int(nbytes[piece.kept].sum()) for nbytes, piece in zip(self._chunk_nbytes, self._pieces, strict=True)
        )

    def _scene_names(self) -> list[str]:
        return [str(self._pieces[piece].found.scenes["name"][scene]) for (piece, scene), *_ in self._order.parts]

    def _digested_place(self, place: int) -> tuple[int, int]:
        """Return the place that counts for the digest: not one that was recovered, since that follows from content."""
        return (int(self._row[place]), int(self._col[place])) if self._places_count else (UNKNOWN, UNKNOWN)

    def _decoded_nbytes(self, places: slice) -> int:
        nbytes: int = (places.stop - places.start) * self._patch_nbytes
        return nbytes

    @property
    def _patch_nbytes(self) -> int:
        return max(piece.found.patch_nbytes for piece in self._pieces)

    def _batches(self) -> Iterator[slice]:
        """Yield runs of places in the new file, whose patches are about to be read."""
        count, step = len(self._order.piece), max(1, BATCH_NBYTES // self._patch_nbytes)
        for start in range(0, count, step):
            places = slice(start, min(start + step, count))
            for piece, numbers in self._by_piece(places):
                self._reads[piece].announce(self._order.number[places][numbers])
            yield places

    def _by_piece(self, places: slice) -> Iterator[tuple[int, Numbers]]:
        """Yield each piece that patches of a run come from, with their positions in the run."""
        pieces = self._order.piece[places]
        for piece in np.unique(pieces).tolist():
            yield piece, np.flatnonzero(pieces == piece)

    def _copy(self, places: slice) -> list[_Copy]:
        """Return the patches of a run, in order."""
        copies: dict[int, _Copy] = {}
        for piece, positions in self._by_piece(places):
            copies |= zip(positions.tolist(), self._copy_from(piece, places.start + positions), strict=True)
        return [copies[position] for position in range(len(copies))]

    def _copy_from(self, which: int, places: Numbers) -> list[_Copy]:
        """Return the patches of one piece that come to some places."""
        piece, numbers = self._pieces[which], self._order.number[places]
        found, maps = piece.found, self._codes.maps[which]
        patches, chunks = self._read(which, numbers)
        counted = self._measure(piece, numbers, patches.reshape(len(patches), -1))
        copies = []
        for position, (place, number) in enumerate(zip(places.tolist(), numbers.tolist(), strict=True)):
            patch = patches[position]
            content = hash_patches([patch_content(patch, found.lut, from_dn=found.from_dn)])[0]
            fraction = counted[position] / patch.size if self._remeasured[which] else None
            scene = int(self._order.scene[place])
            taken = TakenPatch(
                patch if maps is None else maps[patch],
                which,
                self._blocks(which, number),
                chunks[position],
                functools.partial(self._fetch, which) if self._as_stored[which] else None,
                bool(self._matching.scenes[scene]),
                scene,
                int(self._row[place]),
                int(self._col[place]),
            )
            copies.append(_Copy(self._target.prepare(taken), content, fraction))
        return copies

    def _read(self, which: int, numbers: Numbers) -> tuple[npt.NDArray[Any], list[StoredChunk | None]]:
        """Return patches (n, P, P) of a piece, and their chunks where these can be written as they are."""
        piece, reads = self._pieces[which], self._reads[which]
        found = piece.found
        if found.grid is not None:
            patches, broken = reads.read(numbers)
            for position, reason in sorted(broken.items()):
                raise _corrupt(piece, int(numbers[position]), reason)
            return patches, [None] * len(numbers)
        chunks: list[StoredChunk | None] = []
        patches = np.empty((len(numbers), *found.shape), found.dtype)
        for position, number in enumerate(numbers.tolist()):
            try:
                chunk = read_chunk(reads, number)
                raw = chunk.data if chunk.plain else decompress(chunk.data, found.patch_nbytes)
                patches[position] = np.frombuffer(raw, found.dtype).reshape(found.shape)
            except (OSError, ValueError) as error:
                raise _corrupt(piece, number, str(error)) from error
            chunks.append(chunk if self._as_stored[which] else None)
        return patches, chunks

    def _blocks(self, which: int, number: int) -> Numbers | None:
        grid = self._pieces[which].found.grid
        return None if grid is None or not self._cut_alike[which] else grid[number].reshape(-1).astype(np.int64)

    def _fetch(self, which: int, block: int) -> StoredChunk:
        try:
            return read_chunk(self._reads[which], block)
        except (OSError, ValueError) as error:
            raise lost_chunk(self._pieces[which].name, f"block {block}", error) from error

    def _measure(self, piece: Piece, numbers: Numbers, patches: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return how many pixels of each patch lie inside the range, after a look at whether all can be looked up."""
        highest, counted = np.zeros(len(patches)), np.zeros(len(patches), np.int64)
        lut = piece.found.lut
        if lut is None:
            sound = (patches.min(axis=1) >= 0) & (patches.max(axis=1) <= 1)  # comparing NaN is false
            reason = "expected values in [0, 1]"
        else:
            measure_codes(patches, self._counted, highest, counted)
            sound, reason = highest < len(lut), f"expected codes below {len(lut)}, found {highest.max():.0f}"
        if not sound.all():
            raise _corrupt(piece, int(numbers[sound.argmin()]), reason)
        return counted


def read_chunk(reads: IntactReads, number: int) -> StoredChunk:
    """Return a chunk of a file whose checksum holds.

    Raises:
        OSError: where the file ends early.
        ValueError: where it is not as it should be.
    """
    table, data = reads.chunks.table, reads.chunks.stored(number)
    checksum = zlib.crc32(data) if table.checksums is None else int(table.checksums[number])
    return StoredChunk(data, bool(table.plain[number]), checksum)


def lost_chunk(path: str, what: str, error: Exception) -> SourceError:
    """Return what to raise where a patch or block cannot be read that could be."""
    return SourceError(
        f"{path}: {what} was sound a moment ago and cannot be read now: {error}; is the disk failing? Nothing was "
        "written"
    )


def _corrupt(piece: Piece, number: int, reason: str) -> CorruptPatchError:
    name = piece.scene_names[int(piece.found.index["scene"][number])]
    advice = (
        f"`sar-h5 repair {piece.name} --out NEW --source SOURCE` makes broken patches again, with --drop instead of "
        "--source it leaves them out; nothing was written"
    )
    return CorruptPatchError.at(piece.name, number, reason, place=f"scene {name}", advice=advice)
