"""What an unfinished file says about its conversion: what was asked for, of which sources, and how it was planned."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compression import Codec
from sar_h5.encoding import Storage
from sar_h5.errors import BadSource, FormatError
from sar_h5.job import Plan, SavedJob
from sar_h5.journal import Entry
from sar_h5.radiometry import Bounds
from sar_h5.settings import ConvertSettings
from sar_h5.source_state import SourceState

WITHOUT_EFFECT = ("jobs", "cache_nbytes", "overwrite", "resume")
"""Settings that change how a file is made, and nothing in it."""

_MAY_CHANGE = (*WITHOUT_EFFECT, "on_bad_source", "polarizations")
"""Settings that may differ between the runs that make one file: those above, and those that choose between sources."""


@dataclass(frozen=True)
class Undertaking:
    """What one file is to be.

    Attributes:
        terms: everything that decides its content but the sources, in words.
        sources: what it is made from, in order.
    """

    terms: Mapping[str, str]
    sources: tuple[SourceState, ...]

    @classmethod
    def of(cls, settings: ConvertSettings, terms: Mapping[str, str], sources: Sequence[SourceState]) -> Undertaking:
        """Put together the user's settings, and what else was found to hold."""
        chosen = {
            field.name: str(getattr(settings, field.name))
            for field in dataclasses.fields(settings)
            if field.name not in _MAY_CHANGE
        }
        return cls({**chosen, **terms}, tuple(sources))

    def differences(self, before: Undertaking) -> list[str]:
        """Return, in words, what was decided otherwise before."""
        nothing = "not known"
        names = sorted({*before.terms, *self.terms})
        pairs = [(name, before.terms.get(name, nothing), self.terms.get(name, nothing)) for name in names]
        return [f"{name} was {old}, and is now {new}" for name, old, new in pairs if old != new]


@dataclass(frozen=True)
class ConversionRecord:
    """The first entry in the journal of an unfinished file.

    Attributes:
        undertaking: what the file is to be.
        job: what was found out for it.
        scenes: the scenes to write, in order, by path.
        broken: the sources set aside before.
    """

    undertaking: Undertaking
    job: SavedJob
    scenes: tuple[str, ...]
    broken: tuple[BadSource, ...]

    def to_entry(self) -> Entry:
        """Write it down; the inverse of :meth:`from_entry`."""
        plan, storage = self.job.plan, self.job.plan.storage
        fields = {
            "terms": dict(self.undertaking.terms),
            "sources": [list(dataclasses.astuple(source)) for source in self.undertaking.sources],
            "scenes": list(self.scenes),
            "broken": [[source.path, source.reason] for source in self.broken],
            "bounds": [plan.bounds.vmin, plan.bounds.vmax, plan.bounds.origin],
            "storage": [storage.encoding, storage.invalid_code, storage.dtype.str, storage.from_dn, storage.reason],
            "codec": [plan.codec.name, plan.codec.clevel, plan.codec.shuffle],
            "estimated_nbytes": plan.estimated_nbytes,
            "block_size": plan.block_size,
            "units": self.job.units,
            "from_pixels": self.job.from_pixels,
            "bounds_scenes": list(self.job.bounds_scenes),
        }
        blobs = {}
        if storage.lut is not None:
            blobs["lut"] = zlib.compress(storage.lut.astype("<f4").tobytes())
        if self.job.counts is not None:
            blobs["counts"] = zlib.compress(self.job.counts.astype("<u8").tobytes())
        return Entry(fields, blobs)

    @classmethod
    def from_entry(cls, entry: Entry) -> ConversionRecord:
        """Read it.

        Raises:
            FormatError: where the entry is none.
        """
        try:
            return cls._from_entry(entry.fields, entry.blobs)
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise FormatError(f"expected the record of a conversion, found something else: {error!r}") from error

    @classmethod
    def _from_entry(cls, fields: Mapping[str, Any], blobs: Mapping[str, bytes]) -> ConversionRecord:
        lut = _array(blobs["lut"], "<f4").astype(np.float32) if "lut" in blobs else None
        counts = _array(blobs["counts"], "<u8").astype(np.uint64) if "counts" in blobs else None
        encoding, invalid_code, dtype, from_dn, reason = fields["storage"]
        storage = Storage(encoding, lut, invalid_code, np.dtype(dtype), from_dn, reason)
        plan = Plan(
            Bounds(*fields["bounds"]),
            storage,
            Codec(*fields["codec"]),
            fields["estimated_nbytes"],
            fields["block_size"],
        )
        return cls(
            Undertaking(fields["terms"], tuple(SourceState(*source) for source in fields["sources"])),
            SavedJob(plan, fields["units"], fields["from_pixels"], tuple(fields["bounds_scenes"]), counts),
            tuple(fields["scenes"]),
            tuple(BadSource(*source) for source in fields["broken"]),
        )


def _array(content: bytes, dtype: str) -> npt.NDArray[np.generic]:
    return np.frombuffer(zlib.decompress(content), dtype=dtype)
