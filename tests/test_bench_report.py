"""What follows from measurements: the setting to use, what limits, and the line to paste."""

from __future__ import annotations

import json

import pytest

from sar_h5.bench_report import BenchReport, Limits, LoaderSetting, Measured


def report(
    *measured: tuple[LoaderSetting, float], limits: Limits | None = None, nbytes: int = 10**9, memory: int = 4 * 10**9
) -> BenchReport:
    chosen = Limits(disk=3000.0, decode=20_000.0, copy=30_000.0, transfer=None) if limits is None else limits
    results = tuple(Measured(setting, rate) for setting, rate in measured)
    return BenchReport("h5/vv.h5", 50_000, nbytes, memory, 4, chosen, results)


PLAIN, BACKGROUND = LoaderSetting(0, 4, 64), LoaderSetting(0, 4, 64, background=True)
WORKERS = LoaderSetting(2, 2, 64)


def test_the_fastest_setting_is_recommended() -> None:
    assert report((PLAIN, 10_000), (BACKGROUND, 12_000), (WORKERS, 15_000)).best.setting == WORKERS
    assert report((PLAIN, 15_000), (BACKGROUND, 12_000), (WORKERS, 10_000)).best.setting == PLAIN


def test_of_settings_that_are_about_as_fast_the_one_without_workers_is() -> None:
    assert report((WORKERS, 10_400), (PLAIN, 10_000)).best.setting == PLAIN
    assert report((WORKERS, 10_600), (PLAIN, 10_000)).best.setting == WORKERS


def test_a_background_loader_is_preferred_to_a_plain_one_that_is_as_fast() -> None:
    # The figures are without a model; the background loader works while one does.
    assert report((PLAIN, 10_000), (BACKGROUND, 9_900)).best.setting == BACKGROUND


def test_other_batch_sizes_are_shown_but_not_recommended() -> None:
    assert report((PLAIN, 10_000), (LoaderSetting(0, 4, 256), 20_000)).best.setting == PLAIN


@pytest.mark.parametrize(
    ("limits", "nbytes", "expected"),
    [
        (Limits(3000, 20_000, 30_000, None), 10**9, ("decode", 20_000)),
        (Limits(3000, 20_000, 30_000, None), 10**10, ("disk", 3000)),
        (Limits(None, 20_000, 30_000, None), 10**10, ("decode", 20_000)),
        (Limits(30_000, 20_000, 30_000, None), 10**10, ("decode", 20_000)),
        (Limits(3000, 20_000, 30_000, 9000), 10**9, ("transfer", 9000)),
    ],
)
def test_the_slowest_part_limits_and_the_disk_only_where_the_file_does_not_fit_memory(
    limits: Limits, nbytes: int, expected: tuple[str, float]
) -> None:
    assert report((PLAIN, 10_000), limits=limits, nbytes=nbytes).bottleneck == expected


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        (
            PLAIN,
            "loader = DataLoader(SARH5Dataset('h5/vv.h5', augment=True, threads=4), batch_size=64, shuffle=True)",
        ),
        (
            BACKGROUND,
            "loader = BackgroundLoader(DataLoader(SARH5Dataset('h5/vv.h5', augment=True, threads=4), batch_size=64, "
            "shuffle=True))",
        ),
        (
            WORKERS,
            "loader = DataLoader(SARH5Dataset('h5/vv.h5', augment=True, threads=2), batch_size=64, shuffle=True, "
            "num_workers=2, persistent_workers=True)",
        ),
    ],
)
def test_the_recommendation_is_a_line_of_python(setting: LoaderSetting, code: str) -> None:
    made = report((setting, 10_000))
    assert made.code == code
    compile(code, "pasted", "exec")


def test_the_text_names_limits_settings_and_the_line_to_paste() -> None:
    text = report((PLAIN, 10_000), (WORKERS, 15_000)).to_text()
    assert "h5/vv.h5: 50,000 patches, 1.00 GB, on 4 cores" in text
    assert "disk      3,000\n" in text
    assert "transfer  no accelerator" in text
    assert "workers 2, threads 2, batch 64                  15,000   75% of decode" in text
    assert "limited by decode, 20,000 patches/s; epochs after the first are read from memory:" in text
    assert "an epoch takes about 3.3 s" in text
    assert text.endswith(report((WORKERS, 15_000)).code)


def test_the_text_says_what_could_not_be_measured_and_when_the_disk_counts() -> None:
    made = report((PLAIN, 10_000), limits=Limits(None, 20_000, 30_000, None))
    assert "unknown: this system cannot drop the page cache" in made.to_text()
    assert "read from disk:\n  10.0 GB do not fit into 4.0 GB" in report((PLAIN, 10_000), nbytes=10**10).to_text()


def test_json_holds_everything() -> None:
    plain = json.loads(json.dumps(report((PLAIN, 10_000)).to_dict()))
    assert plain["limits"]["decode"] == 20_000
    assert plain["bottleneck"] == "decode"
    assert plain["recommended"]["setting"] == {"workers": 0, "threads": 4, "batch_size": 64, "background": False}
    assert plain["code"].startswith("loader = ")
    assert plain["fits_memory"] is True
