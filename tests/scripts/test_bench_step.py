"""The scripts that time the step and plot it run, and what they write can be read."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench import step

pytestmark = pytest.mark.campaign
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPTS / "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "rows.csv"
    run = bench("step", "tiny", "--device", "cpu", "--threads", "1", "--rounds", "2", "--cold", "--csv", path)
    assert run.returncode == 0, run.stderr
    return path


def test_a_row_compares_each_way_with_ours_and_with_the_copy_of_the_same_run(rows: Path) -> None:
    with rows.open(newline="") as file:
        found = {row["way"]: row for row in csv.DictReader(file)}
    assert list(found) == ["optim", "torch fused", "torch foreach"]
    ours = float(found["optim"]["median_us"])
    for row in found.values():
        assert row["cache"] == "cold"
        assert float(row["ratio"]) == pytest.approx(float(row["median_us"]) / ours, rel=0.01, abs=0.01)
        floor = 28 * int(row["parameters"]) / float(row["copy_gb_per_s"]) / 1e3
        assert float(row["floor_us"]) == pytest.approx(floor, rel=0.02)
        assert float(row["share"]) == pytest.approx(floor / float(row["median_us"]), rel=0.05, abs=0.001)


def test_the_plot_has_a_panel_for_each_file_of_another_kind(rows: Path, tmp_path: Path) -> None:
    warm, one, two = tmp_path / "warm.csv", tmp_path / "one.png", tmp_path / "two.png"
    warm.write_text(rows.read_text().replace("cold", "warm"))
    for run in (bench("plot", rows, one), bench("plot", rows, warm, two)):
        assert run.returncode == 0, run.stderr
    widths = [int.from_bytes(path.read_bytes()[16:20]) for path in (one, two)]
    assert widths[0] < widths[1]


def test_a_set_that_is_not_there_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench step", "huge", "--device", "cpu"])
    with pytest.raises(SystemExit, match="2"):
        step.main()
    assert "unknown set huge: choose from tiny" in capsys.readouterr().err
