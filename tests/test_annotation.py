from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from sar_h5.errors import SourceError
from sar_h5.sources.annotation import read_annotation, read_manifest

ANNOTATION = b"""<?xml version="1.0" encoding="UTF-8"?>
<product><adsHeader><missionId>s1a</missionId><productType>GRD</productType><polarisation>VH</polarisation>
<mode>IW</mode><swath>IW</swath><startTime>2021-01-19T03:16:53.525</startTime><stopTime>x</stopTime>
<absoluteOrbitNumber>036201</absoluteOrbitNumber></adsHeader>
<generalAnnotation><productInformation><pass>Descending</pass></productInformation></generalAnnotation></product>"""
FACTS = {
    "platform": "S1A",
    "mode": "IW",
    "product_type": "GRD",
    "polarization": "vh",
    "start_time": "2021-01-19T03:16:53.525",
    "orbit": "036201",
    "orbit_pass": "DESCENDING",
}


@pytest.fixture(scope="module")
def real_safe(real_data: Path) -> zipfile.Path:
    archive = next((real_data / "pyrosar").glob("*.zip"))
    return zipfile.Path(archive, f"{archive.stem}.SAFE/")


def test_the_head_of_an_annotation_tells_the_facts() -> None:
    assert read_annotation(ANNOTATION, "a.xml") == FACTS


def test_only_the_head_is_read() -> None:
    head = ANNOTATION[: ANNOTATION.index(b"</productInformation>")]
    assert read_annotation(head + b"<broken", "a.xml") == FACTS


@pytest.mark.parametrize(("polarization", "number"), [("vv", "001"), ("vh", "002")])
def test_a_real_annotation_is_read(real_safe: zipfile.Path, polarization: str, number: str) -> None:
    name = f"s1a-iw-grd-{polarization}-20210119t031653-20210119t031718-036201-043ed0-{number}.xml"
    assert read_annotation((real_safe / "annotation" / name).read_bytes(), name) == {
        "platform": "S1A",
        "mode": "IW",
        "product_type": "GRD",
        "polarization": polarization,
        "start_time": "2021-01-19T03:16:53.799379",
        "orbit": "36201",
        "orbit_pass": "DESCENDING",
    }


def test_a_real_manifest_is_read(real_safe: zipfile.Path) -> None:
    assert read_manifest((real_safe / "manifest.safe").read_bytes(), "manifest.safe") == {
        "mode": "IW",
        "product_type": "GRD",
        "start_time": "2021-01-19T03:16:53.799379",
        "orbit": "36201",
        "orbit_pass": "DESCENDING",
    }


def test_elements_count_whatever_their_namespace() -> None:
    document = b'<m xmlns:s1="http://a"><s1:mode> IW\n</s1:mode><pass xmlns="http://b">ascending</pass></m>'
    assert read_manifest(document, "m") == {"mode": "IW", "orbit_pass": "ASCENDING"}


def test_the_first_of_several_elements_counts_and_empty_ones_do_not() -> None:
    assert read_annotation(b"<a><mode/><mode>IW</mode><mode>EW</mode></a>", "a") == {"mode": "IW"}


def test_a_document_without_facts_tells_none() -> None:
    assert read_annotation(b"<html><body>404</body></html>", "a") == {}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\x00" * 100,
        b"not XML",
        b"<a><mode>IW</mode>",
        b"<a><mode>IW</a>",
        b"<?xml version='1.0' encoding='klingon'?><a/>",
        b"<?xml version='1.0' encoding='gbk'?><a/>",
        b"<a>\xff\xfe</a>",
        b"<a>&undefined;</a>",
        b"<a>" * 300_000,
    ],
)
def test_what_is_no_xml_is_refused_with_its_place(document: bytes) -> None:
    with pytest.raises(SourceError, match=r"annotation/x\.xml: expected an XML document, found \w"):
        read_annotation(document, "annotation/x.xml")


def test_entities_that_multiply_are_refused() -> None:
    entities = b"".join(b"<!ENTITY e%d '%s'>" % (n, b"&e%d;" % (n - 1) * 20) for n in range(1, 10))
    bomb = b"<!DOCTYPE a [<!ENTITY e0 '" + b"x" * 100 + b"'>" + entities + b"]><a><mode>&e9;</mode></a>"
    with pytest.raises(SourceError, match="amplification"):
        read_annotation(bomb, "a.xml")


def test_a_file_that_an_entity_names_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    document = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{secret.as_uri()}">]><a><mode>&e;</mode></a>'
    try:
        facts = read_annotation(document.encode(), "a.xml")
    except SourceError as error:
        assert "hidden" not in str(error)  # noqa: PT017 - either way is right, as long as the text stays out
    else:
        assert "HIDDEN" not in facts.values()


def test_deeply_nested_elements_are_harmless() -> None:
    assert read_annotation(b"<a>" * 50_000 + b"</a>" * 50_000, "a") == {}
