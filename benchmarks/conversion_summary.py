"""Medians and ratios of a run of ``benchmarks.converting``, as Markdown. Pure arithmetic on its JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

_STATES = ("warm", "cold")


def conversion_seconds(results: Mapping[str, Any], work: str, state: str) -> dict[int, float]:
    """Return the seconds of one work in one state, by round."""
    return {
        entry["round"]: entry["seconds"]
        for entry in results["measurements"]
        if entry["work"] == work and entry["state"] == state and "seconds" in entry
    }


def times_as_fast(results: Mapping[str, Any], work: str, other: str, state: str) -> float | None:
    """Return how many times as fast one work is as another: the median of the ratios within a round."""
    mine, theirs = (conversion_seconds(results, name, state) for name in (work, other))
    ratios = [theirs[number] / mine[number] for number in mine if number in theirs]
    return statistics.median(ratios) if ratios else None


def conversion_table(results: Mapping[str, Any]) -> str:
    """Return speed and memory as two tables."""
    data, machine = results["data"], results["machine"]
    introduction = (
        f"{data['patches']} {data['polarization'].upper()} patches, {data['levels']} distinct values; MB of source: "
        f"float32 shards, or pixels of the rasters as uint16. Median of {results['settings']['rounds']} rounds (least "
        f"to most), imports left out, until the result is on the disk. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory']}, {machine['kernel']}."
    )
    speed = [
        "| work | state | MB of source per s | patches/s | sar-h5 / it |",
        "| --- | --- | --: | --: | --: |",
        *(_speed_row(results, work, state) for work in results["titles"] for state in _STATES),
    ]
    memory = [
        f"Peak memory above the imports, source of {data['memory_nbytes'] / 1e6:.0f} MB times:",
        "",
        "| work | times | MB |",
        "| --- | --: | --: |",
        *(_memory_row(results, entry) for entry in results["memory"]),
    ]
    return "\n".join([introduction, "", *speed, "", *memory, ""])


def _speed_row(results: Mapping[str, Any], work: str, state: str) -> str:
    title, kind = results["titles"][work], results["kinds"][work]
    seconds = conversion_seconds(results, work, state)
    if not seconds:
        reasons = [entry.get("reason", "") for entry in results["measurements"] if entry["work"] == work]
        return f"| {title} | {state} | not measured: {reasons[-1] if reasons else 'left out'} | | |"
    size = results["data"]["source_nbytes"][kind] / 1e6
    median, least, most = (size / choose(seconds.values()) for choose in (statistics.median, max, min))
    patches = next(
        entry["patches"] for entry in results["measurements"] if entry["work"] == work and "seconds" in entry
    )
    ratio = times_as_fast(results, f"ours-{kind}", work, state)
    rate = f"{patches / statistics.median(seconds.values()):,.0f}" if patches else ""
    return (
        f"| {title} | {state} | {median:,.0f} ({least:,.0f} to {most:,.0f}) | {rate} | "
        f"{'' if ratio is None else f'{ratio:.2f}'} |"
    )


def _memory_row(results: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    found = f"{entry['peak_above_imports_nbytes'] / 1e6:,.0f}" if "reason" not in entry else entry["reason"]
    return f"| {results['titles'][entry['work']]} | {entry['times']} | {found} |"
