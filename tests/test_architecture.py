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
    "adjacency_kernels": "compiled numpy",
    "adjacency": "adjacency_kernels schema numpy",
    "compression": "errors hdf5plugin numcodecs numpy",
    "splitmix": "numpy",
    "symmetry": "splitmix numpy",
    "georeference": "schema numpy",
    "digest": "conversion_kernels radiometry schema numpy",
    "cutting": "buffers radiometry tiling numpy",
    "encoding": "buffers conversion_kernels cutting palette quantiles radiometry schema settings units numpy",
    "progress": "tqdm",
    "pending": "errors filelock",
    "journal": "",
    "partial_file": "errors journal overlay pending schema superblock h5py",
    "source_state": "sources.scene",
    "finished_scene": "journal schema sources.scene numpy",
    "finished_parts": "finished_scene partial_file progress schema h5py numpy",
    "finished_file": "errors info opening schema shared_blocks.sharing source_state summary",
    "conversion_record": "compression encoding errors job journal radiometry settings source_state numpy",
    "unfinished_file": (
        "conversion_record errors finished_parts finished_scene job journal partial_file progress quantiles source_state "
        "numpy"
    ),
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
        "buffers errors radiometry sources.archives sources.checksums sources.naming sources.products sources.scene "
        "workers numpy rasterio"
    ),
    "sources.shard_facts": "errors schema sources.naming sources.scene numpy",
    "sources.shards": (
        "buffers errors schema sources.checksums sources.naming sources.products sources.scene sources.shard_facts numpy"
    ),
    "sources.shard_set": (
        "errors plain_data radiometry schema sources.bounds_file sources.shard_facts sources.shards numpy"
    ),
    "sources.patch_tags": "radiometry schema sources.naming sources.scene sources.shard_facts",
    "sources.patch_rasters": (
        "errors georeference radiometry schema sources.patch_tags sources.rasters sources.scene sources.shards numpy "
        "rasterio"
    ),
    "sources.shuffle_index": "errors plain_data sources.shard_set sources.shards numpy",
    "sources.shard_choice": ("errors radiometry schema sources.naming sources.shard_set sources.shards sources.walk"),
    "sources.namesakes": "errors sources.scene",
    "sources.walk": "errors sources.archives sources.products sources.shard_set",
    "sources.discovery": (
        "errors radiometry schema sources.archives sources.namesakes sources.naming sources.patch_rasters "
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
        "compression cutting encoding errors palette progress quantiles radiometry schema settings shared_blocks.grid "
        "sources.bounds_file sources.scene numpy"
    ),
    "raster_job": (
        "bands cutting encoding errors job palette pixel_cache progress quantiles radiometry raster_units schema "
        "settings shared_blocks.expectation shared_blocks.grid sources.scene survey units workers numpy"
    ),
    "shard_job": (
        "cutting encoding errors job palette progress quantiles radiometry schema settings shared_blocks.shards "
        "sources.scene sources.shards units numpy"
    ),
    "pixel_cache": "sources.scene numpy",
    "packing": "buffers compression conversion_kernels cutting digest encoding numpy",
    "patch_chunks_writer": "compression cutting encoding finished_scene packing pixel_writer schema workers h5py",
    "pixel_writer": "compression cutting encoding errors finished_scene place_recovery h5py numpy",
    "shared_blocks": "",
    "shared_blocks.chunks_writer": (
        "buffers columns compression cutting encoding finished_scene packing pixel_writer place_recovery schema "
        "shared_blocks.contents shared_blocks.grid shared_blocks.held_blocks shared_blocks.numbering "
        "shared_blocks.places shared_blocks.table shared_blocks.telling workers h5py numpy"
    ),
    "shared_blocks.contents": "shared_blocks.numbering shared_blocks.table numpy",
    "shared_blocks.expectation": "errors shared_blocks.contents shared_blocks.grid tiling numpy",
    "shared_blocks.grid": "numpy",
    "shared_blocks.kernels": "compiled numpy",
    "shared_blocks.numbering": "numpy",
    "shared_blocks.places": "shared_blocks.numbering numpy",
    "shared_blocks.sharing": "shared_blocks.grid numpy",
    "shared_blocks.table": "shared_blocks.kernels numpy",
    "writer": (
        "columns compression cutting digest encoding finished_scene journal partial_file patch_chunks_writer "
        "pixel_writer place_recovery schema shared_blocks.chunks_writer sources.scene text_checksum version h5py "
        "hdf5plugin numpy"
    ),
    "file_maker": (
        "conversion_record errors finished_scene job palette partial_file pending progress recovered_count schema "
        "settings shared_blocks.sharing sources.scene summary unfinished_file writer"
    ),
    "summary": "errors recovered_count schema shared_blocks.sharing",
    "forecasts.rounding": "",
    "forecasts.memory_limit": "",
    "forecasts.planning": "errors shared_blocks.grid shared_blocks.table",
    "forecasts.patch_plan": "cores errors forecasts forecasts.rounding schema shared_blocks.expectation",
    "forecasts.memory_need": (
        "errors forecasts.memory_limit forecasts.planning forecasts.rounding raster_job schema settings "
        "shared_blocks.shards sources.scene"
    ),
    "forecasts.source_checks": "bands cutting errors job progress quantiles raster_units sources.scene survey numpy",
    "forecasts.forecast": "cutting encoding forecasts.planning job packing radiometry settings shared_blocks.grid",
    "forecasts.shard_forecast": (
        "cutting encoding errors forecasts.forecast job palette radiometry schema settings shard_job "
        "shared_blocks.shards sources.scene numpy"
    ),
    "forecasts.raster_forecast": (
        "bands cutting encoding errors forecasts.forecast job palette quantiles radiometry raster_job raster_units "
        "settings sources.scene survey units numpy"
    ),
    "forecasts.fit_check": (
        "job forecasts.memory_need forecasts.raster_forecast raster_job settings forecasts.shard_forecast shard_job"
    ),
    "forecasts.scan_report": "errors forecasts.forecast forecasts.rounding",
    "forecasts.source_scan": (
        "bands errors forecasts.forecast job forecasts.memory_limit forecasts.memory_need progress quantiles "
        "radiometry forecasts.raster_forecast forecasts.scan_report settings forecasts.shard_forecast shard_job "
        "forecasts.source_checks sources.discovery sources.scene survey"
    ),
    "conversion": (
        "splits.bounds_scenes conversion_record errors file_maker finished_file forecasts.fit_check job pending "
        "pixel_cache progress raster_job settings shard_job source_state sources.discovery sources.naming summary version"
    ),
    "heap_guard": "schema h5py",
    "file_objects": "errors schema h5py",
    "opening": "errors file_objects heap_guard superblock h5py hdf5plugin",
    "contents": "errors file_objects opening schema h5py numpy",
    "compiled": "numba",
    "native": "llvmlite numba numcodecs",
    "kernels": "compiled native numpy",
    "chunk_table": "h5py numpy",
    "file_change": "errors opening superblock h5py",
    "chunks": "chunk_table compression errors opening schema h5py numpy",
    "lookup": "kernels symmetry numpy",
    "bulk_reads": "chunks kernels lookup native numpy",
    "cores": "",
    "decode_threads": "",
    "block_table": "chunk_table numpy",
    "block_chunks": "block_table chunks errors numpy",
    "block_kernels": "compiled kernels numpy",
    "block_windows": "symmetry numpy",
    "block_reads": "block_chunks block_kernels block_windows buffers bulk_reads chunks lookup native numpy",
    "stored_patches": "block_chunks block_table chunk_table chunks contents errors schema h5py numpy",
    "read_ahead": "block_chunks chunks numpy",
    "reader": (
        "block_chunks block_reads bulk_reads chunks contents decode_threads errors file_change lookup opening "
        "patch_identity read_ahead stored_patches numpy"
    ),
    "tagged_tensor": "torch",
    "batches": "tagged_tensor torch",
    "batch_memory": "numpy torch",
    "shared_batches": "tagged_tensor numpy torch",
    "shared_table": "block_table chunk_table numpy torch",
    "decoder": "symmetry numpy torch",
    "selection": "errors numpy",
    "stores.handle_pool": "errors",
    "stores.unit_interval": "numpy",
    "stores.scene_columns": "contents sources.scene numpy",
    "stores.shard_kernels": "compiled kernels native numpy",
    "stores.open_shard": "native stores.shard_kernels sources.shards numpy",
    "stores.shard_patches": (
        "contents decode_threads errors stores.handle_pool lookup stores.open_shard stores.scene_columns schema "
        "sources.shards stores.unit_interval numpy"
    ),
    "stores.pixel_values": "encoding lookup radiometry units numpy",
    "stores.scene_cells": "errors numpy",
    "stores.scene_windows": (
        "contents decode_threads errors stores.handle_pool stores.pixel_values radiometry stores.scene_cells "
        "stores.scene_columns sources.rasters tiling units numpy"
    ),
    "stores.window_reference": "contents errors opening radiometry schema sources.bounds_file tiling units",
    "stores.image_sources": "errors raster_units sources.discovery sources.naming sources.rasters units",
    "stores.array_patches": "contents decode_threads errors lookup schema stores.unit_interval numpy torch",
    "verify_report": "",
    "file_structure": "chunk_table schema verify_report numpy",
    "column_checks": "file_structure schema verify_report h5py numpy",
    "pixel_checks": "block_table chunk_table column_checks file_objects schema verify_report h5py numpy",
    "structure_checks": (
        "chunk_table column_checks errors file_objects file_structure left_out_checks opening pixel_checks "
        "recovered_place_checks schema text_checksum verify_report h5py numpy"
    ),
    "structure_worker": "structure_checks",
    "structure_process": "file_structure pending superblock verify_report",
    "recent_blocks": "buffers numpy",
    "intact_blocks": "block_chunks block_kernels block_windows recent_blocks numpy",
    "intact_reads": "block_chunks block_table buffers bulk_reads chunks file_structure intact_blocks numpy",
    "patch_kernels": "compiled numpy",
    "patch_checks": (
        "conversion_kernels cutting digest file_structure intact_reads patch_kernels progress radiometry schema "
        "verify_report workers numpy"
    ),
    "source_patches": (
        "cutting encoding errors file_structure job pixel_cache progress raster_job schema shard_job "
        "sources.discovery sources.scene stated_settings workers numpy"
    ),
    "source_comparison": (
        "conversion_kernels errors file_structure intact_reads opening progress schema source_patches "
        "splits.bounds_scenes verify_report workers numpy"
    ),
    "verification": (
        "cores errors file_structure intact_reads patch_checks patch_spread progress structure_process verify_report "
        "numpy"
    ),
    "repair_summary": "",
    "derivation": "",
    "derivation.agreement": "derivation.pieces errors radiometry schema sources.shard_set",
    "derivation.appending": (
        "conversion cores derivation.agreement derivation.derivation_summary derivation.making derivation.pieces "
        "derivation.pixel_form derivation.requests derivation.same_scenes errors job pending progress radiometry "
        "settings shard_job sources.discovery sources.shard_set stated_settings summary h5py numpy"
    ),
    "derivation.attributes": "h5py",
    "derivation.common_codes": "derivation.pieces errors palette radiometry numpy",
    "derivation.counted_scenes": "derivation.pieces opening schema splits.bounds_scenes survey numpy",
    "derivation.derivation_summary": "errors schema shared_blocks.sharing splits.leakage",
    "derivation.derived_file": (
        "columns derivation.attributes derivation.block_pixels derivation.components derivation.foreign_columns "
        "derivation.joined_splits derivation.patch_chunks derivation.patch_order derivation.pieces "
        "derivation.pixel_form derivation.taken_patch errors schema text_checksum version h5py numpy"
    ),
    "derivation.extraction": (
        "contents cores derivation.derivation_summary derivation.making derivation.pieces derivation.requests errors "
        "pending progress schema selection tables.patch_table numpy"
    ),
    "derivation.foreign_columns": "derivation.attributes derivation.patch_order derivation.pieces opening h5py numpy",
    "derivation.joined_splits": (
        "columns derivation.attributes derivation.patch_order derivation.pieces opening schema splits.leak_checks "
        "splits.leakage h5py numpy"
    ),
    "derivation.making": (
        "derivation.agreement derivation.block_matching derivation.common_codes derivation.counted_scenes "
        "derivation.derivation_summary derivation.derived_file derivation.joined_splits derivation.patch_copy "
        "derivation.patch_order derivation.pieces derivation.pixel_form errors job pending progress radiometry schema "
        "splits.bounds_scenes splits.leakage h5py numpy"
    ),
    "derivation.merging": (
        "cores derivation.derivation_summary derivation.making derivation.pieces derivation.requests errors pending "
        "progress"
    ),
    "derivation.patch_chunks": "compression derivation.pixel_form derivation.taken_patch h5py numpy",
    "derivation.patch_copy": (
        "cutting derivation.block_matching derivation.common_codes derivation.derived_file derivation.patch_order "
        "derivation.piece_reads derivation.pieces derivation.pixel_form derivation.taken_patch digest patch_kernels "
        "progress radiometry workers numpy"
    ),
    "derivation.patch_order": "derivation.pieces derivation.same_scenes errors schema numpy",
    "derivation.pieces": "compression errors file_structure opening schema structure_process verify_report h5py numpy",
    "derivation.requests": "errors job radiometry settings",
    "derivation.same_scenes": "derivation.pieces errors schema sources.scene numpy",
    "splits.leak_checks": "errors splits.bounds_scenes splits.leakage splits.methods h5py numpy",
    "stated_settings": "file_structure schema settings units",
    "patch_repair": (
        "derivation.block_matching derivation.derived_file derivation.patch_order derivation.pieces "
        "derivation.pixel_form digest errors file_structure intact_reads job opening palette patch_checks pending "
        "progress repair_summary repaired_patches schema source_patches verify_report numpy"
    ),
    "file_repair": "cores derivation.pieces errors patch_repair pending progress repair_summary",
    "tables.conditions": "errors numpy",
    "tables.where": "tables.conditions errors",
    "tables.manifest": "errors numpy",
    "tables.patch_table": (
        "tables.conditions contents errors georeference tables.manifest opening schema tables.where numpy"
    ),
    "tables.patch_choice": "contents errors schema tables.patch_table tables.where numpy",
    "tables.index_export": "errors extras schema tables.patch_choice tables.patch_table pending numpy",
    "pending_directory": "errors pending",
    "exports": "",
    "exports.export_summary": "",
    "exports.file_names": "",
    "exports.writing": "cores errors",
    "exports.patch_source": ("buffers contents errors opening reader schema sources.scene tables.patch_choice numpy"),
    "exports.shard_export": (
        "errors exports.export_summary exports.file_names exports.patch_source exports.writing job pending_directory "
        "progress schema sources.shard_facts sources.shard_set tables.patch_choice numpy"
    ),
    "exports.patch_raster": "errors georeference schema sources.patch_tags sources.scene numpy rasterio",
    "exports.geotiff_export": (
        "errors exports.export_summary exports.file_names exports.patch_raster exports.patch_source exports.writing job "
        "pending_directory progress schema sources.patch_tags tables.patch_choice workers numpy rasterio"
    ),
    "stores.patch_store": "contents numpy",
    "stores.patch_cache": "numpy",
    "stores.cached_reads": "decode_threads errors lookup stores.patch_cache reader numpy",
    "stores.file_patches": (
        "stores.cached_reads contents errors opening stores.patch_cache reader schema shared_table numpy"
    ),
    "stores.patch_join": "errors numpy",
    "stores.scene_join": "contents errors numpy",
    "stores.join_checks": "contents errors stores.file_patches stores.patch_join schema numpy",
    "stores.joined_files": (
        "contents errors stores.file_patches stores.join_checks stores.patch_cache stores.patch_join "
        "stores.scene_join numpy"
    ),
    "bad_samples": "errors numpy torch",
    "patch_dataset": (
        "bad_samples batch_memory batches contents cores errors georeference schema shared_batches stores.patch_store "
        "symmetry numpy torch"
    ),
    "columns": "schema h5py numpy",
    "superblock": "",
    "overlay": "",
    "file_update": "errors file_objects opening overlay pending schema superblock h5py",
    "splits.methods": "errors numpy",
    "splits.scenes": "errors schema numpy",
    "splits.groups": "errors schema",
    "splits.blocks": "errors schema splits.groups splits.scenes numpy",
    "splits.shared_pixels": "schema splits.scenes numpy",
    "splits.planning": "errors splits.shared_pixels splits.blocks splits.groups splits.methods splits.scenes numpy",
    "splits.footprints": "numpy",
    "splits.leakage": (
        "contents errors splits.footprints opening schema splits.shared_pixels splits.methods splits.scenes h5py numpy"
    ),
    "splits.bounds_scenes": "contents errors splits.leakage opening schema splits.scenes h5py numpy",
    "splits.report": "splits.leakage splits.methods",
    "splits.files": (
        "columns errors file_update opening schema splits.leak_checks splits.leakage splits.methods splits.planning "
        "splits.report splits.scenes text_checksum version h5py numpy"
    ),
    "info": "contents errors opening pending recovered_count schema splits.bounds_scenes splits.leakage h5py numpy",
    "stores.sample_choice": (
        "contents errors stores.file_patches stores.joined_files stores.patch_join tables.patch_table numpy"
    ),
    "dataset": (
        "bad_samples contents dataset_card decoder errors stores.file_patches stores.joined_files tables.manifest "
        "stores.patch_cache patch_dataset stores.patch_join tables.patch_table stores.sample_choice schema selection "
        "numpy torch"
    ),
    "memory_dataset": "stores.array_patches errors patch_dataset selection numpy torch",
    "shard_dataset": (
        "bad_samples patch_dataset selection stores.shard_patches sources.shard_choice sources.shard_set "
        "sources.shuffle_index"
    ),
    "image_dataset": (
        "bad_samples errors stores.image_sources patch_dataset stores.scene_windows selection tiling "
        "stores.window_reference"
    ),
    "device_transfer": "torch",
    "samplers.order": "splitmix numpy",
    "samplers.shuffle_measure": "errors numpy",
    "samplers.announcement": "block_chunks chunks contents errors opening stored_patches numpy",
    "samplers.source": "samplers.announcement errors numpy",
    "samplers.state": "errors",
    "samplers.patch_sampler": "errors samplers.source samplers.state numpy torch",
    "samplers.scene_weights": "errors numpy",
    "samplers.kinds": (
        "errors samplers.patch_sampler samplers.order samplers.source samplers.state samplers.scene_weights numpy"
    ),
    "background": "device_transfer errors patch_dataset samplers.patch_sampler torch",
    "lightning_base": "",
    "loader_settings": "cores errors patch_dataset samplers.patch_sampler torch",
    "epoch_loader": "errors patch_dataset samplers.patch_sampler torch",
    "datamodule": (
        "bad_samples contents dataset decoder epoch_loader errors lightning_base loader_settings patch_dataset "
        "stores.patch_join samplers.patch_sampler samplers.state samplers.kinds schema torch"
    ),
    "page_cache": "",
    "bench_report": "",
    "machine_limits": "bench_report page_cache reader symmetry numpy torch",
    "throughput": ("background bench_report cores dataset errors machine_limits page_cache reader numpy torch"),
    "demo": "conversion dataset errors sources.simulator verification torch",
    "scene_labels": "schema numpy",
    "patch_spread": "errors numpy",
    "level_histogram": "errors numpy",
    "value_counts": "errors reader numpy",
    "maps.gcp_mapping": "errors numpy",
    "maps.scene_places": "errors maps.gcp_mapping numpy",
    "maps.reference_systems": "errors maps.gcp_mapping maps.scene_places numpy rasterio",
    "maps.scene_map": "contents errors maps.gcp_mapping opening maps.reference_systems maps.scene_places schema numpy",
    "png": "numpy",
    "html_card": "",
    "dataset_card": "contents errors html_card info opening patch_spread png scene_labels schema h5py numpy",
    "preview": "errors opening schema",
    "pictures": "extras",
    "pictures.style": "matplotlib numpy",
    "pictures.samples": "dataset errors scene_labels numpy torch",
    "pictures.saving": "errors pending preview matplotlib",
    "pictures.contact_sheet": (
        "dataset errors patch_spread pictures.samples pictures.style scene_labels schema selection matplotlib numpy"
    ),
    "pictures.histogram": (
        "contents errors level_histogram opening patch_spread pictures.style radiometry reader scene_labels schema "
        "value_counts matplotlib numpy"
    ),
    "pictures.footprint_map": (
        "maps.gcp_mapping pictures.style maps.reference_systems scene_labels maps.scene_map schema matplotlib numpy"
    ),
    "pictures.augmentation": "dataset errors pictures.samples pictures.style symmetry matplotlib numpy",
    "pictures.reconstructions": "errors pictures.samples pictures.style matplotlib numpy",
    "pictures.sample_picture": "dataset pictures.samples pictures.style matplotlib",
    "pictures.file_pictures": (
        "dataset patch_spread pictures.augmentation pictures.contact_sheet pictures.footprint_map pictures.histogram "
        "preview matplotlib"
    ),
    "cli": "errors version click",
    "commands": "",
    "commands.append": "derivation.appending settings splits.leakage click",
    "commands.bench": "throughput click",
    "commands.convert": "conversion schema settings sources.naming units click",
    "commands.demo": "demo click",
    "commands.export": (
        "exports.export_summary exports.geotiff_export exports.shard_export schema sources.patch_tags "
        "tables.index_export click"
    ),
    "commands.extract": "derivation.extraction click",
    "commands.info": "info click",
    "commands.merge": "derivation.merging splits.leakage click",
    "commands.plan": "forecasts.patch_plan forecasts.planning schema click",
    "commands.preview": "preview schema click",
    "commands.scan": "schema settings forecasts.source_scan sources.naming units click",
    "commands.split": "errors splits.leakage schema splits.files splits.methods click",
    "commands.verify": "verification click",
    "commands.repair": "file_repair click",
    "forecasts": "",
    "stores": "",
    "splits": "",
    "samplers": "",
    "tables": "",
    "maps": "",
    "left_out_checks": "column_checks schema verify_report h5py numpy",
    "patch_identity": "block_table chunk_table contents schema stored_patches h5py numpy",
    "shared_blocks.shards": "errors job radiometry settings shared_blocks.expectation shared_blocks.grid sources.scene",
    "text_checksum": "schema h5py numpy",
    "place_recovery": "adjacency schema numpy",
    "recovered_count": "schema numpy",
    "recovered_place_checks": "column_checks file_structure schema verify_report h5py numpy",
    "shared_blocks.telling": "shared_blocks.kernels numpy",
    "commands.repack": "compression derivation.repacking schema click",
    "derivation.block_matching": "derivation.patch_order derivation.pieces derivation.pixel_form schema numpy",
    "derivation.block_numbers": "derivation.taken_patch shared_blocks.contents shared_blocks.table numpy",
    "derivation.block_pixels": (
        "block_table columns derivation.block_numbers derivation.patch_chunks derivation.pixel_form "
        "derivation.taken_patch schema shared_blocks.contents shared_blocks.grid shared_blocks.held_blocks "
        "shared_blocks.sharing shared_blocks.table workers h5py numpy"
    ),
    "derivation.components": "derivation.patch_order derivation.pieces schema numpy",
    "derivation.pixel_form": "compression derivation.attributes derivation.pieces schema h5py numpy",
    "derivation.repacking": (
        "compression cores derivation.derivation_summary derivation.making derivation.pieces derivation.pixel_form "
        "derivation.requests errors intact_reads job pending progress schema shared_blocks.expectation "
        "shared_blocks.grid numpy"
    ),
    "derivation.taken_patch": "schema shared_blocks.sharing h5py numpy",
    "shared_blocks.held_blocks": "compression errors pixel_writer h5py numpy",
    "derivation.piece_reads": "compression derivation.pieces derivation.taken_patch errors intact_reads numpy",
    "repaired_patches": (
        "derivation.derived_file derivation.piece_reads derivation.pieces derivation.taken_patch digest intact_reads "
        "numpy"
    ),
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
        ("import sar_h5; sar_h5.LazyPatchDataset", ["rasterio", "click"]),
        ("import sar_h5; sar_h5.SARPatchDataset", ["rasterio", "click"]),
        ("import sar_h5; sar_h5.convert", ["torch"]),
        ("import sar_h5; sar_h5.verify", ["torch", "rasterio", "click"]),
        ("import sar_h5; sar_h5.repair", ["torch"]),
        ("import sar_h5.cli", ["torch", "rasterio", "h5py"]),
    ],
)
def test_what_a_user_does_not_use_is_not_loaded(statement: str, absent: list[str]) -> None:
    code = f"import sys; {statement}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
