"""What a GeoTIFF of one patch says of itself in its tags, enough to put a file of patches together again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sar_h5.radiometry import Bounds
from sar_h5.schema import UNKNOWN
from sar_h5.sources.naming import POLARIZATIONS
from sar_h5.sources.scene import Georeference, SceneInfo
from sar_h5.sources.shard_facts import check_number, check_text

PREFIX = "SAR_H5_"
FORMAT_TAG = f"{PREFIX}FORMAT"
FORMAT = "patch 1"
"""What tells such a raster from all others, with the version of its tags."""

Gcp = tuple[float, float, float, float, float]

Pixels = Literal["values", "dn"]
PIXELS: tuple[Pixels, ...] = ("values", "dn")
DTYPES: Mapping[Pixels, str] = {"values": "float32", "dn": "uint16"}

_MOST_DIGITS = 400
"""Longer texts are no numbers that anybody wrote."""

_MOST_GCPS_CHARACTERS = 1 << 22


@dataclass(frozen=True)
class PatchTags:
    """The tags of one patch.

    Attributes:
        pixels: what the raster holds: "values" in [0, 1], or "dn".
        vmin, vmax: bounds in dB that the values are, or were to be, scaled with.
        patch_size: side in pixels.
        stride: distance of neighbouring patches in pixels, -1 where unknown.
        origin: content digest of the file that the patch was exported from.
        scene: what is known of its scene; the path is not told. Its ground control points are empty where those of the
            raster tell them, moved by the patch's place.
        scene_number: of the scene in that file, which says the order of scenes.
        patch: the patch's number in that file.
        row, col: top-left corner in the scene, -1 where unknown.
    """

    pixels: Pixels
    vmin: float
    vmax: float
    patch_size: int
    stride: int
    origin: str
    scene: SceneInfo
    scene_number: int
    patch: int
    row: int
    col: int

    def to_tags(self) -> dict[str, str]:
        """Return the tags; what is unknown has none. The inverse of :meth:`from_tags`."""
        scene, place = self.scene, self.scene.georeference
        texts = {
            "PIXELS": self.pixels,
            "POLARIZATION": scene.polarization,
            "SOURCE_DIGEST": self.origin,
            "SCENE": scene.name,
            "START_TIME": scene.start_time,
            "PLATFORM": scene.platform,
            "MODE": scene.mode,
            "PRODUCT_TYPE": scene.product_type,
            "PASS": scene.orbit_pass,
            "SCENE_CRS": place.crs,
            "SCENE_GCP_CRS": place.gcp_crs,
            "SCENE_TRANSFORM": "" if math.isnan(place.transform[0]) else " ".join(map(repr, place.transform)),
            "SCENE_GCPS": json.dumps(place.gcps) if place.gcps else "",
        }
        numbers = {
            "PATCH_SIZE": self.patch_size,
            "STRIDE": self.stride,
            "SCENE_NUMBER": self.scene_number,
            "SCENE_HEIGHT": scene.height,
            "SCENE_WIDTH": scene.width,
            "ORBIT": scene.orbit,
            "PATCH": self.patch,
            "ROW": self.row,
            "COL": self.col,
        }
        tags = {"FORMAT": FORMAT, "VMIN": repr(self.vmin), "VMAX": repr(self.vmax)}
        tags |= {name: _quoted(text) for name, text in texts.items() if text}
        tags |= {name: str(number) for name, number in numbers.items() if number != UNKNOWN}
        return {f"{PREFIX}{name}": text for name, text in tags.items()}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> PatchTags:
        """Read the tags.

        Raises:
            ValueError: where one is missing, or has a value that it cannot have, and which one.
        """
        reader = _TagReader(tags)
        found = reader.text("FORMAT")
        if found != FORMAT:
            raise ValueError(f"expected {FORMAT_TAG}={FORMAT}, found {found!r:.50}; update sar_h5")
        pixels, polarization = reader.choice("PIXELS", PIXELS), reader.choice("POLARIZATION", POLARIZATIONS)
        bounds = Bounds(reader.real("VMIN"), reader.real("VMAX"))
        scene = SceneInfo(
            name=reader.text("SCENE"),
            path="",
            polarization=polarization,
            height=reader.number("SCENE_HEIGHT"),
            width=reader.number("SCENE_WIDTH"),
            platform=reader.text("PLATFORM"),
            mode=reader.text("MODE"),
            product_type=reader.text("PRODUCT_TYPE"),
            start_time=reader.text("START_TIME"),
            orbit=reader.number("ORBIT"),
            orbit_pass=reader.text("PASS"),
            georeference=reader.georeference(),
        )
        return cls(
            pixels="dn" if pixels == "dn" else "values",
            vmin=bounds.vmin,
            vmax=bounds.vmax,
            patch_size=reader.number("PATCH_SIZE", least=1),
            stride=reader.number("STRIDE"),
            origin=reader.text("SOURCE_DIGEST"),
            scene=scene,
            scene_number=reader.number("SCENE_NUMBER", least=0),
            patch=reader.number("PATCH", least=0),
            row=reader.number("ROW"),
            col=reader.number("COL"),
        )._checked()

    def _checked(self) -> PatchTags:
        for name, start, extent in (("row", self.row, self.scene.height), ("column", self.col, self.scene.width)):
            if UNKNOWN not in (start, extent) and start + self.patch_size > extent:
                raise ValueError(
                    f"its tags put a patch of {self.patch_size} pixels at {name} {start} of a scene that has {extent}"
                )
        return self


def shift_gcps(gcps: Iterable[Gcp], rows: int, cols: int) -> tuple[Gcp, ...]:
    """Move control points by whole pixels; where they lie on the ground, and how high, stays."""
    return tuple((row + rows, col + cols, x, y, z) for row, col, x, y, z in gcps)


class _TagReader:
    """Reads tags by their names without the prefix; every error names the tag."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = tags

    def text(self, name: str) -> str:
        text = self._tags.get(f"{PREFIX}{name}", "")
        try:
            return check_text(_unquoted(text))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"expected text in {PREFIX}{name}, found {text!r:.50}") from error

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        text = self.text(name)
        if text not in known:
            raise ValueError(f"expected {' or '.join(known)} in {PREFIX}{name}, found {text!r:.50}")
        return text

    def number(self, name: str, least: int = UNKNOWN) -> int:
        text = self._tags.get(f"{PREFIX}{name}", str(UNKNOWN))
        try:
            number = check_number(int(text[:_MOST_DIGITS]))
        except ValueError as error:
            raise ValueError(f"expected an integer in {PREFIX}{name}, found {text!r:.50}") from error
        if number < least:
            raise ValueError(f"expected at least {least} in {PREFIX}{name}, found {number}")
        return number

    def real(self, name: str) -> float:
        return self._floats(name, self._tags.get(f"{PREFIX}{name}", ""), 1)[0]

    def _floats(self, name: str, text: str, count: int) -> tuple[float, ...]:
        try:
            numbers = tuple(map(float, text[: count * _MOST_DIGITS].split()))
        except ValueError:
            numbers = ()
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            raise ValueError(f"expected {count} finite numbers in {PREFIX}{name}, found {text!r:.50}")
        return numbers

    def georeference(self) -> Georeference:
        transform = self._tags.get(f"{PREFIX}SCENE_TRANSFORM", "")
        return Georeference(
            crs=self.text("SCENE_CRS"),
            transform=self._floats("SCENE_TRANSFORM", transform, 6) if transform else Georeference.transform,
            gcps=self._gcps(),
            gcp_crs=self.text("SCENE_GCP_CRS"),
        )

    def _gcps(self) -> tuple[Gcp, ...]:
        text = self._tags.get(f"{PREFIX}SCENE_GCPS", "")
        if not text:
            return ()
        try:
            table = json.loads(text[:_MOST_GCPS_CHARACTERS])
            points = tuple((float(row), float(col), float(x), float(y), float(z)) for row, col, x, y, z in table)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"expected rows of five numbers in {PREFIX}SCENE_GCPS, found {text!r:.50}") from error
        return points


def _quoted(text: str) -> str:
    """Return a text as a tag can hold it: as it is where it is plain, else as JSON; tags are C strings within XML."""
    plain = text.isascii() and text.isprintable() and text == text.strip() and not text.startswith('"')
    return text if plain else json.dumps(text)


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    value = json.loads(text)
    return check_text(value)
