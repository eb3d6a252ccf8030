"""Scenes that share a name: told apart by their folders, or refused where they are one scene twice."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from sar_h5.errors import SourceError
from sar_h5.sources.scene import SceneInfo


class _Named(Protocol):
    info: SceneInfo


def tell_namesakes_apart(groups: Sequence[Sequence[_Named]], movable: Callable[[str], bool]) -> None:
    """Put the folder before names that scenes of a polarization share ("2020/tile", "2021/tile").

    A name that is shared in one polarization gets its folder in all of them, so that scenes still match.
    """
    counts = [Counter(scene.info.name for scene in scenes) for scenes in groups]
    shared = {name for count in counts for name, times in count.items() if times > 1 and movable(name)}
    for scene in (scene for scenes in groups for scene in scenes):
        if scene.info.name in shared:
            folder = Path(scene.info.path).absolute().parent.name
            scene.info = dataclasses.replace(scene.info, name=f"{folder}/{scene.info.name}")


def check_names(scenes: Sequence[_Named]) -> None:
    """A scene that is there twice would be trained on twice, and leak between splits."""
    paths: dict[str, list[str]] = {}
    for scene in scenes:
        paths.setdefault(scene.info.name, []).append(scene.info.path)
    for name, places in paths.items():
        if len(places) > 1:
            raise SourceError(
                f"scene {name} is there {len(places)} times: {', '.join(places)}; name each scene once, or give "
                "its files distinct names"
            )
