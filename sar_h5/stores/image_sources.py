"""The rasters of one polarization below the places that a user names, for reading windows of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sar_h5.errors import BadSource, BadSourceError, RadiometryError, SettingError, SourceError
from sar_h5.raster_units import resolve_units
from sar_h5.sources.discovery import discover
from sar_h5.sources.naming import POLARIZATIONS
from sar_h5.sources.rasters import GeoTiffScene
from sar_h5.units import Units

_ADVICE = 'Repair or remove them; on_bad_source="skip" goes on without them, as long as others are left.'


def find_images(
    sources: Sequence[str | Path], polarization: str | None, *, skip_broken: bool
) -> tuple[str, list[GeoTiffScene]]:
    """Find the rasters of one polarization.

    Args:
        sources: ``.SAFE`` directories, zipped ``.SAFE``, GeoTIFFs, or directory trees of them.
        polarization: which ones; also given to a raster that tells none. None where there is only one kind.
        skip_broken: whether to leave broken rasters out, as long as others are left.

    Returns:
        The polarization, and its rasters sorted by name.

    Raises:
        SourceError: where there is none.
        BadSourceError: where some are broken, each named.
        SettingError: where there are several polarizations and none was chosen.
    """
    if polarization is not None and polarization not in POLARIZATIONS:
        raise SettingError(f"expected polarization {', '.join(POLARIZATIONS)}; found {polarization!r}")
    inventory = discover(sources, () if polarization is None else (polarization,), with_bounds=False)
    places = ", ".join(map(str, sources))
    found = sorted(inventory.rasters, key=POLARIZATIONS.index)
    if inventory.broken and not (skip_broken and found):
        raise BadSourceError(inventory.broken, _ADVICE, "nothing can be read")
    if not found:
        what = "shards, which LazyPatchDataset reads" if inventory.shards else "none"
        raise SourceError(
            f"{places}: expected rasters of polarization {polarization or 'vv, vh, hh or hv'}; found {what}"
        )
    if len(found) > 1:
        raise SettingError(
            f'{places}: found rasters of {" and ".join(found)}; say which to read, with polarization="{found[0]}"'
        )
    scenes, broken = _intact(inventory.rasters[found[0]])
    if broken and not (skip_broken and scenes):
        raise BadSourceError(broken, _ADVICE, "nothing can be read")
    return found[0], scenes


def _intact(scenes: Sequence[GeoTiffScene]) -> tuple[list[GeoTiffScene], list[BadSource]]:
    """Check the rasters in archives, whose checksums GDAL does not look at; once, for all processes."""
    intact: list[GeoTiffScene] = []
    broken: list[BadSource] = []
    for scene in scenes:
        try:
            scene.check_archive()
        except SourceError as error:
            broken.append(BadSource(scene.info.path, str(error)))
        else:
            intact.append(scene)
    return intact, broken


def image_units(scenes: Sequence[GeoTiffScene], asked: str, trained_on: Units | None) -> Units:
    """Say what the pixels are, and that they are what bounds from a converted file are for.

    Args:
        scenes: the rasters.
        asked: "auto", "dn", "linear" or "db".
        trained_on: what the pixels behind a converted file were; None where there is none or it does not tell.

    Raises:
        RadiometryError: where units are in doubt, differ, or are others than those of the converted file.
        SettingError: where ``asked`` is none of these.
    """
    if asked not in ("auto", *Units):
        raise SettingError(f"expected units auto, {', '.join(Units)}; found {asked!r}")
    if asked == "auto" and trained_on is not None and (trained_on == Units.DN) == (scenes[0].dtype.kind == "u"):
        asked = trained_on
    units = resolve_units(scenes, asked)
    if trained_on not in (None, units):
        raise RadiometryError(
            f"{scenes[0].info.path}: its pixels are {_WORDS[units]}, those of the file given as like= were "
            f"{_WORDS[trained_on]}: its bounds do not fit; give bounds in the unit of these rasters"
        )
    return units


_WORDS = {Units.DN: "digital numbers", Units.LINEAR: "linear power", Units.DB: "in dB"}
