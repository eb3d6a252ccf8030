"""Files in the making: what was committed is there, whatever happened since, and can be taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5.errors import FormatError, OutputError
from sar_h5.journal import Entry
from sar_h5.partial_file import PartialFile
from sar_h5.pending import journal_path

STEPS = 6


def grow(part: PartialFile, number: int) -> None:
    """Add a dataset, chunks to another one, and change an attribute."""
    file = part.file
    file.attrs["step"] = number
    file[f"more{number}"] = np.random.default_rng(number).integers(0, 256, 3000, dtype=np.uint8)
    if "rows" not in file:
        file.create_dataset("rows", shape=(0, 8), maxshape=(None, 8), chunks=(1, 8), dtype="u1", compression=1)
    rows = file["rows"]
    count = len(rows)
    rows.resize(count + 50, axis=0)
    for row in range(count, count + 50):
        rows.id.write_direct_chunk((row, 0), bytes([number, row % 256]) * 100)


def check(path: Path, number: int) -> None:
    """Check that a file is sound and holds so many steps; HDF5 itself opens it, without a word of the journal."""
    with h5py.File(path) as file:
        assert file.attrs["step"] == number
        assert sorted(file) == sorted([*(f"more{step}" for step in range(1, number + 1)), "rows"])
        rows = file["rows"]
        assert len(rows) == 50 * number
        for row in range(50 * number):
            assert rows.id.read_direct_chunk((row, 0))[1] == bytes([row // 50 + 1, row % 256]) * 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vv.h5.partial"


def make(path: Path, steps: int = STEPS) -> list[bytes]:
    """Make a file in steps; return what it was after each."""
    with PartialFile.create(path, Entry({"what": "for"})) as part:
        states = [path.read_bytes()]
        for number in range(1, steps + 1):
            grow(part, number)
            part.commit(Entry({"number": number}))
            states.append(path.read_bytes())
    return states


def test_a_file_is_sound_after_every_commit_and_knows_what_it_was_told(path: Path) -> None:
    with PartialFile.create(path, Entry({"what": "for"})) as part:
        for number in range(1, STEPS + 1):
            grow(part, number)
            part.commit(Entry({"number": number}, {"blob": b"x"}))
            check(path, number)
    with PartialFile(path) as part:
        assert part.about.fields == {"what": "for"}
        assert part.commits == STEPS
        assert [part.entry(number).fields["number"] for number in range(STEPS)] == list(range(1, STEPS + 1))
        assert part.entry(0).blobs["blob"] == b"x"


def test_what_was_not_committed_is_gone(path: Path) -> None:
    make(path, 2)
    with PartialFile(path) as part:
        grow(part, 3)
    assert path.stat().st_size > 0
    PartialFile(path).close()
    check(path, 2)
    with PartialFile(path) as part:
        grow(part, 3)
        part.file.flush()
        part.revert()
        check(path, 2)
        grow(part, 3)
        part.commit(Entry({}))
    check(path, 3)


def test_going_on_gives_the_same_bytes_as_never_stopping(path: Path) -> None:
    expected = make(path)[-1]
    make(path, 2)
    for number in range(3, STEPS + 1):
        with PartialFile(path) as part:
            grow(part, 9)
            part.revert()
            grow(part, number)
            part.commit(Entry({"number": number}))
    assert path.read_bytes() == expected


@pytest.mark.parametrize("kept", range(STEPS))
def test_commits_are_taken_back_to_the_byte(path: Path, kept: int) -> None:
    states = make(path)
    with PartialFile(path) as part:
        part.take_back(kept)
        assert part.commits == kept
        assert path.read_bytes() == states[kept]
        grow(part, kept + 1)
        part.commit(Entry({}))
    check(path, kept + 1)


@pytest.mark.parametrize("applied", range(0, 9000, 300))
def test_a_kill_while_bytes_inside_are_changed_is_repaired(path: Path, applied: int) -> None:
    before, after = make(path, 3)[-2:]
    # Of what changed inside, only a part has been written; what is new had been written before.
    path.write_bytes(after[:applied] + before[applied:] + after[len(before) :])
    PartialFile(path).close()
    assert path.read_bytes() == after


@pytest.mark.parametrize("reached", range(STEPS))
def test_a_kill_while_commits_are_taken_back_is_repaired(path: Path, reached: int) -> None:
    states = make(path)
    journal = journal_path(path).read_bytes()
    with PartialFile(path) as part:
        part.take_back(reached)
    undone = path.read_bytes() if reached else b""
    path.write_bytes(undone + states[-1][len(undone) :])  # before the journal was cut, and the file after it
    journal_path(path).write_bytes(journal)
    PartialFile(path).close()
    assert path.read_bytes() == states[-1]


def test_an_entry_that_is_not_complete_is_no_commit(path: Path) -> None:
    states = make(path, 3)
    journal = journal_path(path)
    journal.write_bytes(journal.read_bytes()[:-1])
    path.write_bytes(states[2] + states[3][len(states[2]) :])  # changes inside come after the entry
    PartialFile(path).close()
    assert path.read_bytes() == states[2]


def test_a_damaged_journal_is_refused(path: Path) -> None:
    make(path, 3)
    content = journal_path(path).read_bytes()
    for damaged in (b"", b"\0" * 100, content[:40], content[:-1], content.replace(b'"number": 2', b'"number": 7')):
        journal_path(path).write_bytes(damaged)
        with pytest.raises(FormatError, match=r"vv\.h5\.partial.* damage"):
            PartialFile(path)


def test_a_file_that_is_shorter_than_its_journal_says_is_refused(path: Path) -> None:
    states = make(path, 3)
    path.write_bytes(states[-1][:-1])
    with pytest.raises(FormatError, match="do not belong together, or are damaged"):
        PartialFile(path)


def test_a_journal_that_cannot_be_written_to_is_an_error_of_the_output(path: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"vv\.h5\.partial: cannot be written \(disk full"):
        PartialFile.create(tmp_path / "absent" / path.name, Entry({}))
    make(path, 1)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    with pytest.raises(OutputError, match="no longer there"):
        PartialFile(path)
