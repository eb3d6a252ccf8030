"""What a product's own documents tell about an acquisition: annotation and manifest.

Element names: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 6 (annotation data sets), and the SAFE
manifest schema that comes with every product.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

# Expat has bounded entity expansion since 2.4.1, older than every supported Python; nothing else of a document is
# trusted.
from xml.etree import ElementTree as ET

from sar_h5.errors import SourceError

Facts = dict[str, str]


_Wanted = dict[str, tuple[str, Callable[[str], str]]]


def read_annotation(document: bytes, origin: str) -> Facts:
    """Read the acquisition's facts from the head of an annotation document.

    Args:
        document: XML of ``annotation/*.xml``; only its first part is parsed.
        origin: where it comes from, for the error.

    Returns:
        Whichever of ``platform``, ``mode``, ``product_type``, ``polarization``, ``start_time``, ``orbit`` and
        ``orbit_pass`` it holds, as text.

    Raises:
        SourceError: where it is not XML, or in an encoding that is not known.
    """
    wanted: _Wanted = {
        "missionId": ("platform", str.upper),
        "mode": ("mode", str.upper),
        "productType": ("product_type", str.upper),
        "polarisation": ("polarization", str.lower),
        "startTime": ("start_time", str),
        "absoluteOrbitNumber": ("orbit", str),
        "pass": ("orbit_pass", str.upper),
    }
    return _collect(document, wanted, origin)


def read_manifest(document: bytes, origin: str) -> Facts:
    """Read the acquisition's facts from ``manifest.safe``; arguments, result and errors as :func:`read_annotation`."""
    wanted: _Wanted = {
        "mode": ("mode", str.upper),
        "productType": ("product_type", str.upper),
        "startTime": ("start_time", str),
        "orbitNumber": ("orbit", str),
        "pass": ("orbit_pass", str.upper),
    }
    return _collect(document, wanted, origin)


def _collect(document: bytes, wanted: _Wanted, origin: str) -> Facts:
    facts: Facts = {}
    try:
        for name, text in _leaves(document):
            key, normalize = wanted.get(name, ("", str))
            if key and text:
                facts.setdefault(key, normalize(text))
            if len(facts) == len(wanted):
                break
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two: encodings that expat does not know
        raise SourceError(f"{origin}: expected an XML document, found {error}") from error
    return facts


def _leaves(document: bytes) -> Iterator[tuple[str, str]]:
    for _, element in ET.iterparse(io.BytesIO(document)):
        yield element.tag.rpartition("}")[2], (element.text or "").strip()
        element.clear()
