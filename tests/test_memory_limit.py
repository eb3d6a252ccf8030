"""How much memory a process may use: physical memory within the limits of all control groups above it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sar_h5.forecasts import memory_limit
from sar_h5.forecasts.memory_limit import allowed_memory_nbytes

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hierarchy of control groups without limits; the process is in a job of a scheduler."""
    monkeypatch.setattr(memory_limit, "_HIERARCHY", tmp_path)
    monkeypatch.setattr(memory_limit, "_MEMBERSHIP", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text("0::/slurm/job_7/step_0\n")
    (tmp_path / "slurm/job_7/step_0").mkdir(parents=True)
    return tmp_path


def test_all_memory_counts_where_no_group_limits_it(groups: Path) -> None:
    (groups / "slurm/job_7/memory.max").write_text("max\n")
    assert allowed_memory_nbytes() == PHYSICAL


@pytest.mark.parametrize("place", ["memory.max", "slurm/memory.max", "slurm/job_7/memory.max"])
def test_the_limit_of_every_group_above_counts(groups: Path, place: str) -> None:
    (groups / place).write_text("3000000\n")
    (groups / "slurm/job_7/step_0/memory.max").write_text("4000000\n")
    assert allowed_memory_nbytes() == 3_000_000


def test_groups_of_version_1_count(groups: Path) -> None:
    (groups / "cgroup").write_text("5:cpu:/a\n4:hugetlb,memory:/pbs/12\n0::/\n")
    (groups / "memory/pbs/12").mkdir(parents=True)
    (groups / "memory/pbs/12/memory.limit_in_bytes").write_text("5000000")
    (groups / "memory/memory.limit_in_bytes").write_text("9223372036854771712")
    assert allowed_memory_nbytes() == 5_000_000


@pytest.mark.parametrize("content", ["", "nonsense", "0::", "0::/../../etc", "4:memory"])
def test_a_strange_table_of_groups_changes_nothing(groups: Path, content: str) -> None:
    (groups / "cgroup").write_text(content)
    assert allowed_memory_nbytes() == PHYSICAL


def test_nothing_is_said_where_nothing_is_known(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (groups / "cgroup").unlink()
    monkeypatch.delattr(os, "sysconf")
    assert allowed_memory_nbytes() is None
