"""``convert(resume=True)``: what is gone on with, what is refused, and exactly why; nothing is trusted unseen."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sar_h5 import convert, verify
from sar_h5.errors import BadSourceError, CannotResumeError, FormatError, OutputError, OutputExistsError, SettingError
from sar_h5.info import read_info
from sar_h5.journal import Entry, Journal
from sar_h5.pending import PendingFile, journal_path
from sar_h5.sources.shards import NpyShard
from sar_h5.summary import ConversionSummary
from sar_h5.writer import FileWriter
from tests.conftest import make_dn, make_shards
from tests.raster_files import write_raster
from tests.test_pending import names

FINISH = FileWriter.finish_scene


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    directory = tmp_path / "in"
    directory.mkdir()
    make_shards(directory, counts=(5, 4, 3, 6), size=64)
    return directory


@pytest.fixture
def rasters(tmp_path: Path) -> Path:
    for number in range(3):
        for polarization in ("vv", "vh"):
            write_raster(tmp_path / "in" / f"s{number}_{polarization}.tif", make_dn(number, (200, 300)))
    return tmp_path / "in"


class Interruption:
    """Lets scenes be finished, and interrupts after so many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.finished: list[str] = []
        self.left: int | None = None
        interruption = self

        def finish(writer: FileWriter, *arguments: Any) -> None:
            FINISH(writer, *arguments)
            interruption.finished.append(Path(writer.scenes[-1].info.path).name)
            if interruption.left is not None:
                interruption.left -= 1
                if interruption.left == 0:
                    raise KeyboardInterrupt

        monkeypatch.setattr(FileWriter, "finish_scene", finish)

    def after(self, scenes: int, source: Path, out: Path, **options: Any) -> None:
        """Convert, until so many scenes are finished."""
        self.left = scenes
        with pytest.raises(KeyboardInterrupt) as caught:
            convert(source, out, resume=True, **options)
        assert caught.value.__notes__ == ["What is finished so far is kept: the same command goes on from there."]
        self.left = None
        self.finished.clear()


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interruption]:
    return Interruption(monkeypatch)


def digests(summary: ConversionSummary) -> list[str]:
    for file in summary:
        assert verify(file.path).problems == ()
    return [file.content_digest for file in summary]


