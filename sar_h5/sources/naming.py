"""What names tell: polarization tokens, Sentinel-1 product names and measurement names.

Product names: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 3.4.1; measurement names: section 3.4.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

POLARIZATIONS = ("vv", "vh", "hh", "hv")
"""All there are, in the order in which files are made."""

_TOKEN = re.compile(r"(?<![a-z0-9])(vv|vh|hh|hv)(?![a-z0-9])", re.IGNORECASE)

_PRODUCT = re.compile(
    r"(?P<platform>S1[A-D])_(?P<mode>IW|EW|WV|S[1-6]|EN|N[1-6])_(?P<type>RAW|SLC|GRD|OCN)(?P<resolution>[FHM_])_"
    r"(?P<level>[0-2])(?P<klass>[SA])(?P<pol>SH|SV|DH|DV|HH|HV|VV|VH)_"
    r"(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})_(?P<orbit>\d{6})_(?P<datatake>[0-9A-F]{6})_(?P<id>[0-9A-F]{4})"
)

_MEASUREMENT = re.compile(
    r"(?P<platform>s1[a-d])-(?P<swath>iw\d?|ew\d?|wv\d?|s[1-6]|en|n[1-6])-(?P<type>raw|slc|grd|ocn)-"
    r"(?P<pol>vv|vh|hh|hv)-(?P<start>\d{8}t\d{6})-(?P<stop>\d{8}t\d{6})-(?P<orbit>\d{6})-(?P<datatake>[0-9a-f]{6})"
    r"(?P<image>-\d{3}(?!\d))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class NameFacts:
    """What a product or measurement name tells.

    Attributes:
        platform: "S1A" and so on.
        mode: acquisition mode, "IW" and so on.
        product_type: "GRD", "SLC", "OCN" or "RAW".
        start_time: start of sensing, ISO 8601, UTC.
        orbit: absolute orbit number.
    """

    platform: str
    mode: str
    product_type: str
    start_time: str
    orbit: int


def find_polarization(name: str) -> str | None:
    """Return the one polarization that stands alone in a file name ("...-vv-...", "..._VH.tif"), else None.

    A name may repeat it; a name with two different ones tells nothing.
    """
    found = {token.lower() for token in _TOKEN.findall(name)}
    return found.pop() if len(found) == 1 else None


def parse_name(name: str) -> NameFacts | None:
    """Read a product name (with or without ``.SAFE``) or a measurement name; None where it is neither."""
    match = _PRODUCT.search(name) or _MEASUREMENT.search(name)
    if match is None:
        return None
    facts = match.groupdict()
    mode = (facts.get("mode") or facts["swath"][:2]).upper()
    return NameFacts(
        platform=facts["platform"].upper(),
        mode=mode,
        product_type=facts["type"].upper(),
        start_time=iso_time(facts["start"]),
        orbit=int(facts["orbit"]),
    )


def find_product_name(text: str) -> str | None:
    """Return the product name within a path or directory name, without ``.SAFE``; None where there is none."""
    match = _PRODUCT.search(text)
    return match.group(0) if match else None


def iso_time(compact: str) -> str:
    """Turn ``20210119T031653`` into ``2021-01-19T03:16:53``."""
    date, time = compact.upper().split("T")
    return f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}"


def scene_name(stem: str) -> str:
    """Name the scene of a raster or shard after its file, the same for every polarization of one acquisition.

    The polarization token goes with one separator, and so does the image number that differs between the
    polarizations in measurement names. Empty where the stem is nothing but the token ("vv").
    """
    measurement = _MEASUREMENT.search(stem)
    if measurement and measurement.group("image"):
        stem = stem[: measurement.start("image")] + stem[measurement.end("image") :]
    return re.sub(rf"[-_. ]?{_TOKEN.pattern}", "", stem, flags=re.IGNORECASE).strip("-_. ")
