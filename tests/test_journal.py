"""Journals: an entry counts once all of it is there, and none before."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.journal import Entry, Journal

FIELDS = st.dictionaries(st.text(), st.none() | st.integers() | st.floats(allow_nan=False) | st.lists(st.text()))
ENTRIES = [Entry({"number": number}, {"blob": bytes([number]) * 40}) for number in range(4)]


def read(path: Path) -> list[Entry]:
    journal = Journal(path)
    found = [journal[number] for number in range(len(journal))]
    journal.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal.create(tmp_path / "journal")
    for entry in ENTRIES:
        journal.append(entry)
    journal.close()
    return tmp_path / "journal"


@given(FIELDS, st.dictionaries(st.text(), st.binary()))
def test_an_entry_comes_back_from_bytes_as_it_was(fields: dict[str, object], blobs: dict[str, bytes]) -> None:
    entry = Entry(fields, blobs)
    assert Entry.from_bytes(entry.to_bytes()) == entry


def test_entries_are_read_again_in_order(path: Path) -> None:
    assert read(path) == ENTRIES


def test_a_journal_cut_off_anywhere_holds_the_entries_before(path: Path) -> None:
    content = path.read_bytes()
    counts = []
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        found = read(path)
        assert found == ENTRIES[: len(found)]
        counts.append(len(found))
    assert counts == sorted(counts)
    assert set(counts) == set(range(len(ENTRIES) + 1))


def test_a_flipped_bit_anywhere_ends_the_journal_before_it(path: Path) -> None:
    content = path.read_bytes()
    each = len(content) // len(ENTRIES)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert read(path) == ENTRIES[: place // each]


def test_zeros_where_an_entry_was_to_be_are_none(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content + bytes(500))
    assert read(path) == ENTRIES
    path.write_bytes(content[:-30] + bytes(30))
    assert read(path) == ENTRIES[:-1]


def test_an_entry_of_another_journal_does_not_count(path: Path, tmp_path: Path) -> None:
    other = Journal.create(tmp_path / "other")
    for entry in ENTRIES[:2]:
        other.append(entry)
    other.close()
    each = path.stat().st_size // len(ENTRIES)
    path.write_bytes(path.read_bytes()[:each] + (tmp_path / "other").read_bytes()[:each])
    assert read(path) == ENTRIES[:1]


def test_appending_replaces_what_does_not_count(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    journal = Journal(path)
    assert len(journal) == 3
    journal.append(ENTRIES[0])
    journal.close()
    assert read(path) == [*ENTRIES[:3], ENTRIES[0]]


def test_cutting_keeps_the_first_entries(path: Path) -> None:
    journal = Journal(path)
    journal.cut(2)
    journal.append(ENTRIES[3])
    journal.close()
    assert read(path) == [*ENTRIES[:2], ENTRIES[3]]
