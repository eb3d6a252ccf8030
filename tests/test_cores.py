"""Cores are those that this process may run on, shared with the other ranks of a job."""

from __future__ import annotations

import os

import pytest

from sar_h5.cores import usable_cores


@pytest.mark.parametrize(
    ("ranks", "cores"),
    [
        ("1", 12),
        ("4", 3),
        ("5", 2),
        ("12", 1),
        ("100", 1),
        ("0", 12),
        ("", 12),
        ("-3", 12),
        ("2.0", 12),
        ("²", 12),
        ("four", 12),
        ("1 2", 12),
        (None, 12),
    ],
)
def test_the_ranks_of_a_job_share_the_cores(monkeypatch: pytest.MonkeyPatch, ranks: str | None, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    if ranks is None:
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
    assert usable_cores() == cores


@pytest.mark.parametrize(("count", "cores"), [(6, 6), (None, 1)])
def test_where_no_affinity_is_known_all_cores_count(
    monkeypatch: pytest.MonkeyPatch, count: int | None, cores: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert usable_cores() == cores
