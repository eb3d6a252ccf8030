"""The patches of a file that are to be exported, scene by scene, each checked when read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.buffers import BufferPool
from sar_h5.contents import Columns, columns_of
from sar_h5.errors import SettingError
from sar_h5.opening import name_damage, open_as_it_is
from sar_h5.reader import PatchReader
from sar_h5.schema import UNKNOWN, FileSettings
from sar_h5.sources.scene import Georeference, Places, SceneInfo
from sar_h5.tables.patch_choice import PatchChoice, read_choice

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ChosenScene:
    """A scene of a file, and those of its patches that are to be exported.

    Attributes:
        number: of the scene in the file.
        info: all that the file says of it; its path is what it was made from.
        numbers: int64 (n,), the patches' numbers in the file, in order.
        positions: int64 (n,), their positions among all patches that the file has of the scene.
        places: int32 (n, 2), row and column of each, -1 where unknown.
    """

    number: int
    info: SceneInfo
    numbers: Numbers
    positions: Numbers
    places: Places

    @property
    def known_places(self) -> Places | None:
        """The places; None where not one of them is known."""
        return None if (self.places == UNKNOWN).all() else self.places


class PatchSource:
    """Reads the patches that are to be exported.

    Args:
        path: a file of this package.
        choice: which patches.

    Attributes:
        path: the file.
        settings: what it says about all its patches.
        digest: of its content.
        quantity, units: what the pixels were that it was made from.
        scenes: those with patches to export; every one where all are.
        of_patches: how many patches the file has.

    Raises:
        SourceError: where the file or the manifest cannot be read.
        FormatError: where the file is not of this package, or damaged.
        SettingError: where nothing is chosen.
    """

    def __init__(self, path: str | Path, choice: PatchChoice) -> None:
        table, chosen = read_choice(path, choice)
        self.path, self.settings, self.digest = str(path), table.settings, table.digest
        self.of_patches = table.count
        self._reader = PatchReader(path, checked=True)
        self._buffers = BufferPool()
        with name_damage(path, "a sound list of scenes"), open_as_it_is(path) as file:
            scenes = columns_of(file, path, schema.SCENES)
            points = file.get(f"{schema.SCENES}/{schema.GCP_TABLE.name}", np.empty(0))
            gcps = np.reshape(points[:], (-1, schema.GCP_TABLE.width))
            self.quantity, self.units = (str(file.attrs.get(name, "")) for name in ("quantity", "units"))
            infos = [_scene_info(scenes, gcps, number, self.settings) for number in range(len(scenes["name"]))]
        index = {name: table[name] for name in ("scene", "row", "col")}
        if schema.COMPONENT_COLUMN.name in table:
            # Places that follow from the pixels are no places in the scene, and will follow from them again.
            index |= {axis: np.full(table.count, schema.UNKNOWN, np.int32) for axis in ("row", "col")}
        groups = _group(index, chosen, infos)
        self.scenes = tuple(scene for scene in groups if choice.takes_all or len(scene.numbers))

    @property
    def count(self) -> int:
        """How many patches are to be exported."""
        return sum(len(scene.numbers) for scene in self.scenes)

    def values(self, numbers: Numbers, threads: int = 1) -> Values:
        """Read patches as values in [0, 1], float32 (n, P, P), in memory that is used again once it is dropped.

        Raises:
            CorruptPatchError: where what is stored is not what was written, or cannot be decoded.
        """
        values: Any = self._buffers.take((len(numbers), *self._reader.source.shape[1:]), np.float32)
        self._reader.values(numbers, values, threads=threads)
        return values  # type: ignore[no-any-return]  # just taken as float32

    def codes(self, numbers: Numbers) -> npt.NDArray[Any]:
        """Read patches as stored, (n, P, P); memory and errors as for :meth:`values`."""
        codes = self._buffers.take((len(numbers), *self._reader.source.shape[1:]), self._reader.source.dtype)
        self._reader.codes(numbers, codes)
        return codes

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def check_outside(out: Path, option: str, **taken: str | Path | None) -> None:
    """Raise SettingError where a directory to be made is, or holds, one of the files that are to be read."""
    for name, path in taken.items():
        if path is not None and Path(path).resolve().is_relative_to(out.resolve()):
            raise SettingError(f"{out}: the {name} {path} lies in it; choose another {option}")


def pieces(numbers: Numbers, patch_nbytes: int, most_nbytes: int) -> Iterator[tuple[int, Numbers]]:
    """Yield consecutive numbers of as many patches as take about ``most_nbytes``, with the position of the first."""
    step = max(1, most_nbytes // patch_nbytes)
    return ((start, numbers[start : start + step]) for start in range(0, len(numbers), step))


def _scene_info(scenes: Columns, gcps: npt.NDArray[np.float64], number: int, settings: FileSettings) -> SceneInfo:
    text = {name: str(scenes[name][number]) for name in _TEXTS}
    start, count = int(scenes["gcp_start"][number]), int(scenes["gcp_count"][number])
    if not 0 <= start <= start + count <= len(gcps):
        raise ValueError(f"scene {number} has control points {start} to {start + count} of {len(gcps)}")
    return SceneInfo(
        name=text["name"],
        path=text["source_path"],
        polarization=settings.polarization,
        height=int(scenes["height"][number]),
        width=int(scenes["width"][number]),
        platform=text["platform"],
        mode=text["mode"],
        product_type=text["product_type"],
        start_time=text["start_time"],
        orbit=int(scenes["orbit"][number]),
        orbit_pass=text["pass"],
        georeference=Georeference(
            crs=text["crs"],
            transform=tuple(scenes["transform"][number].tolist()),
            gcps=tuple(map(tuple, gcps[start : start + count].tolist())),
            gcp_crs=text["gcp_crs"],
        ),
    )


_TEXTS = tuple(column.name for column in schema.SCENE_COLUMNS if column.dtype == "utf-8")


def _group(index: Columns, chosen: Numbers, infos: list[SceneInfo]) -> Iterator[ChosenScene]:
    scene = index["scene"]
    order = np.argsort(scene, kind="stable")
    starts = np.searchsorted(scene[order], np.arange(len(infos) + 1))
    held = np.zeros(len(scene), dtype=np.bool_)
    held[chosen] = True
    for number, info in enumerate(infos):
        members = order[starts[number] : starts[number + 1]]
        positions = np.flatnonzero(held[members])
        numbers = members[positions].astype(np.int64)
        places = np.stack([index["row"][numbers], index["col"][numbers]], axis=1).astype(np.int32)
        yield ChosenScene(number, info, numbers, positions, places)
