"""A file that never ends, or that nobody writes, is refused in a line; no command hangs on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.damage import TWO, check_refused, command


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, device])
@pytest.mark.parametrize("name", ["trials.csv", "curves.csv", "plan.csv", "study.yaml"])
def test_a_studys_file_that_is_none_is_refused(make: object, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    folder.mkdir(parents=True)
    assert callable(make)
    make(folder / name)
    check_refused(command(tmp_path, *TWO), f"{name}: is a")
    said = command(tmp_path, "results/s", module="runner.report")
    assert (said.code, said.text.count("\n")) == (2, 1), said.text
    assert f"{name}: is a" in said.text


@pytest.mark.parametrize("make", [pipe, device])
@pytest.mark.parametrize("dataset", ["text", "npz"])
def test_data_that_is_no_file_is_refused(make: object, dataset: str, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "data")
    check_refused(command(tmp_path, f"dataset={dataset}", f"dataset.path={tmp_path / 'data'}", "epochs=1"), "data")
