"""What ``sar-h5 bench`` measured, what follows from it, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

USUAL_BATCH_SIZE = 64
_CLEARLY_FASTER = 1.05
"""Settings that are closer than this count as equal on a machine with other work; the simpler one is recommended."""


@dataclass(frozen=True)
class LoaderSetting:
    """One way to set up a loader.

    Attributes:
        workers: worker processes; 0 for decode threads in the training process.
        threads: decode threads in each process.
        batch_size: patches in a batch.
        background: whether a ``BackgroundLoader`` makes the next batches meanwhile.
    """

    workers: int
    threads: int
    batch_size: int
    background: bool = False

    def __str__(self) -> str:
        background = ", background" if self.background else ""
        return f"workers {self.workers}, threads {self.threads}, batch {self.batch_size}{background}"


@dataclass(frozen=True)
class Measured:
    """A setting and what came of it.

    Attributes:
        setting: the setting.
        patches_per_s: float32 patches with augmentation, from the page cache.
    """

    setting: LoaderSetting
    patches_per_s: float


@dataclass(frozen=True)
class Limits:
    """What this machine can do at best with this file, in patches/s.

    Attributes:
        disk: stored bytes read at random with all threads after they were dropped from the page cache; None where this
            system cannot drop them.
        decode: read from the page cache, decoded, looked up and turned into a batch, with all threads, nothing else.
        copy: float32 patches copied from memory into a batch, with all threads.
        transfer: float32 batches copied to the accelerator; None where there is none.
    """

    disk: float | None
    decode: float
    copy: float
    transfer: float | None


@dataclass(frozen=True)
class BenchReport:
    """What was measured.

    Attributes:
        path: the file.
        patches: how many it holds.
        nbytes: its size.
        memory_nbytes: memory of this machine that the page cache could take.
        cores: that this process may use.
        limits: the best possible.
        measured: every setting that was tried, in order.
    """

    path: str
    patches: int
    nbytes: int
    memory_nbytes: int
    cores: int
    limits: Limits
    measured: tuple[Measured, ...]

    @property
    def best(self) -> Measured:
        """The setting to use: the fastest at the usual batch size, or a simpler one that is as fast."""
        usual = [result for result in self.measured if result.setting.batch_size == USUAL_BATCH_SIZE]
        fastest = max(result.patches_per_s for result in usual)
        near = [result for result in usual if result.patches_per_s * _CLEARLY_FASTER >= fastest]
        return min(near, key=lambda result: (result.setting.workers, not result.setting.background))

    @property
    def fits_memory(self) -> bool:
        """Whether the file can stay in the page cache after the first epoch."""
        return self.nbytes <= self.memory_nbytes

    @property
    def bottleneck(self) -> tuple[str, float]:
        """What bounds an epoch after the first, and at how many patches/s: "disk", "decode" or "transfer"."""
        rates = {"decode": self.limits.decode}
        if not self.fits_memory and self.limits.disk is not None:
            rates["disk"] = self.limits.disk
        if self.limits.transfer is not None:
            rates["transfer"] = self.limits.transfer
        name = min(rates, key=lambda name: rates[name])
        return name, rates[name]

    @property
    def code(self) -> str:
        """The recommended setting as a line of Python."""
        setting = self.best.setting
        workers = f", num_workers={setting.workers}, persistent_workers=True" if setting.workers else ""
        loader = (
            f"DataLoader(SARH5Dataset({self.path!r}, augment=True, threads={setting.threads}), "
            f"batch_size={setting.batch_size}, shuffle=True{workers})"
        )
        return f"loader = BackgroundLoader({loader})" if setting.background else f"loader = {loader}"

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain data for JSON."""
        bottleneck, rate = self.bottleneck
        return asdict(self) | {
            "fits_memory": self.fits_memory,
            "bottleneck": bottleneck,
            "bottleneck_patches_per_s": rate,
            "recommended": asdict(self.best),
            "code": self.code,
        }

    def to_text(self) -> str:
        """Return it for a terminal."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.path}: {self.patches:,} patches, {self.nbytes / 1e9:.2f} GB, on {self.cores} cores"
        yield "  limits of this machine, patches/s"
        disk = (
            "unknown: this system cannot drop the page cache"
            if self.limits.disk is None
            else f"{self.limits.disk:,.0f}"
        )
        yield f"    disk      {disk}"
        yield f"    decode    {self.limits.decode:,.0f}"
        yield f"    copy      {self.limits.copy:,.0f} (of float32 patches from memory, for comparison)"
        transfer = "no accelerator" if self.limits.transfer is None else f"{self.limits.transfer:,.0f}"
        yield f"    transfer  {transfer}"
        yield "  loaders, from the page cache, float32 with augmentation, patches/s"
        for result in self.measured:
            share = result.patches_per_s / self.limits.decode
            yield f"    {result.setting!s:<45} {result.patches_per_s:>8,.0f}  {share:4.0%} of decode"
        yield from self._conclusion()

    def _conclusion(self) -> Iterator[str]:
        name, rate = self.bottleneck
        size = f"{self.nbytes / 1e9:.1f} GB" + (" fit" if self.fits_memory else " do not fit")
        later = "memory" if self.fits_memory else "disk"
        yield f"  limited by {name}, {rate:,.0f} patches/s; epochs after the first are read from {later}:"
        yield f"  {size} into {self.memory_nbytes / 1e9:.1f} GB of free memory"
        yield f"  an epoch takes about {self.patches / min(rate, self.best.patches_per_s):,.1f} s"
        yield "  use"
        yield f"    {self.code}"
