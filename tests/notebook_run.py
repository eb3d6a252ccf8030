"""Run notebooks from top to bottom, and keep them with what they print and draw.

    python -m tests.notebook_run 1_convert_and_inspect 2_splits_and_leakage

does so for these (for all, where none is named), with the real scene where it is found.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
import warnings
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

_COLORS = 256
"""Of kept pictures: speckle in all of them is too large for a repository, and looks no different."""


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def run(path: Path, data: Path, directory: Path) -> nbformat.NotebookNode:
    """Run a notebook in a directory on the package as it is here, with user warnings as errors.

    Args:
        path: the notebook.
        data: where it may find real data.
        directory: where it runs, and makes its temporary files.
    """
    notebook = read(path)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", record_timing=False, resources={"metadata": {"path": directory}}
    )
    settings = {
        "SAR_H5_TEST_DATA": str(data),
        "TMPDIR": str(directory),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::UserWarning",
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads of PyTorch are ten times slower on a machine with other work
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the machinery that runs the kernel; the kernel has its own
        client.execute(env=os.environ | settings)
    return notebook


def keep(path: Path, data: Path) -> None:
    """Run a notebook and store it with its outputs."""
    with tempfile.TemporaryDirectory() as directory:
        notebook = run(path, data, Path(directory))
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _reduce_colors(output.data["image/png"])
    nbformat.write(notebook, path)


def _reduce_colors(png: str) -> str:
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    stream = io.BytesIO()
    image.quantize(_COLORS, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


if __name__ == "__main__":
    for notebook in NOTEBOOKS:
        if notebook.stem in sys.argv[1:] or not sys.argv[1:]:
            keep(notebook, Path(os.environ.get("SAR_H5_TEST_DATA", ROOT.parent / "shared" / "data")))
