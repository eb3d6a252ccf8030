"""Which module may know which: imports go one way, and heavy libraries stay where they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "sar_h5"

# The table: each module, and what it may import of this package and of others. A new module needs a new line here.
MAY_IMPORT: dict[str, str] = {
    "": "version",
    "__main__": "cli",
    "version": "",
    "errors": "",
    "extras": "errors",
    "schema": "h5py numpy",
    "radiometry": "errors numpy",
    "units": "radiometry numpy",
    "image_statistics": "errors radiometry numpy",
    "buffers": "numpy",
    "workers": "",
    "conversion_kernels": "compiled numpy",
    "quantiles": "conversion_kernels radiometry numpy",
    "tiling": "conversion_kernels errors numpy",
    "palette": "conversion_kernels radiometry numpy",
    "compression": "errors hdf5plugin numcodecs numpy",
    "symmetry": "numpy",
    "georeference": "schema numpy",
    "digest": "radiometry schema numpy",
    "cutting": "buffers radiometry tiling numpy",
    "encoding": "buffers conversion_kernels cutting palette quantiles radiometry schema settings units numpy",
    "progress": "tqdm",
    "pending": "errors filelock",
    "plain_arrays": "numpy",
    "unpickle": "errors plain_arrays numpy",
    "plain_data": "errors plain_arrays unpickle numpy",
    "settings": "compression cores errors radiometry schema sources.naming tiling units",
    "sources": "",
    "sources.scene": "schema numpy",
    "sources.naming": "",
    "sources.checksums": "sources.scene",
    "sources.annotation": "errors",
    "sources.bounds_file": "errors plain_data radiometry numpy",
    "sources.products": "errors schema sources.annotation sources.naming sources.scene",
    "sources.archives": "errors sources.products",
    "sources.rasters": (
        "buffers errors radiometry sources.archives sources.checksums sources.naming sources.products "
        "sources.scene workers numpy rasterio"
    ),
    "sources.shards": "buffers errors schema sources.checksums sources.naming sources.products sources.scene numpy",
    "sources.shard_set": "errors plain_data radiometry schema sources.bounds_file sources.shards numpy",
    "sources.namesakes": "errors sources.scene",
    "sources.walk": "errors sources.archives sources.products sources.shard_set",
    "sources.discovery": (
        "errors radiometry schema sources.archives sources.namesakes sources.naming "
        "sources.products sources.rasters sources.shard_set sources.shards sources.walk"
    ),
    "sources.simulated_scene": "errors numpy",
    "sources.simulated_pixels": "errors sources.simulated_scene numpy",
    "sources.safe_xml": "sources.simulated_scene numpy",
    "sources.safe_manifest": "sources.simulated_scene",
    "sources.simulator": (
        "errors sources.safe_manifest sources.safe_xml sources.simulated_pixels sources.simulated_scene rasterio"
    ),
    "bands": "progress sources.scene numpy",
    "raster_units": "bands errors radiometry sources.scene units numpy",
    "survey": "bands encoding errors progress quantiles radiometry sources.scene tiling units workers numpy",
    "job": (
        "compression cutting encoding errors palette progress quantiles radiometry settings "
        "sources.bounds_file sources.scene"
    ),
    "raster_job": (
        "bands cutting encoding errors job palette pixel_cache progress quantiles radiometry raster_units "
        "schema settings sources.scene survey units workers numpy"
    ),
    "shard_job": (
        "cutting encoding errors job palette progress quantiles radiometry schema settings sources.scene "
        "sources.shards numpy"
    ),
    "pixel_cache": "sources.scene numpy",
    "packing": "buffers compression conversion_kernels cutting digest encoding numpy",
    "writer": (
        "columns compression cutting digest encoding errors packing schema sources.scene version workers h5py "
        "hdf5plugin numpy"
    ),
    "file_maker": "errors job palette pending progress schema settings sources.scene summary writer",
    "summary": "errors",
    "conversion": (
        "bounds_scenes errors file_maker job pending pixel_cache progress raster_job settings shard_job sources.discovery "
        "sources.naming summary"
    ),
    "contents": "errors schema superblock h5py hdf5plugin numpy",
    "compiled": "numba",
    "native": "llvmlite numba numcodecs",
    "kernels": "compiled native numpy",
    "chunk_table": "h5py numpy",
    "chunks": "chunk_table compression contents errors schema h5py numpy",
    "lookup": "kernels symmetry numpy",
    "bulk_reads": "chunks kernels lookup native numpy",
    "cores": "",
    "decode_threads": "",
    "read_ahead": "chunks numpy",
    "reader": "bulk_reads chunk_table chunks contents decode_threads errors lookup read_ahead schema h5py numpy",
    "tagged_tensor": "torch",
    "batches": "tagged_tensor torch",
    "batch_memory": "numpy torch",
    "shared_batches": "tagged_tensor numpy torch",
    "shared_table": "chunk_table torch",
    "decoder": "symmetry numpy torch",
    "selection": "errors numpy",
    "verify_report": "",
    "structure_checks": "schema verify_report h5py numpy",
    "patch_checks": ("compression digest progress radiometry schema structure_checks verify_report h5py numpy"),
    "verification": "contents errors patch_checks progress structure_checks verify_report",
    "columns": "schema h5py numpy",
    "superblock": "",
    "overlay": "",
    "file_update": "errors overlay pending schema superblock h5py",
    "split_methods": "errors numpy",
    "split_scenes": "errors schema numpy",
    "split_groups": "errors schema",
    "split_blocks": "errors schema split_groups split_scenes numpy",
    "shared_pixels": "schema split_scenes numpy",
    "splits": "errors shared_pixels split_blocks split_groups split_methods split_scenes numpy",
    "footprints": "numpy",
    "leakage": "contents errors footprints schema shared_pixels split_methods split_scenes h5py numpy",
    "bounds_scenes": "contents errors leakage schema split_scenes h5py numpy",
    "split_report": "leakage split_methods",
    "split_files": (
        "bounds_scenes columns contents errors file_update leakage schema split_methods split_report split_scenes splits version "
        "h5py numpy"
    ),
    "info": "bounds_scenes contents errors leakage schema h5py numpy",
    "dataset": (
        "batch_memory batches contents cores decoder errors georeference reader schema selection "
        "shared_batches shared_table symmetry numpy torch"
    ),
    "device_transfer": "torch",
    "background": "dataset device_transfer errors torch",
    "page_cache": "",
    "bench_report": "",
    "machine_limits": "bench_report page_cache reader symmetry numpy torch",
    "throughput": ("background bench_report cores dataset errors machine_limits page_cache reader numpy torch"),
    "demo": "conversion dataset errors sources.simulator verification torch",
    "cli": "errors version click",
    "commands": "",
    "commands.bench": "throughput click",
    "commands.convert": "conversion schema settings sources.naming units click",
    "commands.demo": "demo click",
    "commands.info": "info click",
    "commands.split": "errors leakage schema split_files split_methods click",
    "commands.verify": "verification click",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> set[str]:
    """Return the imports of a module at run time: ours without the package's name, others by their first part."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    branches = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    for_types = [node for node in branches if ast.unparse(node.test) == "TYPE_CHECKING"]
    ignored = {id(child) for block in for_types for child in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"sar_h5.{alias.name}" for alias in node.names] if node.module == "sar_h5" else [node.module or ""]
            found |= set(names)
    ours = {name.removeprefix("sar_h5").lstrip(".") for name in found if name.split(".")[0] == "sar_h5"}
    others = {name.split(".")[0] for name in found} - {"sar_h5"} - sys.stdlib_module_names
    return ours | others


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def test_the_table_lists_every_module_and_no_other() -> None:
    assert set(MODULES) == set(MAY_IMPORT)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_the_table_allows(module: str) -> None:
    assert imports(MODULES[module]) <= set(MAY_IMPORT[module].split())


def test_the_table_allows_nothing_that_no_module_uses() -> None:
    unused = {module: set(allowed.split()) - imports(MODULES[module]) for module, allowed in MAY_IMPORT.items()}
    assert {module: sorted(names) for module, names in unused.items() if names} == {}


def test_imports_form_no_cycle() -> None:
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"cycle: {' -> '.join((*above, module))}"
        if module in done:
            return
        for name in MAY_IMPORT[module].split():
            if name in MAY_IMPORT:
                visit(name, (*above, module))
        done.add(module)

    for module in MAY_IMPORT:
        visit(module, ())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_uses_a_private_name_of_another(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sar_h5"):
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert private == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import sar_h5", ["torch", "rasterio", "h5py", "numpy"]),
        ("import sar_h5; sar_h5.SARH5Dataset", ["rasterio", "click"]),
        ("import sar_h5; sar_h5.convert", ["torch"]),
        ("import sar_h5.cli", ["torch", "rasterio", "h5py"]),
    ],
)
def test_what_a_user_does_not_use_is_not_loaded(statement: str, absent: list[str]) -> None:
    code = f"import sys; {statement}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
