"""The manifest of a simulated product: what was acquired, when, where, and the list of files.

Element names and their order are those of real products; what would say nothing about a simulated scene
(processing history, slices, schemas) is left out. Every value is checked by the settings or computed here, so
none needs escaping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sar_h5.sources.simulated_scene import POLARIZATION_CODES, SimulatedScene, footprint

SOFTWARE = "sar_h5 simulator"
"""What made the product; it stands where the real ones name their processor."""

_MANIFEST = """<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:gml="http://www.opengis.net/gml"
    xmlns:safe="http://www.esa.int/safe/sentinel-1.0"
    xmlns:s1="http://www.esa.int/safe/sentinel-1.0/sentinel-1"
    xmlns:s1sarl1="http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-1"
    version="esa/safe/sentinel-1.0/sentinel-1/sar/level-1/grd/standard/iw{channels}p">
  <informationPackageMap>
    <xfdu:contentUnit unitType="SAFE Archive Information Package" textInfo="Sentinel-1 IW Level-1 GRD Product"
        dmdID="acquisitionPeriod platform generalProductInformation measurementOrbitReference
        measurementFrameSet" pdiID="processing">
{units}
    </xfdu:contentUnit>
  </informationPackageMap>
  <metadataSection>
{annotations}
    <metadataObject ID="processing" classification="PROVENANCE" category="PDI">
      <metadataWrap mimeType="text/xml" vocabularyName="SAFE" textInfo="Processing"><xmlData>
        <safe:processing name="GRD Post Processing" start="{processed}" stop="{processed}">
          <safe:facility name="none" organisation="none" site="none" country="none">
            <safe:software name="{software}" version="1"/>
          </safe:facility>
        </safe:processing>
      </xmlData></metadataWrap>
    </metadataObject>
    <metadataObject ID="platform" classification="DESCRIPTION" category="DMD">
      <metadataWrap mimeType="text/xml" vocabularyName="SAFE" textInfo="Platform Description"><xmlData>
        <safe:platform>
          <safe:familyName>SENTINEL-1</safe:familyName>
          <safe:number>{number}</safe:number>
          <safe:instrument>
            <safe:familyName abbreviation="SAR">Synthetic Aperture Radar</safe:familyName>
            <safe:extension>
              <s1sarl1:instrumentMode>
                <s1sarl1:mode>IW</s1sarl1:mode>
                <s1sarl1:swath>IW</s1sarl1:swath>
              </s1sarl1:instrumentMode>
            </safe:extension>
          </safe:instrument>
        </safe:platform>
      </xmlData></metadataWrap>
    </metadataObject>
    <metadataObject ID="measurementOrbitReference" classification="DESCRIPTION" category="DMD">
      <metadataWrap mimeType="text/xml" vocabularyName="SAFE" textInfo="Orbit Reference"><xmlData>
        <safe:orbitReference>
          <safe:orbitNumber type="start">{scene.orbit}</safe:orbitNumber>
          <safe:orbitNumber type="stop">{scene.orbit}</safe:orbitNumber>
          <safe:relativeOrbitNumber type="start">{scene.relative_orbit}</safe:relativeOrbitNumber>
          <safe:relativeOrbitNumber type="stop">{scene.relative_orbit}</safe:relativeOrbitNumber>
          <safe:extension>
            <s1:orbitProperties>
              <s1:pass>{scene.orbit_pass}</s1:pass>
            </s1:orbitProperties>
          </safe:extension>
        </safe:orbitReference>
      </xmlData></metadataWrap>
    </metadataObject>
    <metadataObject ID="generalProductInformation" classification="DESCRIPTION" category="DMD">
      <metadataWrap mimeType="text/xml" vocabularyName="SAFE" textInfo="General Product Information"><xmlData>
        <s1sarl1:standAloneProductInformation>
          <s1sarl1:missionDataTakeID>{scene.data_take}</s1sarl1:missionDataTakeID>
{polarizations}
          <s1sarl1:productClass>S</s1sarl1:productClass>
          <s1sarl1:productClassDescription>SAR Standard L1 Product</s1sarl1:productClassDescription>
          <s1sarl1:productType>GRD</s1sarl1:productType>
        </s1sarl1:standAloneProductInformation>
      </xmlData></metadataWrap>
    </metadataObject>
    <metadataObject ID="acquisitionPeriod" classification="DESCRIPTION" category="DMD">
      <metadataWrap mimeType="text/xml" vocabularyName="SAFE" textInfo="Acquisition Period"><xmlData>
        <safe:acquisitionPeriod>
          <safe:startTime>{start}</safe:startTime>
          <safe:stopTime>{stop}</safe:stopTime>
        </safe:acquisitionPeriod>
      </xmlData></metadataWrap>
    </metadataObject>
    <metadataObject ID="measurementFrameSet" classification="DESCRIPTION" category="DMD">
      <metadataWrap mimeType="text/xml" vocabularyName="SAFE" textInfo="Frame Set"><xmlData>
        <safe:frameSet>
          <safe:frame>
            <safe:footPrint srsName="http://www.opengis.net/gml/srs/epsg.xml#4326">
              <gml:coordinates>{corners}</gml:coordinates>
            </safe:footPrint>
          </safe:frame>
        </safe:frameSet>
      </xmlData></metadataWrap>
    </metadataObject>
  </metadataSection>
  <dataObjectSection>
{files}
  </dataObjectSection>
