"""What a result was measured on: the machine and the versions of everything involved."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "array_record",
    "datasets",
    "ffcv",
    "grain",
    "h5py",
    "hdf5plugin",
    "litdata",
    "lmdb",
    "mosaicml-streaming",
    "numba",
    "numcodecs",
    "numpy",
    "pyarrow",
    "rasterio",
    "sar_h5",
    "tensorstore",
    "torch",
    "webdataset",
    "zarr",
)


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory, and operating system."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def describe_versions() -> dict[str, str | None]:
    """Return the version of each package, None where it is not installed."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _field(path: Path, name: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
