"""What ``scan`` found: what is there, what is broken, and what converting it will take."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sar_h5.errors import BadSource
from sar_h5.forecasts.forecast import Forecast
from sar_h5.forecasts.rounding import bytes_in_words, seconds_in_words


@dataclass(frozen=True)
class PolarizationPlan:
    """What the conversion of one polarization will take.

    Attributes:
        polarization: "vv", "vh", "hh" or "hv".
        kind: "raster" or "shard".
        scenes: how many can be used, as far as was looked.
        source_nbytes: size of their pixels, uncompressed.
        patches: how many there are at most, before the filter.
        most_scene_patches: how many at most are of one scene.
        patch_size, stride: in pixels; stride -1 where unknown.
        memory_nbytes: peak memory, by a measured model.
        forecast: what else is to be expected, by samples; None where nothing could be sampled.
        problems: what stops the conversion.
    """

    polarization: str
    kind: str
    scenes: int
    source_nbytes: int
    patches: int
    most_scene_patches: int
    patch_size: int
    stride: int
    memory_nbytes: int
    forecast: Forecast | None
    problems: tuple[str, ...] = ()

    @property
    def most_scene_nbytes(self) -> int:
        """About how much the largest scene takes in the file."""
        if self.forecast is None or not self.patches:
            return 0
        return self.forecast.nbytes * self.most_scene_patches // self.patches

    def to_text(self) -> str:
        """Return the lines for this polarization."""
        if not self.scenes:
            return f"{self.polarization}\n  sources   none that can be used"
        stride = "unknown" if self.stride < 0 else f"{self.stride} px"
        lines = [
            self.polarization,
            f"  sources   {self.scenes:,} {self.kind}{'s' if self.scenes != 1 else ''}, "
            f"{bytes_in_words(self.source_nbytes)} of pixels",
            f"  patches   at most {self.patches:,} of {self.patch_size} x {self.patch_size} px, stride {stride}"
            f"{self._after_filter()}",
        ]
        lines += self._expected() if self.forecast else []
        lines.append(f"  memory    about {bytes_in_words(self.memory_nbytes)} at its peak")
        return "\n".join([*lines, *(f"  problem   {problem}" for problem in self.problems)])

    def _after_filter(self) -> str:
        if self.forecast is None or self.forecast.kept_share == 1:
            return ""
        return f"; about {self.forecast.kept_share:.0%} of a sample pass the filter"

    def _expected(self) -> list[str]:
        if (forecast := self.forecast) is None:
            return []
        bounds = "" if forecast.bounds is None else f"{forecast.bounds.vmin:.4f} to {forecast.bounds.vmax:.4f} dB "
        levels = f", {forecast.levels:,} codes" if forecast.levels else ""
        note = f" ({forecast.encoding_note})" if forecast.encoding_note else ""
        size = forecast.block_size
        blocks = "" if size is None else f", in blocks of {size} x {size} px that patches share"
        lines = [
            f"  bounds    {bounds}({forecast.bounds_note})",
            f"  encoding  {forecast.encoding}{levels}{note}; {forecast.codec}",
            f"  disk      about {bytes_in_words(forecast.nbytes)}{self._largest_scene()}{blocks}, by "
            f"{self._size_origin(forecast)}",
        ]
        if forecast.seconds is not None:
            duration = seconds_in_words(forecast.seconds)
            lines.append(f"  time      {duration}, estimated by the speed of reading and packing that sample")
        return lines

    def _largest_scene(self) -> str:
        return f" ({bytes_in_words(self.most_scene_nbytes)} for the largest scene)" if self.scenes > 1 else ""

    @staticmethod
    def _size_origin(forecast: Forecast) -> str:
        if not forecast.sampled:
            return "ratios of simulated scenes, since nothing could be sampled"
        return f"{forecast.sampled:,} sample patch{'es' if forecast.sampled != 1 else ''}"


@dataclass(frozen=True)
class ScanReport:
    """What was found.

    Attributes:
        sources: what was looked at.
        deep: whether every value was read, or only headers, sizes and a few places of each file.
        plans: what each polarization takes, co-polarized first.
        broken: what cannot be used, and why.
        notes: what else a user may want to know.
        out: the directory whose disk was looked at.
        out_problem: why nothing can be written there; empty where nothing speaks against it.
        free_nbytes: how much is free there.
        memory_limit_nbytes: how much memory this process may have, or None where nothing tells.
        threads: how many are to compress and hash.
        seconds: how long the scan took.
    """

    sources: tuple[str, ...]
    deep: bool
    plans: tuple[PolarizationPlan, ...]
    broken: tuple[BadSource, ...]
    notes: tuple[str, ...]
    out: str
    free_nbytes: int
    memory_limit_nbytes: int | None
    threads: int
    seconds: float
    out_problem: str = ""

    @property
    def needed_nbytes(self) -> int:
        """Free disk that the conversion asks for: that of the results, which grow under temporary names."""
        return sum(plan.forecast.nbytes for plan in self.plans if plan.forecast)

    @property
    def memory_nbytes(self) -> int:
        """Peak memory; files are made one after the other."""
        return max((plan.memory_nbytes for plan in self.plans if plan.scenes), default=0)

    @property
    def conversion_seconds(self) -> float:
        """About how long the conversion takes, as far as it could be measured."""
        return sum(plan.forecast.seconds or 0.0 for plan in self.plans if plan.forecast)

    @property
    def problems(self) -> tuple[str, ...]:
        """What stops the conversion, beside broken sources."""
        found = [f"{plan.polarization}: {problem}" for plan in self.plans for problem in plan.problems]
        found += [self.out_problem] if self.out_problem else []
        if self.free_nbytes < self.needed_nbytes:
            found.append(
                f"{self.out}: the results need about {self.needed_nbytes / 1e9:.3f} GB, "
                f"{self.free_nbytes / 1e9:.3f} GB are free; free some, or choose another --out"
            )
        if self.memory_limit_nbytes is not None and self.memory_limit_nbytes < self.memory_nbytes:
            found.append(
                f"converting takes about {bytes_in_words(self.memory_nbytes)} of memory, this process may have "
                f"{bytes_in_words(self.memory_limit_nbytes)}; ask for more, or lower --patch-size or --cache-mb"
            )
        return tuple(found)

    @property
    def ok(self) -> bool:
        """Whether nothing is broken, and the result fits."""
        return not self.broken and not self.problems

    def __str__(self) -> str:
        return self.to_text()

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        derived = ("ok", "needed_nbytes", "memory_nbytes", "conversion_seconds", "problems")
        return asdict(self) | {name: getattr(self, name) for name in derived}

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        looked = (
            "every value was read"
            if self.deep
            else "headers, sizes, a few places of each file; --deep reads every value"
        )
        blocks = [plan.to_text() for plan in self.plans]
        blocks += ["\n".join(f"broken      {source}" for source in self.broken)] if self.broken else []
        limit = "unknown" if self.memory_limit_nbytes is None else bytes_in_words(self.memory_limit_nbytes)
        together = [
            "in all",
            f"  disk      about {bytes_in_words(self.needed_nbytes)} needed, {bytes_in_words(self.free_nbytes)} free "
            f"in {self.out}",
            f"  memory    about {bytes_in_words(self.memory_nbytes)} needed, {limit} allowed",
            f"  time      {seconds_in_words(self.conversion_seconds)} on {self.threads} "
            f"thread{'s' if self.threads != 1 else ''}, estimated",
            f"  scanned   in {self.seconds:.1f} s: {looked}",
        ]
        together += [f"  note      {note}" for note in self.notes]
        together += [f"  problem   {problem}" for problem in self.problems[sum(len(p.problems) for p in self.plans) :]]
        return "\n\n".join([*blocks, "\n".join(together)])
