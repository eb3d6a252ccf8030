"""``repack``: a file in the other layout, or with another codec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from sar_h5.compression import COMPRESSORS, PRESETS, SHUFFLES, Codec, choose_codec
from sar_h5.cores import usable_cores
from sar_h5.derivation.derivation_summary import DerivationSummary
from sar_h5.derivation.making import Making
from sar_h5.derivation.pieces import Piece, open_piece
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.derivation.requests import check_jobs, check_output
from sar_h5.errors import CorruptPatchError, FormatError, SettingError
from sar_h5.intact_reads import IntactReads
from sar_h5.job import spread
from sar_h5.pending import PendingFile
from sar_h5.progress import Progress
from sar_h5.schema import LAYOUTS, FileSettings, Layout
from sar_h5.shared_blocks.expectation import checked_block_size, find_block_size
from sar_h5.shared_blocks.grid import cut_sample

SAMPLE_PATCHES = 32
"""Patches that a codec is chosen by."""

RUN_SCENES = 4
RUN_NBYTES = 16 << 20
"""Consecutive patches of a scene that are looked at for overlap where nothing tells the stride."""

Patches = npt.NDArray[Any]


def repack(
    path: str | Path,
    out: str | Path,
    *,
    layout: str | None = None,
    codec: str | None = None,
    clevel: int | None = None,
    shuffle: str | None = None,
    overwrite: bool = False,
    jobs: int | None = None,
    progress: bool | None = False,
) -> DerivationSummary:
    """Write a file anew with the same patches stored in another way.

    All else comes along: splits, columns, histogram, history, what is on record of patches left out. The content digest
    is the same, which is checked before the new file is there.

    Blocks are the largest squares that patches share, by their stride; where it is unknown, some patches are looked at.
    Where places are known, they tell which blocks are equal, else what they hold; blocks are compared in either case.

    Args:
        path: a file of this package.
        out: the new file; its directory must exist.
        layout: "patches", or "blocks", which overlapping patches share; None for that of the file.
        codec: "fast", "small", or a Blosc compressor; None for that of the file.
        clevel: compression level 0 to 9; None for the codec's.
        shuffle: "byte", "bit" or "none"; None to choose by size where ``codec`` is given.
        overwrite: whether ``out`` may replace a file; never ``path`` itself.
        jobs: number of threads; None for as many as this process may use cores.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Raises:
        SettingError: where nothing is asked for, or something unknown; where patch size and stride leave only blocks
            that are far too small; where ``out`` is the file itself.
        SourceError: where there is no such file.
        FormatError: where it is none of this package, or damaged (:class:`CorruptPatchError` names a broken patch).
        OutputError: where the result exists and may not be replaced, or cannot be written.
    """
    old, new = Path(path), Path(out)
    asked = _Request(layout, codec, clevel, shuffle)
    check_jobs(jobs)
    check_output(new, [old])
    with PendingFile(new, overwrite=overwrite) as pending, Progress(progress) as bar:
        with open_piece(old) as piece:
            form = asked.form_for(piece)
            cut = "" if form.settings.block_size is None else f" of {form.settings.block_size} px"
            operation = f"repack {old} to {new} in layout {form.settings.layout}{cut} with {form.codec}"
            summary = Making([piece], operation, None, usable_cores() if jobs is None else jobs, form).run(pending, bar)
            stated = piece.found.attributes.get("content_digest", "")
            if summary.content_digest != stated:
                raise FormatError(
                    f"{old}: its patches fit their checksums, but not the file's content_digest: expected "
                    f"{stated}, found {summary.content_digest}; convert again. Nothing was written"
                )
            if summary.blocks is not None:
                advice = summary.blocks.notes(form.settings.patch_size, form.settings.stride)
                summary = replace(summary, notes=(*summary.notes, *advice))
        pending.commit()
    return summary


class _Request:
    """How a file is to be stored, as asked for.

    Raises:
        SettingError: where that is nothing, or something unknown.
    """

    def __init__(self, layout: str | None, codec: str | None, clevel: int | None, shuffle: str | None) -> None:
        self._codec, self._clevel, self._shuffle = codec, clevel, shuffle
        if layout is None and not self._names_codec:
            raise SettingError("nothing says how to store the patches; give --layout, --codec, --clevel or --shuffle")
        for what, value, known in (
            ("layout", layout, LAYOUTS),
            ("codec", codec, (*PRESETS, *COMPRESSORS)),
            ("shuffle", shuffle, tuple(SHUFFLES)),
        ):
            if value is not None and value not in known:
                raise SettingError(f"expected {what} {', '.join(known)}; found {value!r}")
        if clevel is not None and not 0 <= clevel <= 9:
            raise SettingError(f"expected a compression level from 0 to 9; found {clevel}")
        self._layout: Layout | None = next((known for known in get_args(Layout) if known == layout), None)

    @property
    def _names_codec(self) -> bool:
        return any(value is not None for value in (self._codec, self._clevel, self._shuffle))

    def form_for(self, piece: Piece) -> PixelForm:
        """Return how the patches of a file are to be stored."""
        with IntactReads(piece.name, piece.found) as reads:
            settings = self._settings_for(piece, reads)
            codec = self._codec_for(piece, reads, settings.block_size) if self._names_codec else piece.codec
        return PixelForm(settings, codec, piece.found.dtype)

    def _settings_for(self, piece: Piece, reads: IntactReads) -> FileSettings:
        settings = piece.found.settings
        if self._layout in (None, settings.layout):
            return settings
        if self._layout == "patches":
            return replace(settings, layout="patches", block_size=None)
        size, stride = settings.patch_size, settings.stride
        block_size = checked_block_size(size, stride) if stride > 0 else find_block_size(_runs(piece, reads), size)
        return replace(settings, layout="blocks", block_size=block_size)

    def _codec_for(self, piece: Piece, reads: IntactReads, block_size: int | None) -> Codec:
        """Choose by patches from all over the file; what is not asked for stays."""
        numbers = np.array(spread(range(piece.found.count), SAMPLE_PATCHES), np.int64)
        sample: Sequence[Patches] = list(_read(piece, reads, numbers))
        if block_size is not None:
            sample = cut_sample(sample, block_size)
        if self._codec is not None:
            return choose_codec(self._codec, sample, self._clevel, self._shuffle)
        clevel = piece.codec.clevel if self._clevel is None else self._clevel
        return replace(piece.codec, clevel=clevel, shuffle=self._shuffle or piece.codec.shuffle)


def _runs(piece: Piece, reads: IntactReads) -> Iterator[Patches]:
    """Yield the first patches of a few scenes."""
    scenes = np.flatnonzero(piece.found.scenes["patch_count"]).tolist()
    for scene in spread(scenes, RUN_SCENES):
        rows = piece.found.rows_of(scene)
        most = max(2, RUN_NBYTES // piece.found.patch_nbytes)
        yield _read(piece, reads, np.arange(rows.start, min(rows.stop, rows.start + most), dtype=np.int64))


def _read(piece: Piece, reads: IntactReads, numbers: npt.NDArray[np.int64]) -> Patches:
    patches, broken = reads.read(numbers)
    for position, reason in sorted(broken.items()):
        advice = (
            f"`sar-h5 repair {piece.name} --out NEW --source SOURCE` makes broken patches again, with --drop instead "
            "of --source it leaves them out; nothing was written"
        )
        raise CorruptPatchError.at(piece.name, int(numbers[position]), reason, advice=advice)
    return patches
