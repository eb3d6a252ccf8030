"""``plan``: what so many patches take in disk, memory and time, by the measured constants of ``planning``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sar_h5.cores import usable_cores
from sar_h5.errors import SettingError
from sar_h5.forecasts import planning
from sar_h5.forecasts.rounding import bytes_in_words, seconds_in_words
from sar_h5.schema import ENCODINGS, LAYOUTS, Layout
from sar_h5.shared_blocks.expectation import expect_shard_blocks

USUAL_BATCH_SIZE = 64
COMMON_COUNTS = (10_000, 100_000, 1_000_000)
COMMON_SIZES = (128, 256, 512)
_LARGEST = 10**18
"""More of anything than any plan is for."""

ORIGIN = (
    "measured on simulated scenes and 2 cores of an Intel Xeon (python -m benchmarks.planning_constants); images "
    "differ, machines more: sar-h5 scan measures your source, sar-h5 bench your machine"
)


@dataclass(frozen=True)
class PatchPlan:
    """What patches of one polarization take; all figures are estimates.

    Attributes:
        patches: how many.
        patch_size: their side in pixels.
        codec: "fast", "small" or "none".
        encoding: "palette", "dn" or "float32".
        polarization: "vv", "vh", "hh" or "hv".
        cores: that share the work.
        batch_size: of the loader.
        layout: "patches" or "blocks".
        stride: distance of neighbouring patches in pixels, which matters to layout "blocks" only.
        blocks: how many blocks they share; 0 in layout "patches".
        float32_nbytes: size of the patches as float32, as shards hold them.
        patches_nbytes: size of the patches in the file.
        index_nbytes: size of the chunk index, the table of patches, and all else in the file.
        table_nbytes: memory for the table of where patches lie, in each process or shared between them.
        conversion_memory_nbytes: peak memory to convert shards, the process included.
        serving_memory_nbytes: memory of the training process's loader, torch included, the model not.
        worker_memory_nbytes: what each worker process adds.
        conversion_seconds: to convert shards, where the disk keeps up.
        products_seconds: to convert products with patches that overlap by half, where the disk keeps up.
        verification_seconds: to verify the file.
        epoch_seconds: to serve all patches once, augmented, from memory.
    """

    patches: int
    patch_size: int
    codec: str
    encoding: str
    polarization: str
    cores: int
    batch_size: int
    layout: Layout
    stride: int
    blocks: int
    float32_nbytes: int
    patches_nbytes: int
    index_nbytes: int
    table_nbytes: int
    conversion_memory_nbytes: int
    serving_memory_nbytes: int
    worker_memory_nbytes: int
    conversion_seconds: float
    products_seconds: float
    verification_seconds: float
    epoch_seconds: float

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return self.patches_nbytes + self.index_nbytes

    def _sharing(self) -> str:
        if self.layout == "patches":
            return ""
        return f", in {self.blocks:,} blocks that patches with stride {self.stride} share"

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return asdict(self) | {"nbytes": self.nbytes, "origin": ORIGIN}

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        shards_rate = bytes_in_words(self.float32_nbytes / max(self.conversion_seconds, 1e-9))
        file_rate = bytes_in_words(self.nbytes / max(self.epoch_seconds, 1e-9))
        lines = [
            f"{self.patches:,} {self.polarization} patches of {self.patch_size} x {self.patch_size} px, "
            f"{self.encoding}, codec {self.codec}{self._sharing()}, on {self.cores} "
            f"core{'s' if self.cores != 1 else ''}; all figures are estimates",
            f"  disk      {bytes_in_words(self.nbytes)}: patches {bytes_in_words(self.patches_nbytes)}, index and "
            f"chunk table {bytes_in_words(self.index_nbytes)}; as float32 {bytes_in_words(self.float32_nbytes)}",
            f"  memory    {bytes_in_words(self.conversion_memory_nbytes)} to convert shards",
            f"            {bytes_in_words(self.serving_memory_nbytes)} to serve batches of {self.batch_size} with "
            f"torch, of it {bytes_in_words(self.table_nbytes)} for the table of patches, which workers share",
            f"            {bytes_in_words(self.worker_memory_nbytes)} more for each worker process",
            f"  time      {seconds_in_words(self.conversion_seconds)} to convert shards, if the disk reads "
            f"{shards_rate}/s; {seconds_in_words(self.products_seconds)} from products",
            f"            {seconds_in_words(self.verification_seconds)} to verify",
            f"            {seconds_in_words(self.epoch_seconds)} for an epoch, augmented, from memory or a disk that "
            f"reads {file_rate}/s",
            f"  origin    {ORIGIN}",
        ]
        return "\n".join(lines)


def plan(
    patches: int,
    *,
    patch_size: int = 256,
    codec: str = "fast",
    encoding: str = "palette",
    polarization: str = "vv",
    layout: Layout = "patches",
    stride: int | None = None,
    batch_size: int = USUAL_BATCH_SIZE,
    cores: int | None = None,
) -> PatchPlan:
    """Estimate what patches take in disk, memory and time, without any data.

    Args:
        patches: how many.
        patch_size: their side in pixels.
        codec: "fast", "small", or "none" for no compression.
        encoding: "palette", "dn" or "float32".
        polarization: "vv", "vh", "hh" or "hv".
        layout: "patches", or "blocks", which overlapping patches share.
        stride: distance of neighbouring patches in pixels; None for half of their size.
        batch_size: of the loader.
        cores: that share the work; None for as many as this process may use.

    Returns:
        The estimates, by measured constants.

    Raises:
        SettingError: where a value is not one of these.
    """
    planning.check_codec(codec)
    _check(patches, patch_size, batch_size, cores, encoding, polarization)
    if layout not in LAYOUTS or (stride is not None and stride < 1):
        raise SettingError(
            f"expected layout {' or '.join(LAYOUTS)} and a stride of at least 1; found {layout!r} and {stride}"
        )
    shared_by = usable_cores() if cores is None else cores
    like = planning.LIKE_POLARIZATION[polarization]
    step = max(patch_size // 2, 1) if stride is None else stride
    blocks = expect_shard_blocks([patches], patch_size, step, ()) if layout == "blocks" else None
    patches_nbytes, index_nbytes = planning.file_nbytes(patches, patch_size, codec, encoding, polarization, blocks)
    memory = planning.conversion_memory(patches, patch_size, threads=shared_by, blocks=blocks)

    extra = dict.fromkeys(planning.BLOCKS_SECONDS, 1.0) if blocks is None else planning.BLOCKS_SECONDS

    harder = 0.0
    if blocks is not None and codec == "small":
        harder = blocks.count * blocks.size**2 / 1e6 * planning.SMALL_BLOCKS_SECONDS_PER_MEGAPIXEL[like] / shared_by

    def seconds(task: str, per_megapixel: float) -> float:
        return planning.cpu_seconds(patches, patch_size, task, per_megapixel) / shared_by

    return PatchPlan(
        patches=patches,
        patch_size=patch_size,
        codec=codec,
        encoding=encoding,
        polarization=polarization,
        cores=shared_by,
        batch_size=batch_size,
        layout=layout,
        stride=step,
        blocks=0 if blocks is None else blocks.count,
        float32_nbytes=patches * patch_size**2 * 4,
        patches_nbytes=patches_nbytes,
        index_nbytes=index_nbytes,
        table_nbytes=planning.chunk_table(patches, patch_size, blocks),
        conversion_memory_nbytes=memory,
        serving_memory_nbytes=planning.serving_memory(patches, patch_size, batch_size, blocks),
        worker_memory_nbytes=planning.worker_memory(patch_size, batch_size),
        conversion_seconds=harder
        + extra["shards"] * seconds("conversion", planning.SHARDS_SECONDS_PER_MEGAPIXEL[like][codec]),
        products_seconds=harder
        + extra["products"] * seconds("conversion", planning.PRODUCTS_SECONDS_PER_MEGAPIXEL[codec]),
        verification_seconds=extra["verification"]
        * seconds("verification", planning.VERIFICATION_SECONDS_PER_MEGAPIXEL[codec]),
        epoch_seconds=extra["epoch"] * seconds("epoch", planning.EPOCH_SECONDS_PER_MEGAPIXEL[like][codec]),
    )


def plan_common_sizes(
    *,
    codec: str | None = None,
    encoding: str = "palette",
    polarization: str = "vv",
    layout: Layout = "patches",
    cores: int | None = None,
) -> list[PatchPlan]:
    """Return plans for common numbers and sizes of patches, of all measured codecs or of one."""
    return [
        plan(
            count, patch_size=size, codec=name, encoding=encoding, polarization=polarization, layout=layout, cores=cores
        )
        for size in COMMON_SIZES
        for count in COMMON_COUNTS
        for name in (planning.MEASURED_CODECS if codec is None else (codec,))
    ]


def table_to_text(plans: Sequence[PatchPlan]) -> str:
    """Write plans as a table, a line each."""
    head = ("patches", "px", "codec", "disk", "convert", "serve", "to convert", "to verify", "epoch")
    rows = [
        (
            f"{one.patches:,}",
            str(one.patch_size),
            one.codec,
            bytes_in_words(one.nbytes),
            bytes_in_words(one.conversion_memory_nbytes),
            bytes_in_words(one.serving_memory_nbytes),
            *map(seconds_in_words, (one.conversion_seconds, one.verification_seconds, one.epoch_seconds)),
        )
        for one in plans
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    first = plans[0]
    title = (
        f"{first.polarization}, {first.encoding}, layout {first.layout}, on {first.cores} "
        f"core{'s' if first.cores != 1 else ''}: disk; memory "
        f"to convert shards and to serve batches of {first.batch_size}; time. All figures are estimates,"
    )
    return "\n".join([title, f"{ORIGIN}.", "", *lines])


def _check(patches: int, patch_size: int, batch_size: int, cores: int | None, encoding: str, polarization: str) -> None:
    for what, number, least in (
        ("number of patches", patches, 0),
        ("patch size", patch_size, 1),
        ("batch size", batch_size, 1),
        ("number of cores", 1 if cores is None else cores, 1),
    ):
        if not least <= number <= _LARGEST:
            raise SettingError(
                f"expected a {what} of at least {least}, and no more than {_LARGEST:.0e}; found {number}"
            )
    if encoding not in ENCODINGS:
        raise SettingError(f"expected encoding {', '.join(ENCODINGS)}; found {encoding!r}")
    if polarization not in planning.LIKE_POLARIZATION:
        raise SettingError(f"expected polarization {', '.join(planning.LIKE_POLARIZATION)}; found {polarization!r}")
