"""Pictures of a file, written beside each other: what ``sar-h5 preview`` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from sar_h5.errors import FormatError, OutputError, OutputExistsError, SettingError
from sar_h5.opening import name_damage
from sar_h5.schema import DEFAULT_SPLIT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["sheet", "histogram", "footprints", "augmentation"]
KINDS: tuple[Kind, ...] = ("sheet", "histogram", "footprints", "augmentation")
"""The pictures that a file alone is enough for."""

ALL = "all"

SUFFIXES = (".png", ".pdf", ".svg")

_NOT_OF_EVERY_FILE = ("footprints", "augmentation")
"""These need places, or square patches."""


def preview(
    path: str | Path,
    out: str | Path = ".",
    *,
    kinds: Sequence[str] = ("sheet",),
    patches: int = 16,
    seed: int = 0,
    split: str = DEFAULT_SPLIT,
    overwrite: bool = False,
    note: Callable[[str], None] | None = None,
) -> list[Path]:
    """Draw pictures of a file.

    Args:
        path: the file.
        out: a directory, made where it is not there, for ``<file>_<kind>.png``; or, for one picture, a name that ends
            in .png, .pdf or .svg.
        kinds: which of :data:`KINDS`, or "all" for every one that the file has the data for.
        patches: how many patches the sheet shows.
        seed: of the choice of patches.
        split: name of the file's way of splitting, for the footprints.
        overwrite: whether existing pictures may be replaced.
        note: called with a line for each picture that "all" leaves out.

    Returns:
        The pictures, in the order of :data:`KINDS`.

    Raises:
        MissingExtraError: where matplotlib is not installed.
        SettingError: where an argument cannot be honoured, or the file lacks what a picture named shows.
        OutputExistsError: where a picture is there already and may not be replaced.
        OutputError: where they cannot be written.
        SourceError, FormatError, CorruptPatchError: where the file or a patch cannot be read.
    """
    wanted = _chosen(kinds)
    places = _places(Path(path), Path(out), wanted)
    for place in places.values():
        if place.exists() and not overwrite:
            raise OutputExistsError(
                f"{place}: is there already; pass --overwrite to replace it, or choose another --out"
            )
    drawing, saving = (import_module(f"sar_h5.pictures.{name}") for name in ("file_pictures", "saving"))
    figures: dict[Kind, Figure] = {}
    for kind in wanted:
        try:
            figures[kind] = _draw(drawing, kind, path, patches, seed, split)
        except (SettingError, FormatError) as error:
            if ALL not in kinds or kind not in _NOT_OF_EVERY_FILE:
                raise
            if note is not None:
                note(f"no {kind}: {error}")
    # All are drawn before the first is written: an error leaves none behind.
    for kind, figure in figures.items():
        _make_directory(places[kind].parent)
        saving.save_picture(figure, places[kind], overwrite=overwrite)
    return [places[kind] for kind in figures]


def _draw(drawing: ModuleType, kind: Kind, path: str | Path, patches: int, seed: int, split: str) -> Figure:
    with name_damage(path):
        figure: Figure = drawing.draw(kind, path, patches=patches, seed=seed, split=split)
    return figure


def _chosen(kinds: Sequence[str]) -> list[Kind]:
    unknown = [kind for kind in kinds if kind not in (*KINDS, ALL)]
    if unknown or not kinds:
        raise SettingError(f"expected kinds of pictures among {', '.join((*KINDS, ALL))}; found {unknown or 'none'}")
    return [kind for kind in KINDS if ALL in kinds or kind in kinds]


def _places(path: Path, out: Path, kinds: Sequence[Kind]) -> dict[Kind, Path]:
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(kinds) > 1:
            raise SettingError(f"{out}: expected a directory for {len(kinds)} pictures, found the name of one picture")
        return {kinds[0]: out}
    return {kind: out / f"{path.stem}_{kind}.png" for kind in kinds}


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: expected a directory to write to, cannot make it: {error.strerror or error}; choose another --out"
        ) from error