def everything(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as f:
        found = {"patches": b"".join(f["patches"].id.read_direct_chunk((i, 0, 0))[1] for i in range(len(f["patches"])))}
        f.visititems(lambda name, item: found.setdefault(name, item[()].tobytes() if hasattr(item, "dtype") else b""))
    return found


# Going on


@pytest.mark.parametrize("scenes", [1, 3])
def test_shards_finished_before_are_not_read_again(
    shards: Path, tmp_path: Path, interrupt: Interruption, scenes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = digests(convert(shards, tmp_path / "once"))
    interrupt.after(scenes, shards, tmp_path / "h5")
    assert names(tmp_path / "h5") == ["vv.h5.partial", "vv.h5.partial.journal"]
    read, batches = [], NpyShard.unchecked_batches
    monkeypatch.setattr(NpyShard, "unchecked_batches", lambda self, n: read.append(self.info.path) or batches(self, n))
    summary = convert(shards, tmp_path / "h5", resume=True)
    assert len(read) == len(interrupt.finished) == 4 - scenes
    assert f"{scenes} scenes of an earlier run were checked and kept" in summary[0].notes
    assert digests(summary) == expected
    assert (summary[0].patches, summary[0].scenes, summary[0].dropped) == (18, 4, 0)
    assert names(tmp_path / "h5") == ["vv.h5"]
    assert everything(tmp_path / "h5" / "vv.h5") == everything(tmp_path / "once" / "vv.h5")


@pytest.mark.parametrize("options", [{}, {"vmin": 14.0, "vmax": 25.0}, {"encoding": "float32", "codec": "small"}])
@pytest.mark.parametrize("scenes", [2, 4])
def test_products_go_on_without_another_survey(
    rasters: Path, tmp_path: Path, interrupt: Interruption, scenes: int, options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    options = {"patch_size": 64, "stride": 50, **options}
    expected = digests(convert(rasters, tmp_path / "once", **options))
    interrupt.after(scenes, rasters, tmp_path / "h5", **options)
    monkeypatch.setattr("sar_h5.raster_job.survey_scenes", None)
    assert digests(convert(rasters, tmp_path / "h5", resume=True, jobs=3, **options)) == expected
    assert len(interrupt.finished) == 6 - scenes
    for name in ("vv.h5", "vh.h5"):  # the histogram too, though half of it was counted by another run
        assert everything(tmp_path / "h5" / name) == everything(tmp_path / "once" / name)


@pytest.mark.parametrize("scale", [1, 1e-5])
def test_float_rasters_go_on_with_the_codes_found_before(tmp_path: Path, interrupt: Interruption, scale: float) -> None:
    for number in range(3):
        levels = np.round(np.random.default_rng(number).gamma(4.4, 50, (150, 150))) + 1
        write_raster(tmp_path / "in" / f"s{number}_vv.tif", (levels / 1000 + scale).astype(np.float32))
    options = {"patch_size": 50, "stride": 50, "units": "linear"}
    expected = digests(convert(tmp_path / "in", tmp_path / "once", **options))
    interrupt.after(1, tmp_path / "in", tmp_path / "h5", **options)
    assert digests(convert(tmp_path / "in", tmp_path / "h5", resume=True, **options)) == expected
    assert everything(tmp_path / "h5" / "vv.h5") == everything(tmp_path / "once" / "vv.h5")


def test_an_interruption_after_the_last_scene_of_all_is_gone_on_with(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = digests(convert(shards, tmp_path / "once"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(PendingFile, "commit", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
        convert(shards, tmp_path / "h5", resume=True)
    summary = convert(shards, tmp_path / "h5", resume=True)
    assert digests(summary) == expected
    assert "4 scenes of an earlier run were checked and kept" in summary[0].notes


def test_without_anything_to_go_on_with_all_is_done_and_said(shards: Path, tmp_path: Path) -> None:
    summary = convert(shards, tmp_path / "h5", resume=True)
    assert "no earlier run had left anything to go on with" in summary[0].notes
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vv.h5.partial").write_bytes(b"a file without a journal")
    assert digests(convert(shards, tmp_path / "other", resume=True)) == digests(summary)
    assert names(tmp_path / "other") == ["vv.h5"]


def test_without_resume_what_is_left_is_replaced_and_nothing_is_kept(
    shards: Path, tmp_path: Path, interrupt: Interruption
) -> None:
    interrupt.after(2, shards, tmp_path / "h5")
    summary = convert(shards, tmp_path / "h5")
    assert len(interrupt.finished) == 4
    assert any("an earlier run had left unfinished; --resume would have gone on" in note for note in summary[0].notes)
    interrupt.left = 2
    with pytest.raises(KeyboardInterrupt) as caught:
        convert(shards, tmp_path / "h5", overwrite=True)
    assert not hasattr(caught.value, "__notes__")
    assert names(tmp_path / "h5") == ["vv.h5"]


def test_two_runs_at_once_are_refused_and_a_lock_that_nobody_holds_is_not(
    shards: Path, tmp_path: Path, interrupt: Interruption
) -> None:
    interrupt.after(2, shards, tmp_path / "h5")
    with (
        PendingFile(tmp_path / "h5" / "vv.h5", overwrite=False, resume=True) as pending,
        pytest.raises(OutputError, match=r"vv\.h5: another run is writing this file; wait for it"),
    ):
        convert(shards, tmp_path / "h5", resume=True)
    assert pending.unfinished
    (tmp_path / "h5" / "vv.h5.lock").write_bytes(b"")
    convert(shards, tmp_path / "h5", resume=True)
    assert names(tmp_path / "h5") == ["vv.h5"]


# Damage


def unfinished(out: Path) -> tuple[Path, Path]:
    return out / "vv.h5.partial", journal_path(out / "vv.h5.partial")


@pytest.mark.parametrize("scene", range(3))
def test_a_damaged_part_and_all_after_it_are_made_again(
    shards: Path, tmp_path: Path, interrupt: Interruption, scene: int
) -> None:
    expected = digests(convert(shards, tmp_path / "once"))
    interrupt.after(3, shards, tmp_path / "h5")
    partial, _ = unfinished(tmp_path / "h5")
    with h5py.File(partial) as f:  # sound, as it is after every scene
        first = [0, 5, 9][scene]
        place = f["patches"].id.get_chunk_info_by_coord((first + 1, 0, 0)).byte_offset + 40
    content = bytearray(partial.read_bytes())
    content[place] ^= 4
    partial.write_bytes(content)
    summary = convert(shards, tmp_path / "h5", resume=True)
    assert len(interrupt.finished) == 4 - scene
    assert any(
        "is damaged in" in note and "was written again with all that followed" in note for note in summary[0].notes
    )
    assert digests(summary) == expected


def test_a_bit_flipped_anywhere_never_changes_the_result(shards: Path, tmp_path: Path, interrupt: Interruption) -> None:
    """Also in what only HDF5 looks at, and in the journal."""
    expected = digests(convert(shards, tmp_path / "once"))
    interrupt.after(2, shards, tmp_path / "h5")
    chance = np.random.default_rng(0)
    contents = [path.read_bytes() for path in unfinished(tmp_path / "h5")]
    for trial in range(24):
        shutil.rmtree(tmp_path / "h5")
        (tmp_path / "h5").mkdir()
        for number, (path, content) in enumerate(zip(unfinished(tmp_path / "h5"), contents, strict=True)):
            damaged = bytearray(content)
            place = chance.integers(2000 if trial < 12 else len(content))
            damaged[place] ^= (1 << chance.integers(8)) * (number == trial % 2)
            path.write_bytes(damaged)
        assert digests(convert(shards, tmp_path / "h5", resume=True)) == expected


@pytest.mark.parametrize("damage", ["journal", "partial", "both"])
def test_where_nothing_can_be_used_all_is_done_again_and_said(
    shards: Path, tmp_path: Path, interrupt: Interruption, damage: str
) -> None:
    interrupt.after(2, shards, tmp_path / "h5")
    for path in unfinished(tmp_path / "h5"):
        if damage == "both" or damage in path.suffix:
            path.write_bytes(b"\0" * 3000)
    summary = convert(shards, tmp_path / "h5", resume=True)
    assert any("is of no use, so all was done again" in note for note in summary[0].notes)
    assert len(interrupt.finished) == 4


def test_a_sound_journal_of_something_else_is_refused_or_of_no_use(
    shards: Path, tmp_path: Path, interrupt: Interruption
) -> None:
    interrupt.after(2, shards, tmp_path / "h5")
    partial, journal = unfinished(tmp_path / "h5")
    entries = Journal(journal)
    about, first = entries[0], entries[1]
    entries.close()
    for fields in ({"scene": {}}, {"scene": {"path": 3}}, {"broken": []}):
        made = Journal.create(journal)
        for entry in (about, first, Entry({**fields, "partial_file_end": 0}, {"partial_file_changes": b""})):
            made.append(entry)
        made.close()
        with pytest.raises(CannotResumeError, match="its journal holds what it should not"):
            convert(shards, tmp_path / "h5", resume=True)
    made = Journal.create(journal)
    made.append(Entry({"hello": 1}))
    made.close()
    partial.write_bytes(b"")
    assert any("of no use" in note for note in convert(shards, tmp_path / "h5", resume=True)[0].notes)


# Other settings, other sources


def refused(source: Path, out: Path, **options: Any) -> str:
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(CannotResumeError, match="cannot go on with this unfinished file") as caught:
        convert(source, out, resume=True, **options)
    assert not hasattr(caught.value, "__notes__")
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stride": 40}, "stride was 50, and is now 40"),
        ({"percentiles": (2, 98)}, r"percentiles was (1, 99), and is now (2, 98)"),
        ({"vmin": 14, "vmax": 25}, "bounds was not known, and is now 14 to 25 dB"),
        ({"codec": "zstd", "clevel": 9}, "clevel was None, and is now 9; codec was fast, and is now zstd"),
        ({"bounds_from": ["s1"]}, "scenes that give the bounds was all scenes, and is now s1"),
        ({"min_valid": 0.5}, "min_valid was None, and is now 0.5"),
    ],
)
def test_other_settings_are_refused_each_difference_named(
    rasters: Path, tmp_path: Path, interrupt: Interruption, options: dict[str, Any], named: str
) -> None:
    usual = {"patch_size": 64, "stride": 50}
    interrupt.after(2, rasters, tmp_path / "h5", **usual)
    message = refused(rasters, tmp_path / "h5", **{**usual, **options})
    assert named in message
    assert message.endswith("Give the same options again; --overwrite instead of --resume starts anew")
    convert(rasters, tmp_path / "h5", resume=True, jobs=1, cache_nbytes=0, on_bad_source="skip", **usual)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000_000))


def test_other_sources_are_refused_where_bounds_came_from_all(
    rasters: Path, tmp_path: Path, interrupt: Interruption
) -> None:
    options = {"patch_size": 64, "stride": 50, "polarization": "vv"}
    interrupt.after(1, rasters, tmp_path / "h5", **options)
    touch(rasters / "s2_vv.tif")
    shutil.copy2(rasters / "s1_vv.tif", rasters / "s4_vv.tif")
    write_raster(rasters / "s1_vv.tif", make_dn(9, (100, 100)))
    (rasters / "s0_vv.tif").rename(tmp_path / "s0_vv.tif")
    message = refused(rasters, tmp_path / "h5", **options)
    assert "bounds or codes were derived from all sources:\n" in message
    assert f"  {rasters / 's0_vv.tif'} is gone\n" in message
    assert f"  {rasters / 's1_vv.tif'} has changed from " in message
    assert f"  {rasters / 's2_vv.tif'} has been written to\n" in message
    assert f"  {rasters / 's4_vv.tif'} was not there\n" in message


def test_a_finished_shard_that_has_changed_is_refused(shards: Path, tmp_path: Path, interrupt: Interruption) -> None:
    interrupt.after(2, shards, tmp_path / "h5")
    first = sorted(shards.glob("s1a*"))[0]
    status = first.stat()
    touch(first)
    assert "they are in the file already, or come before what is:\n" in refused(shards, tmp_path / "h5")
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(digests(convert(shards, tmp_path / "h5", resume=True))) == 1


def test_a_shard_not_reached_yet_may_be_repaired(shards: Path, tmp_path: Path, interrupt: Interruption) -> None:
    third = sorted(shards.glob("s1a*"))[2]
    sound, values = third.read_bytes(), np.load(third)
    expected = digests(convert(shards, tmp_path / "once"))
    values[1, 2, 3] = np.nan
    np.save(third, values)
    with pytest.raises(BadSourceError, match=third.name) as caught:
        convert(shards, tmp_path / "h5", resume=True)
    assert caught.value.__notes__
    third.write_bytes(sound)
    touch(third)
    interrupt.finished.clear()
    summary = convert(shards, tmp_path / "h5", resume=True)
    assert digests(summary) == expected
    assert len(interrupt.finished) == 2
    assert f"since this file was begun, {third} has been written to" in summary[0].notes


def test_a_broken_shard_that_was_skipped_stays_so(shards: Path, tmp_path: Path, interrupt: Interruption) -> None:
    second = sorted(shards.glob("s1a*"))[1]
    values = np.load(second)
    values[1, 2, 3] = 2
    np.save(second, values)
    expected = digests(convert(shards, tmp_path / "once", on_bad_source="skip"))
    interrupt.after(2, shards, tmp_path / "h5", on_bad_source="skip")
    summary = convert(shards, tmp_path / "h5", resume=True, on_bad_source="skip")
    assert interrupt.finished == [sorted(shards.glob("s1a*"))[3].name]
    assert digests(summary) == expected
    assert [source.path for source in summary.skipped] == [str(second)]
    shutil.rmtree(tmp_path / "h5")
    interrupt.after(2, shards, tmp_path / "h5", on_bad_source="skip")
    with pytest.raises(BadSourceError, match=second.name):
        convert(shards, tmp_path / "h5", resume=True)


def test_resume_and_overwrite_exclude_each_other(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--resume keeps what an earlier run has made, --overwrite replaces it"):
        convert(shards, tmp_path / "h5", resume=True, overwrite=True)


def test_an_unfinished_file_is_told_from_a_damaged_one(rasters: Path, tmp_path: Path, interrupt: Interruption) -> None:
    interrupt.after(1, rasters, tmp_path / "h5", patch_size=64, stride=50, polarization="vv")
    partial = tmp_path / "h5" / "vv.h5.partial"
    words = "expected a finished file, found an unfinished conversion; sar-h5 convert ... --resume goes on with it"
    (problem,) = verify(partial).problems
    assert (problem.place, problem.message) == ("/", words)
    with pytest.raises(FormatError, match=re.escape(f"{partial}: {words}")):
        read_info(partial)
    # Without the journal nothing can go on with it.
    (tmp_path / "h5" / "vv.h5.partial.journal").rename(tmp_path / "journal")
    (problem,) = verify(partial).problems
    assert problem.place == "/@format"


# Finished files


def test_a_file_that_is_finished_is_kept_and_the_other_one_made(rasters: Path, tmp_path: Path) -> None:
    options = {"patch_size": 64, "stride": 50}
    expected = convert(rasters, tmp_path / "h5", **options)
    kept = (tmp_path / "h5" / "vh.h5").read_bytes()
    (tmp_path / "h5" / "vv.h5").unlink()
    summary = convert(rasters, tmp_path / "h5", resume=True, **options)
    assert digests(summary) == digests(expected)
    assert [file.polarization for file in summary] == ["vv", "vh"]
    assert (tmp_path / "h5" / "vh.h5").read_bytes() == kept
    assert summary["vh"].notes == ("finished by an earlier run of the same command, and kept",)
    again = convert(rasters, tmp_path / "h5", resume=True, **options)
    assert digests(again) == digests(expected)
    assert "kept" in again.to_text()


def test_a_finished_file_of_anything_else_is_refused(rasters: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"patch_size": 64, "stride": 50, "polarization": "vv"}
    convert(rasters, tmp_path / "h5", **options)

    def reason(**others: Any) -> str:
        with pytest.raises(
            OutputExistsError, match="is there already, and not the result of this conversion"
        ) as caught:
            convert(rasters, tmp_path / "h5", resume=True, **{**options, **others})
        return str(caught.value)

    assert "patch_size=64, stride=50, polarizations=('vv',)\", and this is" in reason(min_valid=0.3)
    touch(rasters / "s1_vv.tif")
    os.utime(rasters / "s1_vv.tif", ns=(1, (tmp_path / "h5" / "vv.h5").stat().st_mtime_ns + 1))
    assert "s1_vv.tif has been written to since" in reason()
    (rasters / "s1_vv.tif").rename(tmp_path / "s1_vv.tif")
    assert "s1_vv.tif, which is in it, is gone" in reason()
    shutil.copy2(rasters / "s2_vv.tif", rasters / "s1_vv.tif")
    shutil.copy2(rasters / "s2_vv.tif", rasters / "s7_vv.tif")
    assert "s7_vv.tif is not in it" in reason()
    (tmp_path / "h5" / "vv.h5").write_bytes(b"something else")
    assert "not an HDF5 file (it begins with b'somethin')" in reason()
