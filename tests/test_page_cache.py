"""What the page cache could take, within a container's limit; a file taken out of it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from sar_h5 import page_cache


def test_free_memory_is_what_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  16000 kB\nMemFree: 100 kB\nMemAvailable:   5000 kB\n")
    monkeypatch.setattr(page_cache, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(page_cache, "_CGROUP_LIMITS", ())
    assert page_cache.available_nbytes() == 5000 * 1024


@pytest.mark.parametrize(("limit", "expected"), [("3000000\n", 3_000_000), ("max\n", 5_120_000), (None, 5_120_000)])
def test_a_containers_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, expected: int
) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:   5000 kB\n")
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(page_cache, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(page_cache, "_CGROUP_LIMITS", (tmp_path / "memory.max",))
    assert page_cache.available_nbytes() == expected


def test_all_memory_counts_where_the_system_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(page_cache, "_CGROUP_LIMITS", ())
    assert page_cache.available_nbytes() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.delattr(os, "sysconf")
    assert page_cache.available_nbytes() == 8 << 30


def test_dropping_is_refused_where_the_system_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x")
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert not page_cache.drop_from_cache(tmp_path / "a")


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system cannot drop files from its page cache")
def test_dropping_names_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, *arguments: calls.append(arguments))
    (tmp_path / "a").write_bytes(bytes(mmap.PAGESIZE))
    assert page_cache.drop_from_cache(tmp_path / "a")
    assert calls == [(0, 0, os.POSIX_FADV_DONTNEED)]
