"""Every notebook runs from top to bottom, and is kept with its pictures."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("data", ["real", "simulated"])
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    place = request.getfixturevalue("real_data") if data == "real" else tmp_path / "nowhere"
    monkeypatch.setenv("SAR_H5_TEST_DATA", str(place))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONWARNINGS", "error::UserWarning")
    notebook = read(path)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the machinery that runs the kernel; the kernel has its own
        client.execute()
    printed = [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "stream"
    ]
    assert [output.text for output in printed if output.name == "stderr"] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_pictures_and_without_traces_of_a_machine(path: Path) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    pictures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    text = path.read_text(encoding="utf-8")
    assert not any(trace in text for trace in ("/home/", "/root/", os.sep + "tmp" + os.sep, "Traceback"))
