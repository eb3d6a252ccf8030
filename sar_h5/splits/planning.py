"""Which patch belongs to which split: pure functions of the scenes, the places of the patches and the settings.

What depends on the polarization (which patches the quality filter kept) has no say in which group of patches goes to
which split, so that VV and VH of the same scenes are split alike.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError
from sar_h5.splits.blocks import BlockGrid, choose_block_px, default_guard_px
from sar_h5.splits.groups import allocate_groups, draw_number
from sar_h5.splits.methods import BlockSplit, DateSplit, PatchSplit, SceneSplit, SplitMethod
from sar_h5.splits.scenes import PatchPlaces, SplitScene
from sar_h5.splits.shared_pixels import any_overlap

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SplitPlan:
    """Which group of patches goes to which split.

    Attributes:
        method: the settings, with nothing left open.
        what: what the groups are, in the plural.
        groups: the code of the split of each scene, day or block; empty where each patch is drawn on its own.
        grid: the blocks, for splits by block.
    """

    method: SplitMethod
    what: str
    groups: Mapping[str, int]
    grid: BlockGrid | None = None

    def count_groups(self, code: int) -> int:
        """Return how many groups a split has."""
        return sum(found == code for found in self.groups.values())

    def assign(self, places: PatchPlaces) -> Codes:
        """Return the split of each patch, uint8 (N,): 0 unused, 1 train, 2 val, 3 test."""
        codes = np.zeros(len(places.scene), dtype=np.uint8)
        if self.grid is not None:
            places = places.with_extents()
        for scene, members in places.runs():
            # What a split by block cannot place belongs to none.
            numbers = members if self.grid is None else members[places.known[members]]
            row, col = places.row[numbers], places.col[numbers]
            match self.method:
                case SceneSplit():
                    codes[numbers] = self.groups[scene.name]
                case DateSplit():
                    codes[numbers] = self.groups[utc_day(scene)]
                case BlockSplit(guard_px=guard_px) if self.grid is not None and len(numbers):
                    codes[numbers] = self.grid.codes_of(scene, self.groups, row, col, guard_px or 0)
                case PatchSplit():
                    codes[numbers] = _draw_patches(self.method, scene, places.known[numbers], row, col)
        return codes


def plan_split(method: SplitMethod, scenes: Mapping[str, SplitScene], files: Mapping[str, PatchPlaces]) -> SplitPlan:
    """Decide which group of patches goes to which split.

    Args:
        method: how to split.
        scenes: the scenes of all files, by name.
        files: the places of the patches of each file, by path.

    Raises:
        SettingError: where the files cannot be split this way.
    """
    match method:
        case SceneSplit():
            keys = {name: name for name in scenes}
            return _plan_by_scene(method, "scenes", scenes, keys)
        case DateSplit():
            return _plan_by_scene(method, "days", scenes, {name: utc_day(scene) for name, scene in scenes.items()})
        case BlockSplit():
            return _plan_by_block(method, scenes, files)
        case PatchSplit():
            _check_apart(method, files)
            return SplitPlan(method, "patches", {})


def utc_day(scene: SplitScene) -> str:
    """Return the day on which a scene was taken, in UTC, as YYYY-MM-DD.

    Raises:
        SettingError: where its time is unknown.
    """
    try:
        time = dt.datetime.fromisoformat(scene.start_time)
    except ValueError:
        raise SettingError(
            f"splitting by date needs the start time of every scene; that of {scene.name} is "
            f"{scene.start_time or 'unknown'}; split by scene"
        ) from None
    return (time if time.tzinfo is None else time.astimezone(dt.UTC)).date().isoformat()


def _plan_by_scene(
    method: SplitMethod, what: str, scenes: Mapping[str, SplitScene], keys: Mapping[str, str]
) -> SplitPlan:
    sized = all(scene.area for scene in scenes.values())
    weights: dict[str, int] = {}
    for name, scene in scenes.items():
        weights[keys[name]] = weights.get(keys[name], 0) + (scene.area if sized else 1)
    return SplitPlan(method, what, allocate_groups(weights, method.wanted, method.seed, what))


def _plan_by_block(method: BlockSplit, scenes: Mapping[str, SplitScene], files: Mapping[str, PatchPlaces]) -> SplitPlan:
    recovered = [path for path, places in files.items() if places.component is not None]
    if recovered and len(files) > 1:
        raise SettingError(
            f"{recovered[0]}: its patches' places were recovered from the pixels that they share, and nothing tells "
            "how they lie to those of other files; split the files one by one, or all of them by scene"
        )
    # Of recovered places some may stay unknown; those patches then belong to no split.
    lost = {path: places for path, places in files.items() if places.component is None or not places.known.any()}
    _check_places_known("splitting by block", lost)
    files = {path: places.with_extents() for path, places in files.items()}
    if recovered:
        scenes = {scene.name: scene for scene in files[recovered[0]].scenes}
    for path, places in files.items():
        unsized = [scene.name for scene, numbers in places.runs() if places.known[numbers].any() and not scene.area]
        if unsized:
            raise SettingError(
                f"{path}: splitting by block needs the size of every scene; that of {unsized[0]} is unknown"
            )
    size = _single_patch_size(files)
    block_px = choose_block_px(scenes.values(), size) if method.block_px is None else method.block_px
    guard_px = default_guard_px(size) if method.guard_px is None else method.guard_px
    if block_px < size + guard_px:
        raise SettingError(
            f"expected blocks of at least {size + guard_px} px, a patch of {size} px and the guard of {guard_px} px; "
            f"found {block_px} px"
        )
    grid = BlockGrid(scenes.values(), size, block_px)
    groups = allocate_groups(grid.weights(), method.wanted, method.seed, f"blocks of {block_px} px that hold a patch")
    resolved = dataclasses.replace(method, block_px=block_px, guard_px=guard_px)
    return SplitPlan(resolved, "blocks", groups, grid)


def _check_places_known(what: str, files: Mapping[str, PatchPlaces]) -> None:
    for path, places in files.items():
        unknown = int((~places.known).sum())
        if unknown:
            raise SettingError(
                f"{path}: {what} needs to know where patches lie; {unknown:,} of {len(places.scene):,} have lost "
                "their places, as those from shards have; split by scene"
            )


def _single_patch_size(files: Mapping[str, PatchPlaces]) -> int:
    sizes = {path: places.patch_size for path, places in files.items()}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{size} px in {path}" for path, size in sizes.items())
        raise SettingError(f"expected patches of one size in files that are split together by block; found {found}")
    return next(iter(sizes.values()))


def _check_apart(method: PatchSplit, files: Mapping[str, PatchPlaces]) -> None:
    """Refuse to draw patches one by one where they share pixels, unless forced."""
    if method.forced:
        return
    _check_places_known("splitting by patch, which is sound only where patches share no pixel,", files)
    for path, places in files.items():
        if any_overlap(places):
            raise SettingError(
                f"{path}: patches overlap, so that drawn one by one, pixels of training would come up again in "
                "validation and test, and scores would be too good; split by scene, date or block (--by scene), or, to "
                "have the leak nevertheless, force it (--force)"
            )


def _draw_patches(
    method: PatchSplit,
    scene: SplitScene,
    known: npt.NDArray[np.bool_],
    row: npt.NDArray[np.int64],
    col: npt.NDArray[np.int64],
) -> Codes:
    """Draw the split of each patch by its scene and place (by its number in the scene where that is unknown)."""
    ends = np.cumsum(list(method.wanted.values()))
    ends[-1] = 1
    codes = np.array(list(method.wanted), dtype=np.uint8)
    places = zip(known.tolist(), row.tolist(), col.tolist(), strict=True)
    keys = (f"{y} {x}" if is_known else f"{number}" for number, (is_known, y, x) in enumerate(places))
    draws = np.array([draw_number(method.seed, f"{scene.name}\0{key}") for key in keys], dtype=np.uint64)
    found: Codes = codes[np.minimum(np.searchsorted(ends, draws * 2.0**-64, side="right"), len(codes) - 1)]
    return found
