"""What exported shards say of their scenes: written as plain data, read again exactly, or refused by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from sar_h5 import convert, export_shards
from sar_h5.errors import CannotResumeError, SourceError
from sar_h5.sources.scene import Georeference, SceneInfo
from sar_h5.sources.shard_facts import KEY, ShardFacts, find_shard_facts, shard_facts_data
from sar_h5.unpickle import loads_plain
from tests.exported_files import make_file

PLACE = Georeference("EPSG:32633", (10.0, 0.0, 5e5, 0.0, -10.0, 4.6e6), ((0.5, 1.25, 10.0, 45.0, 3.0),), "EPSG:4326")
FACTS = [
    ShardFacts(SceneInfo("S1A", "", "vh", 90, 80, "S1A", "IW", "GRD", "2021-01-19T03:16:53", 36201, "DESCENDING", PLACE),
               np.array([[0, 0], [0, 8], [-1, -1]], np.int32)),
    ShardFacts(SceneInfo("\N{SNOWMAN}/../x\0", "", "vh")),
]  # fmt: skip


def as_read(data: object) -> object:
    """Data as they come out of a pickle that is not trusted."""
    stream = io.BytesIO()
    np.save(stream, np.array(data, dtype=object), allow_pickle=True)
    content = stream.getvalue()
    array = loads_plain(content[content.index(b"\n") + 1 :], "metadata.npy")
    assert isinstance(array, np.ndarray)
    return array.item()


def test_facts_are_plain_data_and_read_as_they_were_written() -> None:
    data = as_read({KEY: shard_facts_data("vh", ["a.npy", "b.npy"], FACTS)})
    assert isinstance(data, dict)
    found = find_shard_facts(data, "metadata.npy")
    assert list(found) == ["a.npy", "b.npy"]
    for read, written in zip(found.values(), FACTS, strict=True):
        assert isinstance(read, ShardFacts)
        assert repr(read.info) == repr(written.info)  # NaN stands for no transform
        np.testing.assert_array_equal(read.places, written.places)  # type: ignore[arg-type]


def test_metadata_without_facts_have_none() -> None:
    assert find_shard_facts({"file_index": [], "vmin": 1, "polarization": "vv"}, "metadata.npy") == {}


def test_facts_fit_a_shard_of_their_own_only() -> None:
    FACTS[0].check_fits(3, 64)
    FACTS[1].check_fits(99, 64)
    with pytest.raises(SourceError, match="tells the places of 3 patches, the shard holds 4"):
        FACTS[0].check_fits(4, 64)
    with pytest.raises(SourceError, match="73 pixels at column 8 of a scene that has 80"):
        FACTS[0].check_fits(3, 73)


def test_an_interrupted_conversion_is_not_gone_on_with_where_patches_have_moved(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_shards(make_file(products, tmp_path / "h5"), tmp_path / "shards")
    with monkeypatch.context() as patched:
        patched.setattr("sar_h5.writer.FileWriter.finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            convert(tmp_path / "shards", tmp_path / "again", resume=True)
    metadata = np.load(tmp_path / "shards" / "metadata.npy", allow_pickle=True).item()
    metadata[KEY]["scenes"][0]["rows"][0] += 1
    np.save(tmp_path / "shards" / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    with pytest.raises(CannotResumeError, match="places of the patches was those of checksum"):
        convert(tmp_path / "shards", tmp_path / "again", resume=True)
