"""Patches copied from files into a new one, each checked on the way; compressed again only where that has a reason."""

from __future__ import annotations

import contextlib
import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compression import Codec, decompress
from sar_h5.cutting import BATCH_NBYTES
from sar_h5.derivation.common_codes import CommonCodes
from sar_h5.derivation.derived_file import DerivedFile, PatchFacts
from sar_h5.derivation.patch_order import PatchOrder
from sar_h5.derivation.pieces import Piece
from sar_h5.digest import ContentDigest, hash_patches, patch_content
from sar_h5.errors import CorruptPatchError
from sar_h5.intact_reads import IntactReads
from sar_h5.patch_kernels import measure_codes
from sar_h5.progress import Progress
from sar_h5.radiometry import is_inside
from sar_h5.schema import FileSettings
from sar_h5.workers import in_order

IN_FLIGHT_NBYTES = 20 << 20
"""How many bytes of decoded patches are worked on at once."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CopiedPatches:
    """What came of copying patches.

    Attributes:
        kept: bool (n,), which passed the quality filter; all of them, where values stay.
        facts: what the index says of those kept.
        digest: of the content of those kept.
        compressed: how many had to be compressed again.
    """

    kept: npt.NDArray[np.bool_]
    facts: PatchFacts
    digest: str
    compressed: int


@dataclass(frozen=True)
class _Copy:
    """One patch, ready to be written; its valid fraction where that had to be measured again."""

    frame: bytes
    plain: bool
    checksum: int
    content: bytes
    fraction: float | None


class PatchCopy:
    """Copies the patches of pieces, in order.

    Args:
        pieces: where they come from.
        order: which, and in which order.
        codes: what they are stored as.
        settings: of the new file; patches whose values change are filtered by its ``min_valid``.
        codec: what chunks of the new file are compressed with.
        jobs: number of threads.
        progress: told of all bytes that are read.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        order: PatchOrder,
        codes: CommonCodes,
        settings: FileSettings,
        codec: Codec,
        jobs: int,
        progress: Progress,
    ) -> None:
        self._pieces, self._order, self._codes, self._settings = pieces, order, codes, settings
        self._codec, self._jobs, self._progress = codec, jobs, progress
        self._foreign_codec = [piece.codec != codec for piece in pieces]
        by_range = pieces[0].found.attributes.get("valid_measure") == "range"
        self._remeasured = [by_range and changed for changed in codes.remeasured]
        self._counted = np.zeros(1 << 16, np.bool_)
        if codes.lut is not None:
            self._counted[: len(codes.lut)] = is_inside(codes.lut)
        self._reads: list[IntactReads] = []

    def run(self, file: DerivedFile) -> CopiedPatches:
        """Write all patches into a new file.

        Raises:
            CorruptPatchError: where one cannot be read, or holds what it cannot.
            OutputError: where the file cannot be written.
        """
        order, found = self._order, [piece.found for piece in self._pieces]
        kept = np.ones(len(order.number), np.bool_)
        checksum = order.gather([one.index["checksum"] for one in found])
        fraction = order.gather([one.index["valid_fraction"] for one in found])
        places = [one.told_places for one in found]
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
                self._progress.advance(int(found[piece].table.sizes[number]), 1)
                if not kept[place]:
                    continue
                with file.errors():
                    file.chunks.write(written, copy.frame, plain=copy.plain)
                while scene < order.scene[place]:
                    scene += 1
                    digest.start_scene(names[scene])
                rows, cols = places[piece]
                digest.add(int(rows[number]), int(cols[number]), copy.content)
                checksum[place] = copy.checksum
                compressed += self._compresses(piece)
                written += 1
        for name in names[scene + 1 :]:
            digest.start_scene(name)
        return CopiedPatches(kept, PatchFacts(checksum[kept], fraction[kept]), digest.hexdigest(), compressed)

    @property
    def nbytes(self) -> int:
        """How many bytes of chunks there are to read."""
        return sum(int(piece.found.table.sizes[piece.kept].sum()) for piece in self._pieces)

    def _scene_names(self) -> list[str]:
        return [str(self._pieces[piece].found.scenes["name"][scene]) for (piece, scene), *_ in self._order.parts]

    def _compresses(self, piece: int) -> bool:
        return self._foreign_codec[piece] or self._codes.maps[piece] is not None

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
            numbers = self._order.number[places][positions].tolist()
            copies |= zip(positions.tolist(), self._copy_from(piece, numbers), strict=True)
        return [copies[position] for position in range(len(copies))]

    def _copy_from(self, number_of_piece: int, numbers: list[int]) -> list[_Copy]:
        piece, reads = self._pieces[number_of_piece], self._reads[number_of_piece]
        found = piece.found
        stored, patches = [], np.empty((len(numbers), found.settings.patch_size**2), found.dtype)
        for position, number in enumerate(numbers):
            try:
                stored.append(reads.chunks.stored(number))
                is_plain = found.table.plain[number]
                raw = stored[-1] if is_plain else decompress(stored[-1], found.patch_nbytes)
                patches[position] = np.frombuffer(raw, found.dtype)
            except (OSError, ValueError) as error:
                raise _corrupt(piece, number, str(error)) from error
        counted = self._measure(piece, numbers, patches)
        maps, compresses = self._codes.maps[number_of_piece], self._compresses(number_of_piece)
        copies = []
        for position, number in enumerate(numbers):
            patch = patches[position].reshape(found.shape)
            content = hash_patches([patch_content(patch, found.lut, from_dn=found.from_dn)])[0]
            fraction = counted[position] / patch.size if self._remeasured[number_of_piece] else None
            frame, plain, checksum = stored[position], bool(found.table.plain[number]), found.index["checksum"][number]
            if compresses:
                frame, plain = self._codec.compress(np.ascontiguousarray(patch if maps is None else maps[patch])), False
                checksum = zlib.crc32(frame)
            copies.append(_Copy(frame, plain, int(checksum), content, fraction))
        return copies

    def _measure(self, piece: Piece, numbers: Sequence[int], patches: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
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
            raise _corrupt(piece, numbers[int(sound.argmin())], reason)
        return counted


def _corrupt(piece: Piece, number: int, reason: str) -> CorruptPatchError:
    name = piece.scene_names[int(piece.found.index["scene"][number])]
    advice = (
        f"`sar-h5 repair {piece.name} --out NEW` makes broken patches again, or leaves them out; nothing was written"
    )
    return CorruptPatchError.at(piece.name, number, reason, place=f"scene {name}", advice=advice)
