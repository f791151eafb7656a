"""Figure 2 in so many minutes: the epochs fit them, and the same command goes on with those that it began with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.figure2 import Pace, begun, main
from tests.damage import Said

SMALL = ["model.depth=8", "model.width=4", "lr=[0.01]", "wd=[0,0.001]", "workers=1"]


Figure2 = Callable[..., Said]


@pytest.fixture
def figure2(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Figure2:
    """The script's `main` in this process, which has imported what it needs; the runner that it starts is its own."""
    draw = np.random.default_rng(0)
    parts = {f"x_{name}": draw.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8) for name in ("train", "test")}
    np.savez(tmp_path / "images.npz", **parts, y_train=np.arange(40) % 4, y_test=np.arange(40) % 4)

    def run(*more: str) -> Said:
        words = ["--images", str(tmp_path / "images.npz"), "--device", "cpu", "--label", "made-up"]
        monkeypatch.setattr(sys, "argv", ["figure2.py", *words, "--results", str(tmp_path / "results"), *more])
        try:
            code = main()
        except SystemExit as error:
            code = int(error.code or 0)
        return Said(code, *capfd.readouterr())

    return run


@pytest.mark.parametrize(("once", "epoch", "seconds"), [(0.0, 1.0, 7.9), (3.0, 2.0, 20.0), (100.0, 50.0, 10.0)])
def test_as_many_epochs_as_fit_and_one_at_least(once: float, epoch: float, seconds: float) -> None:
    epochs = Pace(once, epoch).epochs(seconds)
    assert epochs >= 1
    assert epochs == 1 or once + epochs * epoch <= seconds < once + (epochs + 1) * epoch


def test_a_study_that_was_begun_is_found_by_its_name(tmp_path: Path) -> None:
    assert begun(tmp_path) == 0
    for name in ("figure2-x-epochs", "figure2-7-epochs", "other-9-epochs"):
        (tmp_path / name).mkdir()
    assert begun(tmp_path) == 7


def test_the_same_command_goes_on_with_the_epochs_that_it_has_begun_with(figure2: Figure2, tmp_path: Path) -> None:
    (tmp_path / "results" / "figure2-3-epochs").mkdir(parents=True)
    first = figure2("--minutes", "2", *SMALL)
    assert first.code == 0, first.text
    assert "3 trials, 3 epochs each as begun" in first.out
    rows = pd.read_csv(tmp_path / "results" / "figure2-3-epochs" / "trials.csv")
    assert sorted(rows["optimizer"]) == ["adam", "adam", "adamw"]  # without decay the two are one trial
    assert set(rows["epochs"]) == {3}
    again = figure2("--minutes", "2", *SMALL, "optimizer=adam,adamw")
    assert again.code == 0, again.text
    assert len(pd.read_csv(tmp_path / "results" / "figure2-3-epochs" / "trials.csv")) == 3


def test_trials_epochs_and_minutes_are_said_before_anything_is_trained(figure2: Figure2) -> None:
    said = figure2("--minutes", "1", "--dry-run", *SMALL)
    assert said.code == 0, said.text
    assert "3 trials, " in said.out
    assert " minutes of training" in said.out
    assert "nothing trained" in said.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--minutes", "0"], "must be a positive number"),
        (["epochs=3"], "no key that this script sets itself"),
        (["model=nonsense"], "nonsense"),
        (["lr=-1"], "lr"),
    ],
)
def test_a_wrong_word_is_refused_in_one_line(figure2: Figure2, words: list[str], expected: str) -> None:
    refused = figure2(*words)
    assert refused.code == 2
    assert expected in refused.err.strip().splitlines()[-1]
    assert "Traceback" not in refused.err
