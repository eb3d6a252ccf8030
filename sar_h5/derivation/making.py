"""The way from pieces to a new file that extracting, merging and appending share."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import h5py
import numpy as np

from sar_h5.derivation.agreement import check_agreement, check_layouts, check_rebasable
from sar_h5.derivation.block_matching import plan_matching
from sar_h5.derivation.common_codes import CommonCodes, find_common_codes
from sar_h5.derivation.counted_scenes import give_bounds, join_counted_scenes, read_counted_scenes
from sar_h5.derivation.derivation_summary import DerivationSummary
from sar_h5.derivation.derived_file import DerivedFile, FileFacts
from sar_h5.derivation.joined_splits import check_joined_splits
from sar_h5.derivation.patch_copy import CopiedPatches, PatchCopy
from sar_h5.derivation.patch_order import PatchOrder, order_patches
from sar_h5.derivation.pieces import Piece
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.errors import SettingError
from sar_h5.job import check_disk
from sar_h5.pending import PendingFile
from sar_h5.progress import Progress
from sar_h5.radiometry import Bounds
from sar_h5.schema import FileSettings
from sar_h5.splits.bounds_scenes import read_names
from sar_h5.splits.leakage import LeakageWarning

_ROW_NBYTES = 120
"""About how much disk a patch takes beside its chunk."""


@dataclass(frozen=True)
class Making:
    """One new file to be made from pieces.

    Attributes:
        pieces: what is taken of which file, in order.
        operation: what is done, for the history.
        bounds: the dB range that files of digital numbers are given; None to leave it.
        jobs: number of threads.
        form: how pixels are stored, whatever the pieces' layout; None for that of the first piece, and all alike.
    """

    pieces: Sequence[Piece]
    operation: str
    bounds: Bounds | None
    jobs: int
    form: PixelForm | None = None

    def run(self, pending: PendingFile, progress: Progress) -> DerivationSummary:
        """Make the file under its temporary name; it is left to the caller to commit it.

        Raises:
            FormatError: where the pieces do not make up one file.
            BoundsError: where bounds differ, or cannot be changed.
            CorruptPatchError: where a patch is broken.
            OutputError: where the file cannot be written.
        """
        started = time.perf_counter()
        pieces = self.pieces
        if self.bounds is not None:
            check_rebasable(pieces)
        if self.form is None:
            check_layouts(pieces)
        check_agreement(pieces, rebased=self.bounds is not None)
        codes, order = find_common_codes(pieces, self.bounds), order_patches(pieces)
        form = self._final_form(codes)
        settings, matching = form.settings, plan_matching(pieces, order, form)
        copy = PatchCopy(pieces, order, codes, form, matching, self.jobs, progress)
        check_disk(pending.path.parent, self._needed_nbytes(copy, form) + len(order.number) * _ROW_NBYTES)
        with DerivedFile(
            pending.partial, pieces, form, len(order.number), self.jobs, by_place=matching.by_place
        ) as file:  # fmt: skip
            copied = copy.run(file)
            order = self._filter(order, copied)
            facts = self._facts(order, copied, codes, settings)
            if order.origin is not None and order.origin.digest == copied.digest:  # all that was left out has come back
                order = replace(order, origin=None)
            left_behind = file.finish(order, copied.valid_fraction, facts)
            blocks = file.pixels.measure_sharing()
            leaks = check_joined_splits(pieces, file.file, pending.path) if len(pieces) > 1 else []
        for leak in leaks:  # before the file is in its place, for those who make errors of warnings
            warnings.warn(leak, LeakageWarning, stacklevel=3)
        fallen = int((~copied.kept).sum())
        return DerivationSummary(
            path=str(pending.path),
            sources=tuple(piece.name for piece in pieces),
            scenes=len(order.parts),
            patches=len(order.number),
            left_out=sum(piece.found.count - len(piece.kept) for piece in pieces),
            filtered=fallen,
            compressed=copied.compressed,
            vmin=settings.vmin,
            vmax=settings.vmax,
            encoding=settings.encoding,
            levels=0 if codes.lut is None else len(codes.lut),
            codec=str(form.codec),
            layout=settings.layout,
            blocks=blocks,
            nbytes=pending.partial.stat().st_size,
            seconds=time.perf_counter() - started,
            content_digest=copied.digest,
            notes=(*codes.notes, *self._rebase_notes(order), *_name_left_behind(left_behind)),
            warnings=tuple(leaks),
        )

    def _final_form(self, codes: CommonCodes) -> PixelForm:
        form = replace(self.form or PixelForm.of(self.pieces[0]), dtype=codes.dtype)
        if self.bounds is None:
            return form
        return replace(form, settings=replace(form.settings, vmin=self.bounds.vmin, vmax=self.bounds.vmax))

    def _needed_nbytes(self, copy: PatchCopy, form: PixelForm) -> int:
        """Return about how many bytes chunks take; at least, where patches are about to share blocks."""
        if form.settings.layout == "patches":
            return sum(piece.patches_nbytes for piece in self.pieces)
        return copy.nbytes // (1 if all(map(form.is_cut_like, self.pieces)) else form.settings.blocks_per_side**2)

    @property
    def _filters(self) -> bool:
        """Whether the quality filter may drop other patches under the new bounds."""
        first = self.pieces[0].found
        measure = first.attributes.get("valid_measure")
        return self.bounds is not None and measure == "range" and first.settings.min_valid > 0

    def _filter(self, order: PatchOrder, copied: CopiedPatches) -> PatchOrder:
        if copied.kept.all() and not self._filters:
            return order
        if not copied.kept.any():
            raise SettingError(
                f"no patch is left: all {len(copied.kept):,} have less than "
                f"{self.pieces[0].found.settings.min_valid:.0%} of pixels strictly inside "
                "(0.01, 0.99) with these bounds; choose others"
            )
        before = order.gather_scenes([piece.found.scenes["dropped_count"] for piece in self.pieces])
        return order.filter(copied.kept, before)

    def _facts(self, order: PatchOrder, copied: CopiedPatches, codes: CommonCodes, settings: FileSettings) -> FileFacts:
        pieces = self.pieces
        counted = [read_counted_scenes(piece) for piece in pieces]
        if self.bounds is not None:
            counted = [give_bounds(scenes, self.bounds.origin) for scenes in counted]
        joined = join_counted_scenes(counted)
        names = [str(pieces[piece].found.scenes["name"][scene]) for (piece, scene), *_ in order.parts]
        skipped = dict.fromkeys(line for piece in pieces for line in read_names(piece.file, "skipped_sources"))
        attributes = {
            **joined.to_attrs(names),
            "skipped_sources": np.array(list(skipped), dtype=h5py.string_dtype("utf-8")),
        }
        return FileFacts(settings, codes.lut, joined.histogram, copied.digest, self.operation, attributes)

    def _rebase_notes(self, order: PatchOrder) -> list[str]:
        """Say what other bounds cannot give back."""
        if not self._filters:
            return []
        lost = int(order.gather_scenes([piece.found.scenes["dropped_count"] for piece in self.pieces]).sum())
        if not lost:
            return []
        return [
            f"{lost:,} patches that the quality filter had dropped with the old bounds might pass with these, but are "
            "not in the file and cannot come back; convert the products again to have them"
        ]


def _name_left_behind(names: Sequence[str]) -> list[str]:
    return [f"{name} is not in all files in one form, and was left out" for name in names]