</xfdu:XFDU>
"""

_METADATA_UNIT = """      <xfdu:contentUnit unitType="Metadata Unit" repID="{file.schema}">
        <dataObjectPointer dataObjectID="{file.identifier}"/>
      </xfdu:contentUnit>"""

_MEASUREMENT_UNIT = """      <xfdu:contentUnit unitType="Measurement Data Unit" repID="{file.schema}"
          dmdID="product{file.identifier}Annotation noise{file.identifier}Annotation
          calibration{file.identifier}Annotation">
        <dataObjectPointer dataObjectID="{file.identifier}"/>
      </xfdu:contentUnit>"""

_ANNOTATION = """    <metadataObject ID="{file.identifier}Annotation"
        classification="DESCRIPTION" category="DMD">
      <dataObjectPointer dataObjectID="{file.identifier}"/>
    </metadataObject>"""

_FILE = """    <dataObject ID="{file.identifier}" repID="{file.schema}">
      <byteStream mimeType="{file.mime_type}" size="{file.nbytes}">
        <fileLocation locatorType="URL" href="./{file.place}"/>
        <checksum checksumName="MD5">{file.md5}</checksum>
      </byteStream>
    </dataObject>"""


@dataclass(frozen=True)
class ProductFile:
    """One file of a product, as the manifest lists it.

    Attributes:
        place: its path in the product, with forward slashes.
        schema: what it is: "s1Level1ProductSchema", "s1Level1CalibrationSchema", "s1Level1NoiseSchema" or
            "s1Level1MeasurementSchema".
        nbytes: its size.
        md5: hexadecimal MD5 of its bytes.
    """

    place: str
    schema: str
    nbytes: int
    md5: str

    @property
    def identifier(self) -> str:
        """Name of the file within the manifest, made as in real ones: ``products1aiwgrdvv2021...``."""
        # Names of calibration and noise documents begin with what they are; those of annotations do not.
        prefix = "product" if self.schema == "s1Level1ProductSchema" else ""
        return prefix + self.place.rpartition("/")[2].rpartition(".")[0].replace("-", "")

    @property
    def is_image(self) -> bool:
        """Whether it is a measurement, no document about one."""
        return self.schema == "s1Level1MeasurementSchema"

    @property
    def mime_type(self) -> str:
        """Its type in the manifest."""
        return "application/octet-stream" if self.is_image else "text/xml"


def manifest_xml(scene: SimulatedScene, files: Sequence[ProductFile]) -> str:
    """Write ``manifest.safe`` for a scene and the files of its product."""
    tag = "s1sarl1:transmitterReceiverPolarisation"
    return _MANIFEST.format(
        scene=scene,
        channels=POLARIZATION_CODES[scene.polarizations][0].lower(),
        processed=(scene.stop + timedelta(hours=3)).isoformat(timespec="microseconds"),
        software=SOFTWARE,
        number=scene.platform[-1],
        polarizations="\n".join(f"          <{tag}>{name}</{tag}>" for name in scene.polarizations),
        start=scene.start.isoformat(timespec="microseconds"),
        stop=scene.stop.isoformat(timespec="microseconds"),
        corners=" ".join(f"{corner.latitude:.6f},{corner.longitude:.6f}" for corner in footprint(scene)),
        units="\n".join((_MEASUREMENT_UNIT if file.is_image else _METADATA_UNIT).format(file=file) for file in files),
        annotations="\n".join(_ANNOTATION.format(file=file) for file in files if not file.is_image),
        files="\n".join(_FILE.format(file=file) for file in files),
    )
