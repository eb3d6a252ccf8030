"""Pictures: what is drawn is what the file holds, words are where they belong, and nothing global changes."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import sar_h5
from sar_h5 import (
    SARH5Dataset,
    SARPatchDataset,
    convert,
    plot_augmentations,
    plot_footprints,
    plot_histogram,
    plot_patches,
    plot_reconstructions,
)
from sar_h5.errors import FormatError, MissingExtraError, OutputExistsError, PatchIndexError, SettingError
from sar_h5.pictures.sample_picture import plot_sample
from sar_h5.pictures.samples import displayed, sample_image
from sar_h5.pictures.saving import save_picture
from sar_h5.pictures.style import Picture
from sar_h5.symmetry import apply_symmetry, draw_symmetry
from tests.conftest import REAL_SCENE, make_shards
from tests.patch_files import read_plain
from tests.scene_files import SIZE, WGS84, Place, grid_points, write_scenes

UTM = "EPSG:32632"


def utm_scene(*, north: float, **settings: object) -> Place:
    return Place(crs=UTM, transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, north), **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes beside each other, split by column."""
    places = [utm_scene(north=4_200_000.0), utm_scene(north=4_199_000.0, orbit=36202)]
    path = write_scenes(tmp_path_factory.mktemp("h5") / "vv.h5", places)
    with h5py.File(path, "r+") as f:
        f["splits/default"] = np.digitize(f["index/col"][:], [8, 32, 40]).astype(np.uint8)
    return path


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of others: floats in dB, wider than high."""
    path = tmp_path_factory.mktemp("h5") / "other.h5"
    with h5py.File(path, "w") as f:
        f["data"] = np.random.default_rng(0).normal(-12, 4, (20, 10, 24)).astype(np.float32)
    return path


def images(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.images]


def test_a_sheet_shows_the_patches_of_the_file_with_scene_and_place(file: Path) -> None:
    figure = plot_patches(file, [0, -1, 41])
    assert np.array_equal(images(figure), read_plain(file, [0, 69, 41])[:, 0])
    assert titles(figure) == [
        "S1A 2021-01-19 orbit 36201\nrow 0, col 0",
        "S1A 2021-01-19 orbit 36202\nrow 32, col 48",
        "S1A 2021-01-19 orbit 36202\nrow 0, col 48",
    ]
    assert figure.get_suptitle() == "vv.h5: 3 of 70 patches, 16 x 16 px, VV"
    ticks = [label.get_text() for label in figure.axes[-1].get_yticklabels()]
    assert (ticks[0], ticks[-1]) == ("14.77", "24.54")


def test_a_sheet_without_indices_is_spread_over_the_file_and_repeatable(file: Path) -> None:
    one, other, same = (titles(plot_patches(file, count=9, seed=seed)) for seed in (0, 1, 0))
    assert one == same != other
    assert [sum(f"orbit {orbit}" in title for title in one) for orbit in (36201, 36202)] == [5, 4]
    assert len(titles(plot_patches(SARH5Dataset(file, split="val")))) == 10


def test_a_sheet_of_a_file_of_others_is_stretched_and_numbered(foreign: Path) -> None:
    figure = plot_patches(foreign, count=4)
    shown, drawn = np.array(images(figure)), figure.axes[0].images[0]
    assert drawn.get_clim() == pytest.approx(np.percentile(shown, [1, 99]))
    assert all(title.startswith("patch ") for title in titles(figure))


def test_a_sheet_shows_augmented_samples_and_codes_as_values(file: Path) -> None:
    augmented = SARH5Dataset(file, augment=True, seed=5)
    assert np.array_equal(images(plot_patches(augmented, [3, 8])), read_plain(file, [3, 8], augment=True, seed=5)[:, 0])
    codes = SARH5Dataset(file, output="codes", augment=True, seed=5)
    assert np.array_equal(images(plot_patches(codes, [3])), read_plain(file, [3], augment=True, seed=5)[:, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"indices": []}, "expected 1 to 144 patches to show; found 0"),
        ({"count": 0}, "expected at least 1 patch to show; found 0"),
        ({"indices": [0] * 145}, "expected 1 to 144 patches to show; found 145"),
        ({"columns": 0}, "expected at least 1 column; found columns=0"),
    ],
)
def test_a_sheet_that_cannot_be_is_refused(file: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        plot_patches(file, **settings)  # type: ignore[arg-type]


def test_two_channels_become_a_false_color_composite() -> None:
    image = np.array([[[0.8, 0.5]], [[0.2, 0.5]]], dtype=np.float32)
    assert displayed(image, (0, 1)) == pytest.approx(np.array([[[0.8, 0.2, 0.8], [0.5, 0.5, 0.5]]]))
    assert displayed(image * 10 - 20, (-20, -10)) == pytest.approx(displayed(image, (0, 1)), abs=1e-5)


@pytest.mark.parametrize(
    "sample", [torch.zeros(3, 4, 4), np.zeros(4), {"mask": 1}, {}, np.zeros((1, 0, 4)), "text", 1j]
)
def test_a_sample_that_is_no_image_is_refused(sample: object) -> None:
    with pytest.raises(SettingError, match=r"expected an? (image|sample)"):
        sample_image(sample)


def test_the_histogram_of_a_product_shows_its_bounds_and_what_they_clip(real_data: Path, tmp_path: Path) -> None:
    convert(real_data / REAL_SCENE, tmp_path, patch_size=128, polarization="vv", vmin=21.5, vmax=25.25)
    figure = plot_histogram(tmp_path / "vv.h5")
    with h5py.File(tmp_path / "vv.h5") as f:
        counts = f["histogram"][:]
    pixels = np.repeat(np.arange(65536), counts.astype(int))
    db = np.float32(10) * np.log10(pixels.astype(np.float32))
    shares = (np.mean(db < np.float32(21.5)), np.mean(db > np.float32(25.25)))
    (axes,) = figure.axes
    words = [text.get_text() for text in axes.texts]
    assert words == [f"vmin 21.50 dB\n{shares[0]:.2%} clipped to 0", f"vmax 25.25 dB\n{shares[1]:.2%} clipped to 1"]
    assert axes.get_title() == f"{len(pixels):,} valid pixels of all scenes"
    curve = axes.patches[0].get_data()
    assert np.sum(curve.values * np.diff(curve.edges)) == pytest.approx(100)
    within = np.mean((db > curve.edges[10]) & (db < curve.edges[40]))
    assert np.sum((curve.values * np.diff(curve.edges))[10:40]) == pytest.approx(100 * within)


def test_a_histogram_of_shards_is_that_of_a_sample_and_says_so(tmp_path: Path) -> None:
    make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5", vmin=14.77, vmax=24.54)
    path = tmp_path / "h5" / "vv.h5"
    with h5py.File(path, "r+") as f:
        codes = f["patches"][:]
        codes[:, :4], codes[:, 4:6] = 0, len(f["lut"]) - 1
        f["patches"][:] = codes
    figure = plot_histogram(path)
    values = read_plain(path)
    (axes,) = figure.axes
    assert axes.get_title() == "no count of digital numbers; values of 8 of 8 patches"
    words = [text.get_text() for text in axes.texts]
    assert words[0] == f"vmin 14.77 dB\n{np.mean(values == 0):.2%} at 0: clipped or no data"
    assert words[1] == f"vmax 24.54 dB\n{np.mean(values == 1):.2%} at 1: clipped"
    curve = axes.patches[0].get_data()
    inside = np.mean((values > 0) & (values < 1))
    assert np.sum(curve.values * np.diff(curve.edges)) == pytest.approx(100 * inside)
    assert "values of 3 of 8 patches" in plot_histogram(path, patches=3).axes[0].get_title()


def test_a_histogram_of_a_file_of_others_has_no_bounds(foreign: Path) -> None:
    (axes,) = plot_histogram(foreign).axes
    assert (len(axes.texts), axes.get_xlabel()) == (0, "value")


def test_footprints_are_the_corners_of_scenes_and_cells_colored_by_split(file: Path) -> None:
    (axes,) = plot_footprints(file).axes
    cells, outlines = (collection.get_paths() for collection in axes.collections)
    assert [outline.vertices[0].tolist() for outline in outlines] == [[500000, 4200000], [500000, 4199000]]
    assert [outline.vertices[32].tolist() for outline in outlines] == [[500640, 4199520], [500640, 4198520]]
    with h5py.File(file) as f:
        members, rows, cols = f["splits/default"][:], f["index/row"][:], f["index/col"][:]
    order = np.argsort(members, kind="stable")
    tops = np.where(order < 35, 4_200_000, 4_199_000) - 10 * (rows[order] + 4)
    expected = np.stack([500_000 + 10 * (cols[order] + 4), tops], axis=-1)
    assert np.array_equal([cell.vertices[0] for cell in cells], expected)
    assert {tuple(np.ptp(cell.vertices, axis=0)) for cell in cells} == {(80.0, 80.0)}
    colors = axes.collections[0].get_facecolors()
    assert len(np.unique(colors, axis=0)) == 4
    for member in range(4):
        assert len(np.unique(colors[members[order] == member], axis=0)) == 1
    legend = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert legend == [f"{name} ({np.sum(members == n)})" for n, name in enumerate(["unused", "train", "val", "test"])]
    assert axes.get_xlabel() == "x, WGS 84 / UTM zone 32N"


def test_footprints_by_control_points_keep_the_form_of_the_ground(tmp_path: Path) -> None:
    place = Place(gcp_crs=WGS84, gcps=grid_points((0, 24, 48), (0, 64), 8.0, 60.0, 0.01))
    (axes,) = plot_footprints(write_scenes(tmp_path / "a.h5", [place])).axes
    outline = axes.collections[1].get_paths()[0].vertices
    assert outline[[0, 16, 32, 48]] == pytest.approx(
        np.array([(8, 60), (8.64, 60.064), (8.736, 59.584), (8.096, 59.52)])
    )
    assert axes.get_aspect() == pytest.approx(1 / np.cos(np.radians((60.064 + 59.52) / 2)))
    assert axes.get_title() == "no splits in the file"


def test_scenes_without_a_place_stand_side_by_side_and_some_are_left_out(tmp_path: Path) -> None:
    (axes,) = plot_footprints(write_scenes(tmp_path / "a.h5", [Place(), Place(width=90)])).axes
    assert axes.get_title() == "no splits in the file; no geo-reference: scenes side by side in pixels"
    assert axes.yaxis_inverted()
    (axes,) = plot_footprints(write_scenes(tmp_path / "b.h5", [Place(), utm_scene(north=1e6)])).axes
    assert axes.get_title() == "no splits in the file; 35 of 70 patches drawn; 1 scene without a known place left out"


def test_many_patches_are_thinned_to_a_coarser_grid_that_covers_as_much(tmp_path: Path) -> None:
    path = write_scenes(tmp_path / "a.h5", [utm_scene(north=4e6, height=136, width=136)])
    (full,), (thin,) = plot_footprints(path).axes, plot_footprints(path, most_patches=70).axes
    cells = [np.array([path.vertices[:4] for path in axes.collections[0].get_paths()]) for axes in (full, thin)]
    assert [len(some) for some in cells] == [256, 64]
    assert thin.get_title() == "no splits in the file; 64 of 256 patches drawn, 2 strides wide"
    for corner in (np.min, np.max):
        assert np.array_equal(corner(cells[0], axis=(0, 1)), corner(cells[1], axis=(0, 1)))


def test_footprints_that_cannot_be_are_refused_with_the_reason(file: Path, foreign: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"expected splits called 'mine'; the file holds default"):
        plot_footprints(file, "mine")
    with pytest.raises(FormatError, match=r"other\.h5: expected a file made by sar-h5 convert"):
        plot_footprints(foreign)
    with pytest.raises(SettingError, match=r"found none\. Shards do not tell them: convert the products"):
        plot_footprints(write_scenes(tmp_path / "a.h5", [Place(height=-1, width=-1)]))
    with pytest.raises(SettingError, match="most_patches=0"):
        plot_footprints(file, most_patches=0)


def test_augmentation_shows_the_eight_symmetries_by_number(file: Path) -> None:
    figure = plot_augmentations(SARH5Dataset(file, augment=True, seed=1, indices=[7, 20]), 1)
    patch = read_plain(file, [20])[0, 0]
    assert np.array_equal(images(figure), [apply_symmetry(patch, number) for number in range(8)])
    assert [title.partition(":")[0] for title in titles(figure)] == list("01234567")
    assert titles(figure)[5] == "5: turned 90°, mirrored"
    assert figure.get_suptitle() == "vv.h5, patch 20"


def test_augmentation_of_epochs_shows_what_the_data_set_draws_and_leaves_it_as_it_is(file: Path) -> None:
    dataset = SARH5Dataset(file, augment=True, seed=1)
    dataset.set_epoch(4)
    before = dataset[9]
    figure = plot_augmentations(dataset, 9, epochs=[0, 3])
    assert torch.equal(dataset[9], before)
    plain = read_plain(file, [9])[0, 0]
    drawn = [draw_symmetry(1, epoch, 9) for epoch in (0, 3)]
    assert np.array_equal(images(figure), [plain, *(apply_symmetry(plain, number) for number in drawn)])
    assert [title.split("(")[-1] for title in titles(figure)[1:]] == [f"{number})" for number in drawn]


def test_augmentation_that_cannot_be_is_refused(file: Path, foreign: Path) -> None:
    with pytest.raises(SettingError, match="expected a square patch to turn; found 10 x 24 pixels"):
        plot_augmentations(foreign)
    with pytest.raises(SettingError, match="expected 1 to 48 epochs to show; found 0"):
        plot_augmentations(file, epochs=[])
    with pytest.raises(PatchIndexError, match="patch index 70 is out of range"):
        plot_augmentations(file, 70)


def test_reconstructions_are_rows_of_input_output_and_error() -> None:
    generator = np.random.default_rng(0)
    inputs, noise = generator.random((3, 1, 8, 12), dtype=np.float32), generator.normal(0, 0.1, (3, 1, 8, 12))
    outputs = torch.tensor(inputs + noise, dtype=torch.float32, requires_grad=True)
    figure = plot_reconstructions(inputs, outputs, vmin=10, vmax=30, count=2, suptitle="after 3 epochs")
    made = outputs.detach().numpy()
    shown = images(figure)
    assert len(shown) == 6
    for row in range(2):
        assert np.array_equal(shown[3 * row], inputs[row, 0])
        assert np.array_equal(shown[3 * row + 1], made[row, 0])
        assert shown[3 * row + 2] == pytest.approx(20 * (made - inputs)[row, 0], abs=1e-6)
    rmse = np.sqrt(np.mean((made - inputs)[0] ** 2, dtype=np.float64))
    assert titles(figure)[2] == f"RMSE {rmse:.4f} = {20 * rmse:.2f} dB, PSNR {10 * np.log10(1 / rmse**2):.1f} dB"
    low, high = figure.axes[2].images[0].get_clim()
    assert -low == high == pytest.approx(np.percentile(20 * np.abs(made - inputs)[:2], 99.5), rel=1e-5)
    assert figure.get_suptitle() == "after 3 epochs\n2 of 3 reconstructions"


def test_reconstructions_without_error_or_with_broken_values_are_still_drawn() -> None:
    patches = torch.rand(1, 4, 4, dtype=torch.bfloat16)
    assert titles(plot_reconstructions(patches, patches))[2] == "RMSE 0.0000, PSNR infinite"
    broken = plot_reconstructions(patches, torch.full((1, 4, 4), float("nan")))
    assert titles(broken)[2] == "error: not finite"
    broken.canvas.draw()


@pytest.mark.parametrize(
    ("inputs", "outputs", "settings", "message"),
    [
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 5)), {}, "expected outputs of the shape of inputs"),
        (np.zeros((1, 2, 4, 4)), np.zeros((1, 2, 4, 4)), {}, r"expected inputs as \(n, 1, H, W\)"),
        (np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), {}, "n of at least 1"),
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), {"vmin": 3.0}, "both bounds in dB"),
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), {"vmin": 3.0, "vmax": 3.0}, "both bounds in dB"),
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), {"count": 0}, "count=0"),
        ("text", np.zeros((1, 4, 4)), {}, "found str"),
    ],
)
def test_reconstructions_that_cannot_be_are_refused(
    inputs: object, outputs: object, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        plot_reconstructions(inputs, outputs, **settings)  # type: ignore[arg-type]


def test_a_sample_is_drawn_with_what_a_model_made_of_it(file: Path) -> None:
    dataset = SARH5Dataset(file, sample="dict")
    sample = dataset[4] | {
        "prediction": torch.eye(SIZE, dtype=torch.int64),
        "reconstruction": torch.zeros(1, SIZE, SIZE),
    }
    figure = plot_sample(dataset, sample, suptitle="costs $5_")
    assert titles(figure) == ["Image", "Reconstruction", "Prediction"]
    assert np.array_equal(images(figure)[0], dataset[4]["image"][0])
    assert np.array_equal(images(figure)[2], np.eye(SIZE))
    figure.canvas.draw()
    bare = plot_sample(dataset, torch.rand(2, SIZE, SIZE), show_titles=False)
    assert (titles(bare), images(bare)[0].shape) == ([""], (SIZE, SIZE, 3))


def test_names_of_scenes_and_files_are_no_formulas(tmp_path: Path) -> None:
    names = [r"$\frac{$ 5%", "<b>&\n\x1b[31m", "x" * 300]
    path = write_scenes(
        tmp_path / r"$\x$.h5", [utm_scene(north=4e6 + n, name=name, platform="") for n, name in enumerate(names)]
    )
    for figure in (plot_patches(path, count=6), plot_footprints(path), plot_histogram(path), plot_augmentations(path)):
        figure.canvas.draw()
        assert r"$\x$.h5" in figure.get_suptitle()


def test_pictures_change_nothing_global_and_need_no_pyplot(file: Path) -> None:
    code = (
        "import sys, sar_h5, matplotlib; before = matplotlib.rcParams.copy();"
        f"png = sar_h5.plot_footprints({str(file)!r})._repr_png_();"
        "print(before == matplotlib.rcParams.copy(), 'matplotlib.pyplot' in sys.modules, 'torch' in sys.modules, png[:4])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == r"True False False b'\x89PNG'"


def test_figures_do_not_pile_up_in_pyplot(file: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    figure = plot_patches(file, [0])
    figure.canvas.draw()
    assert pyplot.get_fignums() == before
    released = weakref.ref(figure)
    del figure
    gc.collect()
    assert released() is None


def test_without_matplotlib_a_picture_asks_for_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("matplotlib", "sar_h5.pictures"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"drawing pictures needs matplotlib.*pip install 'sar_h5\[pictures\]'"):
        sar_h5.plot_patches  # noqa: B018 - the access is the test


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".PDF", b"%PDF"), (".svg", b"<?xml")])
def test_a_picture_is_saved_by_its_suffix_and_not_replaced_unasked(tmp_path: Path, suffix: str, start: bytes) -> None:
    figure, path = Picture(), tmp_path / f"a{suffix}"
    save_picture(figure, path)
    assert path.read_bytes().startswith(start)
    with pytest.raises(OutputExistsError, match="is there already"):
        save_picture(figure, path)
    save_picture(figure, path, overwrite=True)
    with pytest.raises(SettingError, match=r"expected a name that ends in \.png, \.pdf, \.svg; found \.jpg"):
        save_picture(figure, tmp_path / "a.jpg")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_patches_in_memory_are_drawn_too() -> None:
    patches = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    figure = plot_patches(SARPatchDataset(patches))  # type: ignore[arg-type]  # it has all that is needed
    assert titles(figure) == ["patch 0", "patch 1", "patch 2"]
