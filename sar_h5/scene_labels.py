"""Scenes in a few words, for titles: "S1A 2018-07-16 orbit 22812" instead of a name of 67 characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from sar_h5.schema import UNKNOWN

LONGEST = 36
"""How many characters a label has at most."""

_LONGEST_NAME = 30
"""Of a name, whose letters are wider than digits."""


def scene_labels(scenes: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    """Label every scene by platform, date and orbit, or by its shortened name where these are unknown.

    Scenes that would get the same label are told apart: slices of one data take by the time of day, others by their
    number in ``/scenes``.

    Args:
        scenes: the columns of ``/scenes``.

    Returns:
        One label per scene, each of at most :data:`LONGEST` printable characters.
    """
    columns = (scenes[name].tolist() for name in ("name", "platform", "start_time", "orbit"))
    rows = [(str(name), str(platform), str(start), int(orbit)) for name, platform, start, orbit in zip(*columns)]  # noqa: B905 - columns of one file
    short = [_label(*row, with_time=False) for row in rows]
    timed = [_label(*row, with_time=True) for row in rows]
    return [
        label if alone == 1 else long if alone_with_time == 1 else shorten(f"#{number} {label}")
        for number, (label, alone, long, alone_with_time) in enumerate(
            zip(short, _counts(short), timed, _counts(timed), strict=True)
        )
    ]


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut the middle out of a long text, and replace characters that cannot be printed on one line.

    Args:
        text: any; names of scenes and files come from outside.
        longest: how many characters to keep, at least 3.
    """
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    if len(printable) <= longest:
        return printable
    tail = (longest - 1) // 2
    return f"{printable[: longest - 1 - tail]}…{printable[-tail:]}"


def _counts(labels: list[str]) -> list[int]:
    counts = Counter(labels)
    return [counts[label] for label in labels]


def _label(name: str, platform: str, start: str, orbit: int, *, with_time: bool) -> str:
    date, _, time = start.partition("T")
    if not platform or not date:
        return shorten(name, _LONGEST_NAME)
    parts = [platform, date, *([time[:8]] if with_time and time else [])]
    return shorten(" ".join([*parts, *([f"orbit {orbit}"] if orbit != UNKNOWN else [])]))
