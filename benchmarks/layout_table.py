"""Sizes and reading times of layouts and codecs as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TITLES = {"naive": "float32, h5py", "patches": "codes", "blocks": "blocks"}
_HEAD = (
    "layout",
    "`--codec`",
    "chosen",
    "size, MB",
    "float32 / it",
    "without edges",
    "bytes per pixel",
    "µs per patch",
    "convert, CPU s",
)


def markdown(results: Mapping[str, Any]) -> str:
    """Return a table for each set of scenes, with what bounds it."""
    machine = results["machine"]
    parts = [
        f"Simulated: {results['scenes']} scenes of {results['side']} x {results['side']} pixels at native resolution. "
        "Patches of 256 x 256 pixels every 128, none dropped. "
        '"Without edges": in the inside of large scenes, where each pixel lies in four patches, chunks alone. '
        '"µs per patch": processor time in one thread, shuffled, from memory; float32 batches with augmentation, of '
        f"the first row `read_direct` alone.\n\n{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, "
        f"Python {machine['python']}."
    ]
    parts += [_one(found) for found in results["sets"]]
    return "\n\n".join(parts) + "\n"


def _one(found: Mapping[str, Any]) -> str:
    codes = found["codes"]
    text = (
        f"### {found['title']}\n\n{found['patches']:,} patches, {found['vmin']:.4f} to {found['vmax']:.4f} dB, "
        f"{codes['levels']} codes; entropy {codes['bits']:.2f} bits a pixel (float32 / {128 / codes['bits']:.1f} in "
        f"blocks), {codes['bits_in_context']:.2f} given the pixels around it ({128 / codes['bits_in_context']:.1f})."
    )
    rows = [_HEAD, ("---", "---", "---", *["--:"] * (len(_HEAD) - 3)), *map(_row, found["files"])]
    return text + "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(file: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _TITLES[file["layout"]],
        "" if file["layout"] == "naive" else file["choice"],
        file["codec"],
        f"{file['nbytes'] / 1e6:.1f}",
        f"{file['ratio']:.2f}",
        f"{file['ratio_without_edges']:.2f}",
        f"{file['bytes_per_pixel']:.3f}",
        f"{file['read_us']:.0f}",
        f"{file['convert_cpu_seconds']:.1f}",
    )
