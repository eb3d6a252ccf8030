"""Every row of the benchmark: what it is in words, and the module that sets it up.

To add a row, add it to ``ROWS``; modules are imported when their row is measured, so that a library that is not
installed costs its own row only.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from benchmarks.rivals.protocol import Rival

Kind = Literal["ours", "rival", "limit"]
Parallel = Literal["processes", "threads", "own"]


@dataclass(frozen=True)
class Row:
    """One row of the results.

    Attributes:
        name: short, for ``--only`` and file names.
        title: for readers.
        place: "module:NAME" of its :class:`Rival`, within ``benchmarks``.
        kind: whether it belongs to the package, to others, or shows what the machine can do at best.
        parallel: what the number of workers means: worker processes, threads (at least one), or nothing, because the
            row always uses all cores; such rows are measured at 0 workers only.
    """

    name: str
    title: str
    place: str
    kind: Kind = "rival"
    parallel: Parallel = "processes"

    def load(self) -> Rival:
        """Import what sets it up.

        Raises:
            ImportError: where something that it needs is not installed.
        """
        module, _, name = self.place.partition(":")
        rival: Rival = getattr(import_module(f"benchmarks.{module}"), name)
        return rival


ROWS = (
    Row("ours", "sar_h5: SARH5Dataset in DataLoader", "rivals.ours:RIVAL", kind="ours"),
    Row("ours-background", "sar_h5: BackgroundLoader", "rivals.ours:BACKGROUND", kind="ours", parallel="own"),
    Row("ours-blocks", 'sar_h5: layout "blocks" in DataLoader', "rivals.ours:BLOCKS", kind="ours"),
    Row(
        "ours-blocks-background",
        'sar_h5: layout "blocks" in BackgroundLoader',
        "rivals.ours:BLOCKS_BACKGROUND",
        kind="ours",
        parallel="own",
    ),
    Row("shards", "shards opened per sample", "rivals.shards:RIVAL"),
    Row("maps", ".npy maps kept open, batched", "rivals.maps:RIVAL"),
    Row("maps-threads", ".npy maps kept open, threads on all cores", "rivals.maps:THREADS", parallel="own"),
    Row("h5py", "plain h5py, float32, Blosc lz4", "rivals.plain_h5py:RIVAL"),
    Row("zarr", "Zarr 3 (zarrs), float32", "rivals.zarr3:RIVAL"),
    Row("lmdb", "LMDB, zero copy, batched", "rivals.lmdb_store:RIVAL"),
    Row("arrow", "Arrow (HF datasets), zero copy, batched", "rivals.arrow:RIVAL"),
    Row("webdataset", "WebDataset", "rivals.web_dataset:RIVAL"),
    Row("mosaic", "Mosaic MDS", "rivals.mosaic:RIVAL"),
    Row("litdata", "LitData", "rivals.lit_data:RIVAL"),
    Row("tensorstore", "tensorstore (Zarr 3), float32", "rivals.tensor_store:RIVAL"),
    Row("grain", "grain, ArrayRecord", "rivals.grain_records:RIVAL"),
    Row("ffcv-float32", "FFCV, float32 NDArrayField", "rivals.ffcv_loader:FLOAT32", parallel="threads"),
    Row("ffcv-uint16", "FFCV, uint16 codes, lossless", "rivals.ffcv_loader:UINT16", parallel="threads"),
    Row("ffcv-fused", "FFCV, uint16 codes, own fused decoder", "rivals.ffcv_loader:FUSED", parallel="threads"),
    Row("geotiff", "windows from GeoTIFF", "rivals.geotiff:RIVAL"),
    Row("limit-copy", "limit: copy float32 from the page cache", "limits:COPY", kind="limit", parallel="own"),
    Row("limit-decode", "limit: Blosc decode only", "limits:DECODE", kind="limit", parallel="own"),
    Row("limit-fused", "limit: decode + look-up + symmetry", "limits:FUSED", kind="limit", parallel="own"),
)


def choose_rows(names: tuple[str, ...]) -> tuple[Row, ...]:
    """Return the rows of these names, in the order of the table; all where there are none.

    Raises:
        ValueError: where a name is unknown.
    """
    unknown = set(names) - {row.name for row in ROWS}
    if unknown:
        raise ValueError(f"unknown rows {', '.join(sorted(unknown))}; known: {', '.join(row.name for row in ROWS)}")
    return tuple(row for row in ROWS if not names or row.name in names)
