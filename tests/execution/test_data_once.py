"""A command reads its data at most once, and a repeat of a finished study or of a dry run not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.damage import Said, check_refused, check_went_on, command, rows

WORDS = (
    "dataset=folder",
    "dataset.path=data",
    "dataset.size=8",
    "dataset.validation=0.25",
    "model.width=4",
    "epochs=1",
)
STUDY = (*WORDS, "seed=[0,1]", "stack=1", "study=s")


def count() -> None:
    """Note every file of the data that is opened by this process."""
    note = os.open("opened.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith(".bmp"):
            os.write(note, b"opened\n")

    sys.addaudithook(audit)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        for k, name in enumerate(("ant", "bee")):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for i in range(12):
                pixels = np.random.default_rng(100 * k + i + 1000 * (part == "test")).integers(0, 256, (8, 8, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "data" / part / name / f"{i}.bmp")
    return tmp_path


def run(folder: Path, *words: str) -> tuple[Said, int]:
    """A command, and how many images it opened."""
    (folder / "opened.txt").unlink(missing_ok=True)
    said = command(folder, *words, before=count)
    return said, (folder / "opened.txt").read_text().count("\n")


def test_repeats_and_dry_runs_open_no_image(data: Path) -> None:
    said, opened = run(data, *STUDY, "workers=1")
    check_went_on(said)
    assert opened == 48
    before = (data / "results" / "s" / "trials.csv").read_bytes()
    for words, line in (
        (STUDY, "already done"),
        ((*STUDY, "dry_run=true"), "0 to train"),
        ((*STUDY, "seed=[0,1,2]", "dry_run=true"), "1 to train"),
    ):
        said, opened = run(data, *words)
        check_went_on(said, line)
        assert opened == 0
    assert (data / "results" / "s" / "trials.csv").read_bytes() == before
    said, opened = run(data, *STUDY, "dataset.cache=false")
    check_went_on(said, "already done")
    assert opened == 48


def test_rows_are_the_same_from_files_and_from_the_cache_in_one_process_and_in_two(data: Path) -> None:
    found = []
    for words in (("workers=1", "dataset.cache=false"), ("workers=1",), ("workers=1",), ("workers=2",)):
        check_went_on(run(data, *STUDY, "fresh=true", *words)[0])
        found.append(rows(data).drop(columns=["stack"], errors="ignore").to_csv())
    assert len(set(found)) == 1


def test_dataset_train_has_rows_of_its_own(data: Path) -> None:
    check_went_on(run(data, *STUDY, "workers=1")[0])
    check_went_on(run(data, *STUDY, "workers=1", "dataset.train=6")[0])
    table = rows(data)
    assert sorted(table["train_size"]) == ["18", "18", "6", "6"]
    assert len(set(table["trial"])) == 4


@pytest.mark.parametrize("value", ["none", "-1", "19"])
def test_a_size_that_is_none_is_refused(data: Path, value: str) -> None:
    check_refused(run(data, *STUDY, f"dataset.train={value}")[0], "dataset.train")


@pytest.mark.parametrize(("value", "files"), [("false", 0), ("kept", 1)])
def test_the_cache_is_where_it_is_told_to_be(data: Path, value: str, files: int) -> None:
    check_went_on(run(data, *STUDY, "dry_run=true", f"dataset.cache={value}")[0])
    assert len(list((data / "kept").glob("*.arrays"))) == files
    assert {path.name for path in data.iterdir()} <= {"data", "kept", "opened.txt"}
