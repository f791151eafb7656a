"""Figure 2 in so many minutes: the epochs fit them, and the same command goes on with those that it began with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from figure2 import Pace, begun

ROOT = Path(__file__).parents[2]
SMALL = ["model.depth=8", "model.width=4", "lr=[0.01]", "wd=[0,0.001]", "workers=1"]


def figure2(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    images = folder / "images.npz"
    if not images.exists():
        draw = np.random.default_rng(0)
        parts = {f"x_{name}": draw.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8) for name in ("train", "test")}
        np.savez(images, **parts, y_train=np.arange(40) % 4, y_test=np.arange(40) % 4)
    words = [sys.executable, str(ROOT / "scripts" / "figure2.py"), "--images", str(images), "--device", "cpu"]
    words += ["--results", str(folder / "results"), "--label", "made-up", *more]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)


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


def test_the_same_command_goes_on_with_the_epochs_that_it_has_begun_with(tmp_path: Path) -> None:
    (tmp_path / "results" / "figure2-3-epochs").mkdir(parents=True)
    first = figure2(tmp_path, "--minutes", "2", *SMALL)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "3 trials, 3 epochs each as begun" in first.stdout
    rows = pd.read_csv(tmp_path / "results" / "figure2-3-epochs" / "trials.csv")
    assert sorted(rows["optimizer"]) == ["adam", "adam", "adamw"]  # without decay the two are one trial
    assert set(rows["epochs"]) == {3}
    again = figure2(tmp_path, "--minutes", "2", *SMALL, "optimizer=adam,adamw")
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(pd.read_csv(tmp_path / "results" / "figure2-3-epochs" / "trials.csv")) == 3


def test_trials_epochs_and_minutes_are_said_before_anything_is_trained(tmp_path: Path) -> None:
    said = figure2(tmp_path, "--minutes", "1", "--dry-run", *SMALL)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "3 trials, " in said.stdout
    assert " minutes of training" in said.stdout
    assert "nothing trained" in said.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--minutes", "0"], "must be a positive number"),
        (["epochs=3"], "no key that this script sets itself"),
        (["model=nonsense"], "nonsense"),
        (["lr=-1"], "lr"),
    ],
)
def test_a_wrong_word_is_refused_in_one_line(tmp_path: Path, words: list[str], expected: str) -> None:
    refused = figure2(tmp_path, *words)
    assert refused.returncode == 2
    assert expected in refused.stderr.strip().splitlines()[-1]
    assert "Traceback" not in refused.stderr
