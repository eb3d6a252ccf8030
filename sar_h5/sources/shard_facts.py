"""What exported shards say of their scenes beside their metadata: what plain shards have lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.errors import SourceError
from sar_h5.schema import UNKNOWN
from sar_h5.sources.naming import POLARIZATIONS
from sar_h5.sources.scene import Georeference, Places, SceneInfo

KEY = "sar_h5"
"""Where all of it stands in ``metadata.npy``, so that nobody else's key means anything here."""

VERSION = 1

_TEXTS = ("start_time", "platform", "mode", "product_type")
_NUMBERS = ("height", "width", "orbit")
_MOST = int(np.iinfo(np.int32).max)


@dataclass(frozen=True)
class ShardFacts:
    """What is known of one shard's scene.

    Attributes:
        info: of the scene; its path is not told.
        places: int32 (n, 2), row and column of the top-left corner of each patch, -1 where unknown; None where all are.
    """

    info: SceneInfo
    places: Places | None = None

    def check_fits(self, count: int, patch_size: int) -> None:
        """Raise SourceError where a shard of so many patches cannot be the one that this is about."""
        if self.places is None:
            return
        if len(self.places) != count:
            raise SourceError(f"metadata.npy tells the places of {len(self.places)} patches, the shard holds {count}")
        for axis, name, extent in ((0, "row", self.info.height), (1, "column", self.info.width)):
            last = int(self.places[:, axis].max(initial=UNKNOWN))
            if extent != UNKNOWN and last != UNKNOWN and last + patch_size > extent:
                raise SourceError(
                    f"metadata.npy puts a patch of {patch_size} pixels at {name} {last} of a scene that has {extent}"
                )


def shard_facts_data(polarization: str, files: Sequence[str], facts: Sequence[ShardFacts]) -> dict[str, object]:
    """Write facts down as plain data, to stand under :data:`KEY`; the inverse of :func:`find_shard_facts`.

    Args:
        polarization: of all shards.
        files: their names within the directory.
        facts: about each.
    """
    scenes = [_to_data(name, fact) for name, fact in zip(files, facts, strict=True)]
    return {"version": VERSION, "polarization": polarization, "scenes": scenes}


def _to_data(file: str, facts: ShardFacts) -> dict[str, object]:
    info, place = facts.info, facts.info.georeference
    data: dict[str, object] = {"file": file, "name": info.name, "pass": info.orbit_pass}
    data |= {name: getattr(info, name) for name in (*_TEXTS, *_NUMBERS)}
    data |= {"crs": place.crs, "gcp_crs": place.gcp_crs, "transform": np.array(place.transform, dtype=np.float64)}
    data["gcps"] = np.array(place.gcps, dtype=np.float64).reshape(-1, schema.GCP_TABLE.width)
    if facts.places is not None:
        rows, cols = facts.places.T
        data |= {"rows": np.ascontiguousarray(rows), "cols": np.ascontiguousarray(cols)}
    return data


def find_shard_facts(metadata: Mapping[str, object], origin: str) -> dict[str, ShardFacts | str]:
    """Find what metadata say of scenes.

    Args:
        metadata: the content of ``metadata.npy``.
        origin: its path, for messages.

    Returns:
        By the name of the shard's file the facts, or why they cannot be used; empty where nothing is told.

    Raises:
        SourceError: where what stands under :data:`KEY` is no such thing.
    """
    data = metadata.get(KEY)
    if data is None:
        return {}
    if (
        not isinstance(data, Mapping)
        or not _is_version(data.get("version"))
        or not isinstance(data.get("scenes"), list)
    ):
        raise SourceError(
            f"{origin}: expected a dict with version {VERSION} and a list of scenes under {KEY!r}, found {data!r:.99}; "
            "update sar_h5, or remove that key to take the shards as plain ones"
        )
    polarization = data.get("polarization")
    if not isinstance(polarization, str) or polarization not in POLARIZATIONS:
        raise SourceError(
            f"{origin}: expected polarization {', '.join(POLARIZATIONS)} under {KEY!r}, found {polarization!r:.20}"
        )
    found: dict[str, ShardFacts | str] = {}
    for entry in data["scenes"]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("file"), str):
            raise SourceError(f"{origin}: expected scenes with the name of a file under {KEY!r}, found {entry!r:.100}")
        try:
            found[entry["file"]] = _from_data(entry, polarization)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            found[entry["file"]] = f"what {origin} says of its scene cannot be used: {what}"
    return found


def _is_version(value: object) -> bool:
    return isinstance(value, int) and value == VERSION


def _from_data(entry: Mapping[str, Any], polarization: str) -> ShardFacts:
    info = SceneInfo(
        name=check_text(entry["name"]),
        path="",
        polarization=polarization,
        orbit_pass=check_text(entry["pass"]),
        georeference=Georeference(
            crs=check_text(entry["crs"]),
            transform=tuple(_table(entry["transform"], 6)[0].tolist()),
            gcps=tuple(map(tuple, _table(entry["gcps"], schema.GCP_TABLE.width).tolist())),
            gcp_crs=check_text(entry["gcp_crs"]),
        ),
    )
    texts = {name: check_text(entry[name]) for name in _TEXTS}
    numbers = {name: check_number(entry[name]) for name in _NUMBERS}
    info = dataclasses.replace(info, **texts, **numbers)  # type: ignore[arg-type]  # mypy takes one type for all
    if "rows" not in entry and "cols" not in entry:
        return ShardFacts(info)
    rows, cols = _integers(entry["rows"]), _integers(entry["cols"])
    if len(rows) != len(cols):
        raise ValueError(f"expected as many rows as columns, found {len(rows)} and {len(cols)}")
    return ShardFacts(info, np.stack([rows, cols], axis=1))


def check_text(value: object) -> str:
    """Return a text that a file can hold; raise TypeError or ValueError where it is none."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    value.encode()  # UnicodeEncodeError, a ValueError, of half a surrogate pair
    return value


def check_number(value: object) -> int:
    """Return a number of pixels or of an orbit, -1 where unknown; raise ValueError where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not UNKNOWN <= value <= _MOST:
        raise ValueError(f"expected an integer from -1 to {_MOST}, found {value!r:.50}")
    return int(value)


def _table(value: object, width: int) -> npt.NDArray[np.float64]:
    if not isinstance(value, np.ndarray) or value.dtype != np.float64 or value.size % width:
        raise ValueError(f"expected float64 in rows of {width}, found {value!r:.50}")
    return value.reshape(-1, width)


def _integers(value: object) -> npt.NDArray[np.int32]:
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind != "i":
        raise ValueError(f"expected rows and columns as plain arrays of integers, found {value!r:.50}")
    if len(value) and not UNKNOWN <= value.min() <= value.max() <= _MOST:
        raise ValueError(f"expected rows and columns from -1 to {_MOST}, found {value.min()} to {value.max()}")
    return value.astype(np.int32)
