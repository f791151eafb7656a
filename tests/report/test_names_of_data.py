"""Two files in one study are told apart by their names, in tables, plots and the commands that extend a grid."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.data.settings import DATASETS
from runner.records.read import read
from runner.report.extend import extension
from tests.analysis.test_select import frame
from tests.damage import FAST, check_went_on, command
from tests.report.studies import LRS, search, write


@pytest.mark.parametrize(
    ("kind", "more", "name"),
    [
        ("npz", {"path": "/data/cats.npz"}, "cats.npz"),
        ("npz", {"path": "/data/cats.npz", "label": "cats"}, "cats"),
        ("text", {"path": "~/a book.txt"}, "a book.txt"),
        ("folder", {"path": "/data/flowers/"}, "flowers/"),
        ("npz", {}, "npz"),
        ("imagenet32", {"path": "/data/imagenet32"}, "imagenet32"),
        ("digits", {}, "digits"),
        ("digits", {"label": "mine"}, "mine"),
    ],
)
def test_data_is_called_by_its_label_or_its_file_or_its_group(kind: str, more: dict[str, str], name: str) -> None:
    assert DATASETS[kind](kind, **more).shown == name


def test_two_files_of_one_study_are_told_apart_by_name_not_by_hash(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        x = np.random.default_rng(len(name) + ord(name[0])).integers(0, 255, (60, 8, 8)).astype(np.uint8)
        y = np.arange(60) % 3
        np.savez(tmp_path / f"{name}.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    words = [word for word in FAST if not word.startswith("dataset.")]
    for name in ("cats", "dogs"):
        said = command(tmp_path, *words, "dataset=npz", f"dataset.path={name}.npz")
        check_went_on(said)
    assert {block.label for block in split(read(tmp_path / "results" / "s"))} == {
        f"dataset={name}.npz" for name in ("cats", "dogs")
    }
    assert "resnet on cats.npz, 1 epochs" in said.out
    assert "dataset.hash" not in said.out
    for name, trial in read(tmp_path / "results" / "s")[["dataset", "trial"]].itertuples(index=False):
        again = command(tmp_path, *words, "dataset=npz", f"dataset.path={name}", "dataset.label=x")
        check_went_on(again, "already done")
        assert trial in set(read(tmp_path / "results" / "s")["trial"])


def test_the_same_data_is_compared_under_whatever_names_it_has() -> None:
    """Rows of before say npz, or another label was given: the trials are the same."""
    npz = {"settings": {"dataset": "npz"}}
    rows = [*search(("adam",), dataset="npz", **npz), *search(("adamw",), dataset="cats.npz", **npz)]
    (block,) = split(frame(rows))
    assert block.title.startswith("resnet on npz,")
    assert block.arms == ["Adam, no decay", "Adam + L2", "AdamW"]


def test_a_grid_is_extended_on_the_file_that_it_is_of(tmp_path: Path) -> None:
    """The command named the file of the study's last command, whichever block it was for."""
    noted = "model: {name: resnet}, schedule: {name: cosine}, epochs: 20, batch_size: 64, precision: fp32, wd: [1], "
    noted += "seed: [0], lr: [1], optimizer: {name: adamw}"
    told = [f"{{{noted}, dataset: {{name: npz, label: '', path: /d/{name}.npz}}}}" for name in ("cats", "dogs")]
    (tmp_path / "study.yaml").write_text(f"settings: [{', '.join(told)}]\n")
    rows = []
    for name in ("cats", "dogs"):
        settings = {"dataset": "npz", "dataset.hash": name, "schedule": "cosine", "precision": "fp32", "batch_size": 64}
        rows += search(("adamw",), lrs=LRS[:3], dataset=f"{name}.npz", settings=settings)
    write(tmp_path, rows, curves=False)
    blocks = [results(block) for block in split(read(tmp_path))]
    commands = [line for line in extension(tmp_path, blocks).splitlines() if "dataset=npz" in line]
    assert [next(w for w in shlex.split(line) if w.startswith("dataset.path")) for line in commands] == [
        "dataset.path=/d/cats.npz",
        "dataset.path=/d/dogs.npz",
    ]
    assert not any("dataset.label" in line for line in commands)
