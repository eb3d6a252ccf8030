"""Every notebook runs from top to bottom, and is kept with its pictures."""

from __future__ import annotations

import configparser
import os
import re
import sys
from pathlib import Path

import pytest

from tests.notebook_run import NOTEBOOKS, ROOT, read, run

TAKES_REAL_DATA = [path for path in NOTEBOOKS if "SAR_H5_TEST_DATA" in path.read_text(encoding="utf-8")]
MOST_NBYTES = 450_000
TRACES = ("/home/", "/root/", "/Users/", "/work/", os.sep + "tmp" + os.sep, "site-packages", "Traceback", "Warning:")


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) == 4
    assert len(TAKES_REAL_DATA) == 2  # several scenes to split, or pixels at full resolution, are not among them


@pytest.mark.parametrize(
    ("path", "data"),
    [(path, "simulated") for path in NOTEBOOKS] + [(path, "real") for path in TAKES_REAL_DATA],
    ids=lambda value: value if isinstance(value, str) else value.stem,
)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, data: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = request.getfixturevalue("real_data") if data == "real" else tmp_path / "nowhere"
    notebook = run(path, place, tmp_path)
    printed = [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "stream"
    ]
    assert [output.text for output in printed if output.name == "stderr"] == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("sar-h5-")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_pictures_and_without_traces_of_a_machine(path: Path) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    text = path.read_text(encoding="utf-8")
    assert [trace for trace in TRACES if trace in text] == []
    assert len(text) <= MOST_NBYTES


def test_the_extra_for_notebooks_brings_all_that_they_import() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    wanted = settings["options"]["install_requires"] + settings["options.extras_require"]["notebooks"]
    installed = {re.split(r"[ <>=]", line)[0] for line in wanted.split("\n") if line}
    installed |= {"matplotlib_inline"}  # comes with ipykernel
    sources = [cell.source for path in NOTEBOOKS for cell in read(path).cells if cell.cell_type == "code"]
    imported = {name for source in sources for name in re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)}
    assert imported - set(sys.stdlib_module_names) - {"sar_h5"} <= installed
