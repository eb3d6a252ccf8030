"""What a user may choose about a conversion, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sar_h5.compression import COMPRESSORS, PRESETS, Codec
from sar_h5.cores import usable_cores
from sar_h5.errors import SettingError
from sar_h5.radiometry import Bounds, check_percentiles
from sar_h5.schema import ENCODINGS, LAYOUTS
from sar_h5.sources.naming import POLARIZATIONS
from sar_h5.tiling import PatchGrid
from sar_h5.units import Units

DEFAULT_MIN_VALID = 0.9
DEFAULT_CACHE_NBYTES = 96_000_000
AUTO = "auto"

ValidMeasure = Literal["range", "pixels"]
VALID_MEASURES: tuple[ValidMeasure, ...] = ("range", "pixels")
BadSourcePolicy = Literal["fail", "skip"]
BAD_SOURCE_POLICIES: tuple[BadSourcePolicy, ...] = ("fail", "skip")
CODECS = (*PRESETS, *COMPRESSORS)


@dataclass(frozen=True)
class ConvertSettings:
    """The settings of one conversion.

    Attributes:
        patch_size: side of a patch in pixels; None takes 256 for rasters and the size of the shards.
        stride: distance of neighbouring patches in pixels; None takes 128 for rasters and what the metadata of
            shards tell.
        min_valid: least valid fraction of a patch to keep, in [0, 1]; None takes 0.9 for rasters and keeps every
            patch of shards.
        valid_measure: what the fraction counts: "range" pixels strictly inside (0.01, 0.99) after scaling, "pixels"
            those that
            hold data.
        percentiles: lower and upper percentile of valid pixels, which give the bounds where none are given.
        vmin, vmax: bounds in dB, both or neither.
        bounds_file: file with the bounds, or None.
        bounds_from: what lists the scenes whose pixels give the bounds; empty for all scenes.
        polarizations: convert only these; empty for all.
        units: of float rasters: "linear", "db", or "auto" to guess where there is no doubt.
        encoding: "auto", "palette", "dn" or "float32".
        codec: "fast", "small", or a Blosc compressor.
        clevel: compression level 0 to 9, or None for the codec's default.
        shuffle: "none", "byte", "bit", or None to choose by size.
        layout: "patches" for a chunk for each patch, or "blocks", which overlapping patches share.
        overwrite: whether existing results may be replaced.
        resume: whether to go on with what an earlier run has left unfinished.
        on_bad_source: "fail" before anything is written, or "skip" broken sources.
        jobs: number of threads that compress and hash, at least 1; None for as many as this process may use cores.
        cache_nbytes: how many bytes of pixels of rasters stay in memory between two passes over them.

    Raises:
        SettingError: where a value is not one of these.
        BoundsError: where bounds or percentiles do not leave a range.
    """

    patch_size: int | None = None
    stride: int | None = None
    min_valid: float | None = None
    valid_measure: ValidMeasure = "range"
    percentiles: tuple[float, float] = (1, 99)
    vmin: float | None = None
    vmax: float | None = None
    bounds_file: Path | None = None
    bounds_from: tuple[str, ...] = ()
    polarizations: tuple[str, ...] = ()
    units: str = AUTO
    encoding: str = AUTO
    codec: str = "fast"
    clevel: int | None = None
    shuffle: str | None = None
    layout: str = "patches"
    overwrite: bool = False
    resume: bool = False
    on_bad_source: BadSourcePolicy = "fail"
    jobs: int | None = None
    cache_nbytes: int = DEFAULT_CACHE_NBYTES

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()

    def _check_choices(self) -> None:
        choices = (
            ("valid measure", self.valid_measure, VALID_MEASURES),
            ("units", self.units, (AUTO, *Units)),
            ("encoding", self.encoding, (AUTO, *ENCODINGS)),
            ("codec", self.codec, CODECS),
            ("layout", self.layout, LAYOUTS),
            ("policy for bad sources", self.on_bad_source, BAD_SOURCE_POLICIES),
            *(("polarization", name, POLARIZATIONS) for name in self.polarizations),
        )
        for what, value, known in choices:
            if value not in known:
                raise SettingError(f"expected {what} {', '.join(known)}; found {value!r}")
        Codec("lz4", 5 if self.clevel is None else self.clevel, "byte" if self.shuffle is None else self.shuffle)

    def _check_numbers(self) -> None:
        PatchGrid(1 if self.patch_size is None else self.patch_size, 1 if self.stride is None else self.stride)
        if self.min_valid is not None and not 0 <= self.min_valid <= 1:
            raise SettingError(f"the least valid fraction must lie in [0, 1]; found {self.min_valid}")
        if self.jobs is not None and self.jobs < 1:
            raise SettingError(f"the number of jobs must be at least 1; found {self.jobs}")
        if self.cache_nbytes < 0:
            raise SettingError(f"the memory for pixels cannot be negative; found {self.cache_nbytes} bytes")
        if self.overwrite and self.resume:
            raise SettingError("--resume keeps what an earlier run has made, --overwrite replaces it; give one of them")
        check_percentiles(self.percentiles)
        if (self.vmin is None) != (self.vmax is None):
            raise SettingError("vmin and vmax belong together; only one of them was given")
        if self.vmin is not None and self.bounds_file is not None:
            raise SettingError("give vmin and vmax, or a bounds file, not both")
        if self.bounds_from and (self.vmin is not None or self.bounds_file is not None):
            raise SettingError(
                "--bounds-from says which scenes give the bounds, but vmin and vmax, or a bounds file, give them "
                "already; leave one of them out"
            )
        if self.given_bounds is None and self.bounds_file is not None and not self.bounds_file.is_file():
            raise SettingError(f"{self.bounds_file}: the bounds file is not there")

    @property
    def given_bounds(self) -> Bounds | None:
        """The bounds given as numbers, or None."""
        if self.vmin is None or self.vmax is None:
            return None
        return Bounds(self.vmin, self.vmax, "given as vmin and vmax")

    @property
    def grid(self) -> PatchGrid:
        """The patch grid for rasters."""
        default = PatchGrid()
        return PatchGrid(
            default.patch_size if self.patch_size is None else self.patch_size,
            default.stride if self.stride is None else self.stride,
        )

    @property
    def threads(self) -> int:
        """How many threads compress and hash."""
        return usable_cores() if self.jobs is None else self.jobs

    @property
    def raster_min_valid(self) -> float:
        """The least valid fraction for patches of rasters."""
        return DEFAULT_MIN_VALID if self.min_valid is None else self.min_valid

    @property
    def shard_min_valid(self) -> float:
        """The least valid fraction for patches of shards, which have passed a filter before."""
        return 0.0 if self.min_valid is None else self.min_valid
