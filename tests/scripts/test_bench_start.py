"""The benchmarks of start-up and of a stack's parts know the runner that they measure: its commands, its functions."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.campaign
BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench"


def rows_of(path: Path, *words: str) -> list[dict[str, str]]:
    """The rows that a benchmark writes."""
    done = subprocess.run([sys.executable, BENCH, *words, "--csv", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_commands_are_counted_with_what_they_import(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "rows.csv", "start", "--rounds", "1")
    assert len(rows) == 6
    for row in rows:
        assert int(row["modules"]) > 50
        assert float(row["cpu_s"]) > 0
        assert row["met"] == ("yes" if float(row["seconds"]) <= float(row["target_s"]) else "no")
    imported = {row["command"]: row["torch"] for row in rows}
    assert imported["python -m runner --help"] == "-"
    assert imported["python -m runner optimizer=adamw wd=0.01 results=DIR"] == "yes"


def test_the_parts_of_a_stacks_time_are_all_there(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "rows.csv", "profile", "digits", "--epochs", "1")
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1)
    assert all(float(row["seconds"]) >= 0 for row in rows)
    shares = {row["part"]: float(row["share"]) for row in rows}
    assert shares["forward"] + shares["backward"] + shares["optimizer step"] > shares["data and augmentation"]
