"""What an unfinished file says about its conversion comes back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sar_h5.compression import Codec
from sar_h5.conversion_record import ConversionRecord, Undertaking
from sar_h5.encoding import Storage, float_storage
from sar_h5.errors import BadSource, FormatError
from sar_h5.job import Plan, SavedJob
from sar_h5.journal import Entry
from sar_h5.radiometry import Bounds
from sar_h5.settings import ConvertSettings
from sar_h5.source_state import SourceState

LUT = np.linspace(0, 1, 300, dtype=np.float32)
CODES = Storage("palette", LUT, 65535, np.dtype(np.uint16), from_dn=True, reason="why not")
COUNTS = np.arange(1 << 16, dtype=np.uint64) << np.uint64(40)


def make(storage: Storage, counts: np.ndarray | None) -> ConversionRecord:
    plan = Plan(Bounds(14.7700000000001, 24.54, "ünïcode"), storage, Codec("zstd", 3, "bit"), 123456789012, 96)
    sources = (SourceState("a", 1, 2, "x"), SourceState("b\udcff", 3, 1 << 61, "y"))
    undertaking = Undertaking.of(ConvertSettings(stride=64, bounds_file=None), {"more": "words"}, sources)
    saved = SavedJob(plan, "dn", True, ("scene",), counts)
    return ConversionRecord(undertaking, saved, ("a", "b\udcff"), (BadSource("c", "broken"),))


@pytest.mark.parametrize("storage", [CODES, float_storage("too many")])
@pytest.mark.parametrize("counts", [None, COUNTS])
def test_a_record_comes_back_from_the_bytes_of_its_entry(storage: Storage, counts: np.ndarray | None) -> None:
    record = make(storage, counts)
    back = ConversionRecord.from_entry(Entry.from_bytes(record.to_entry().to_bytes()))
    assert back.undertaking == record.undertaking
    assert back.undertaking.differences(record.undertaking) == []
    assert (back.scenes, back.broken) == (record.scenes, record.broken)
    assert (back.job.units, back.job.from_pixels, back.job.bounds_scenes) == ("dn", True, ("scene",))
    plan = back.job.plan
    assert plan.block_size == 96
    assert (plan.bounds, plan.codec, plan.estimated_nbytes) == (
        record.job.plan.bounds, record.job.plan.codec, 123456789012,
    )  # fmt: skip
    assert (plan.storage.dtype, plan.storage.reason, plan.storage.invalid_code) == (
        storage.dtype, storage.reason, storage.invalid_code,
    )  # fmt: skip
    for found, expected in ((plan.storage.lut, storage.lut), (back.job.counts, counts)):
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("entry", [Entry({}), Entry({"terms": 1}), Entry(dict(make(CODES, None).to_entry().fields))])
def test_anything_else_is_no_record(entry: Entry) -> None:
    if "storage" in entry.fields:
        entry = Entry({**entry.fields, "bounds": ["low", "high", "x"]}, {"lut": b"not compressed"})
    with pytest.raises(FormatError, match="expected the record of a conversion"):
        ConversionRecord.from_entry(entry)


def test_what_decides_nothing_may_differ() -> None:
    usual = Undertaking.of(ConvertSettings(), {}, ())
    other = ConvertSettings(jobs=3, cache_nbytes=0, overwrite=True, on_bad_source="skip", polarizations=("vv",))
    assert Undertaking.of(other, {}, ()).differences(usual) == []
    assert Undertaking.of(ConvertSettings(codec="small"), {"sar_h5": "9"}, ()).differences(usual) == [
        "codec was fast, and is now small",
        "sar_h5 was not known, and is now 9",
    ]


def test_every_setting_decides_or_is_known_not_to(tmp_path: Path) -> None:
    (tmp_path / "bounds.json").write_text("{}")
    changed = ConvertSettings(
        patch_size=3, stride=3, min_valid=0.3, valid_measure="pixels", percentiles=(3, 97), vmin=None, vmax=None,
        bounds_file=tmp_path / "bounds.json", units="db", encoding="dn", codec="zstd", clevel=1, shuffle="bit",
    )  # fmt: skip
    found = Undertaking.of(changed, {}, ()).differences(Undertaking.of(ConvertSettings(), {}, ()))
    assert len(found) == 11
