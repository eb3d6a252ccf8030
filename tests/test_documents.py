"""The documents say what is so: their Python runs, their commands are understood, their links lead somewhere."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

import sar_h5
from sar_h5 import cli, convert, split_file
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from tests.command_line import CommandLine
from tests.conftest import make_shards

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCENES = 5
RUN = {"export", "info", "preview", "split", "verify"}
"""Commands that documents run on the files that are there; the others make them, or take long."""

pytestmark = pytest.mark.filterwarnings(
    "ignore::sar_h5.splits.leakage.LeakageWarning"
)  # small scenes on the same ground


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
        language: as after the fence.
        text: between the fences.
        line: of its first line in the document, from 1.
    """

    language: str
    text: str
    line: int


def blocks(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    assert text.count("```") % 2 == 0
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)


def commands(block: Block) -> Iterator[list[str]]:
    """Split the lines of a block that call ``sar-h5``, also behind ``&&``, into words."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            if words[0] == "sar-h5":
                yield words[1:end]
            words = words[end + 1 :]


def script(path: Path) -> str:
    """Return the Python of a document as one script, on the CPU and with few epochs, each line where it was."""
    lines = ['if __name__ == "__main__":', *path.read_text(encoding="utf-8").splitlines()[1:], "    pass"]
    python = {
        number: "    " + line
        for block in blocks(path)
        if block.language == "python"
        for number, line in enumerate(block.text.splitlines(), start=block.line - 1)
    }
    text = "\n".join([lines[0], *(python.get(number, "") for number in range(1, len(lines) - 1)), lines[-1]])
    return text.replace('"cuda"', '"cpu"').replace("range(10)", "range(2)").replace(", 10)", ", 2)")


def parse(words: list[str]) -> None:
    """Have the command line understand a command, without running it."""
    with cli.group.make_context("sar-h5", words[:1], resilient_parsing=True) as context:
        command = cli.group.get_command(context, words[0])
        assert command is not None, f"there is no command {words[0]}"
        command.make_context(words[0], list(words[1:]))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documents work on: products, files made of them, shards, a manifest; with patches of 64 x 64."""
    place = tmp_path_factory.mktemp("documents")
    for number in range(SCENES):
        start = datetime(2021, 1, 19, 3, 16, 53) + number * timedelta(days=12)
        scene = SimulatedScene(256, 320, border_px=8, seed=number, start=start, orbit=36201 + 175 * number)
        simulate_product(place / "products", scene)
    convert(place / "products", place / "data" / "h5", patch_size=64, stride=32)
    (place / "data" / "patches").mkdir()
    make_shards(place / "data" / "patches")
    names = sorted(path.stem for path in (place / "products").iterdir())
    rows = [f"{name};{'calm' if number < SCENES - 1 else 'rough'};false\n" for number, name in enumerate(names)]
    (place / "scenes.csv").write_text("scene;sea_state;ice\n" + "".join(rows), encoding="utf-8")
    return place


def test_there_are_examples_to_check() -> None:
    languages = [block.language for path in DOCUMENTS for block in blocks(path)]
    assert languages.count("python") >= 15
    assert languages.count("sh") >= 10
    named = {words[0] for path in DOCUMENTS for block in blocks(path) for words in commands(block)}
    assert named == set(cli.COMMANDS)


def test_the_examples_of_the_documents_run_in_their_order(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: CommandLine
) -> None:
    for path in DOCUMENTS:
        scratch = tmp_path / path.stem
        shutil.copytree(data, scratch)
        monkeypatch.chdir(scratch)
        if not any(words[0] == "split" for block in blocks(path) for words in commands(block)):
            split_file(["data/h5/vv.h5", "data/h5/vh.h5"])
        for block in blocks(path):
            for words in commands(block):
                parse(words)
                if words[0] in RUN and "data/h5/vv.h5" in words:
                    outcome = command.run(*words)
                    assert outcome.code == 0, f"{path.name}, line {block.line}: {outcome.err}"
        Path(f"{path.stem}.py").write_text(script(path), encoding="utf-8")
    # All in one process, whose imports take longer than the examples; not in this one, since Lightning keeps its stderr.
    run_all = f"import os, runpy\nfor name in {[path.stem for path in DOCUMENTS]}:\n" + (
        f"    os.chdir(os.path.join({str(tmp_path)!r}, name))\n    runpy.run_path(name + '.py', run_name='__main__')"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", run_all], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, f"lines are those of the documents: {done.stderr}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_what_a_document_names_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    for link in links:
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.is_file(), link
        titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not anchor or anchor in anchors, link
    files = re.findall(r"`((?:notebooks|tests|benchmarks|sar_h5|docs)/[\w./-]*)`", text)
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_has_examples_that_are_understood(name: str, command: CommandLine) -> None:
    examples = list(commands(Block("sh", command.run(name, "--help").out.partition("Options:")[0], 0)))
    assert any(words[0] == name for words in examples)
    for words in examples:
        if words[1:2] != ["[OPTIONS]"]:
            parse(words)


def test_a_command_that_is_not_understood_is_found() -> None:
    for words in (["split", "vv.h5", "--by", "moon"], ["info"], ["convert", "products", "--out", "h5", "--fast"]):
        with pytest.raises(click.UsageError):
            parse(words)
    with pytest.raises(AssertionError, match="no command mend"):
        parse(["mend", "vv.h5"])


def test_the_package_tells_its_stages_with_modules_that_are_there_each_once() -> None:
    named = re.findall(r"``([a-z_]+)``", ast.get_docstring(ast.parse(Path(sar_h5.__file__).read_text("utf-8"))) or "")
    assert len(named) > 20
    assert sorted(set(named)) == sorted(named)
    assert all(find_spec(f"sar_h5.{name}") for name in named)
