"""What must not enter the repository: data, and anything large."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA_SUFFIXES = {".npy", ".npz", ".h5", ".hdf5", ".tif", ".tiff", ".zip", ".pt", ".pth", ".ckpt", ".parquet", ".pkl"}
MOST_NBYTES = 1_000_000
MOST_GOLDEN_NBYTES = 100_000


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: an unpacked source archive has nothing to check")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def offences(files: list[Path], root: Path) -> list[str]:
    """Return what is wrong with each file that should not be there."""
    found = []
    for path in files:
        golden = path.parent == root / "tests" / "golden"
        nbytes = path.stat().st_size
        if golden and nbytes > MOST_GOLDEN_NBYTES:
            found.append(f"{path}: golden files stay below {MOST_GOLDEN_NBYTES} bytes, this has {nbytes}")
        if path.suffix.lower() in DATA_SUFFIXES and not golden:
            found.append(f"{path}: data files do not belong in the repository")
        if nbytes > MOST_NBYTES:
            found.append(f"{path}: files stay below {MOST_NBYTES} bytes, this has {nbytes}")
    return found


def test_no_data_file_and_no_large_file_is_committed() -> None:
    files = tracked_files()
    assert len(files) > 50
    assert offences(files, ROOT) == []


def test_the_check_finds_what_it_is_for(tmp_path: Path) -> None:
    golden = tmp_path / "tests" / "golden"
    golden.mkdir(parents=True)
    for name, nbytes in (("a.npy", 1), ("b.TIFF", 1), ("c.txt", MOST_NBYTES + 1), ("d.txt", 10)):
        (tmp_path / name).write_bytes(b"x" * nbytes)
    (golden / "v1.h5").write_bytes(b"x" * 10)
    (golden / "v2.h5").write_bytes(b"x" * (MOST_GOLDEN_NBYTES + 1))
    found = offences(sorted(tmp_path.rglob("*.*")), tmp_path)
    assert [line.split(":")[0].rsplit("/", 1)[1] for line in found] == ["a.npy", "b.TIFF", "c.txt", "v2.h5"]


def test_git_ignores_data_but_not_golden_files() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: an unpacked source archive has nothing to check")

    def ignored(name: str) -> bool:
        return subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False).returncode == 0

    assert all(ignored(name) for name in ("x.npy", "data/vv.h5", "a/b.tiff", "vv.h5.partial", "S1A.SAFE/manifest.safe"))
    assert not ignored("tests/golden/v9.h5")
