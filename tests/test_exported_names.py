"""The public names: a sorted list, lazily loaded, documented."""

from __future__ import annotations

import inspect

import pytest

import sar_h5

PUBLIC = [
    "BackgroundLoader",
    "BlockShuffleSampler",
    "BlockSplit",
    "DateSplit",
    "DistributedPatchSampler",
    "LazyPatchDataset",
    "PatchDecoder",
    "PatchSplit",
    "SARDataModule",
    "SARH5Dataset",
    "SARImageDataset",
    "SARPatchDataset",
    "SarH5Error",
    "SceneSplit",
    "SceneWeightedSampler",
    "SubsetSampler",
    "__version__",
    "analyze_sar_statistics",
    "append",
    "compute_clip_bounds",
    "convert",
    "export_geotiffs",
    "export_index",
    "export_shards",
    "extract",
    "find_all_sar_files",
    "from_db",
    "handle_invalid_values",
    "load_sar_image",
    "merge",
    "plan",
    "plot_augmentations",
    "plot_footprints",
    "plot_histogram",
    "plot_patches",
    "plot_reconstructions",
    "preprocess_sar_complete",
    "repack",
    "repair",
    "scan",
    "split_file",
    "split_overlap",
    "to_db",
    "verify",
]


def test_the_public_names_are_these() -> None:
    assert sar_h5.__all__ == PUBLIC == sorted(PUBLIC)
    assert dir(sar_h5) == PUBLIC


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_a_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(sar_h5, name)
    assert callable(value)
    assert inspect.getdoc(value)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Dataset'"):
        sar_h5.Dataset  # noqa: B018 - the access is the test


def test_preprocessing_keeps_the_reference_signature() -> None:
    signature = inspect.signature(sar_h5.preprocess_sar_complete)
    assert {name: parameter.default for name, parameter in signature.parameters.items()} == {
        "image": inspect.Parameter.empty,
        "vmin": None,
        "vmax": None,
        "clip_percentiles": (1, 99),
    }
