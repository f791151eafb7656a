"""A new setting of a trial takes three places: the recipe of runner/README.md, followed in a copy of the program."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.damage import QUICK, check_went_on, command

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "runner" / "README.md"
BLOCK = re.compile(r" *```\w+\n *# (\S+), (after|instead of) `([^`\n]*)`[^\n]*\n(.*?) *```", re.DOTALL)


def recipe() -> list[tuple[str, str, str, str]]:
    """Each step of the recipe: a file, whether a line comes after or instead of another, that one, and the line."""
    text = README.read_text(encoding="utf-8").partition("* **A setting of a trial")[2].partition("\n* **")[0]
    return BLOCK.findall(text)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the program in which the recipe was followed."""
    for name in ("runner", "optim", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, where, anchor, line in recipe():
        path = tmp_path / name
        lines = path.read_text(encoding="utf-8").splitlines()
        (at,) = (i for i, old in enumerate(lines) if anchor in old)
        indent = re.match(" *", lines[at])[0]  # type: ignore[index]
        lines[at : at + 1] = [lines[at], indent + line.strip()] if where == "after" else [indent + line.strip()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def run(folder: Path, module: str, *words: str) -> str:
    """What a command of the copy says."""
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def row(folder: Path, study: str) -> dict[str, str]:
    (one,) = csv.DictReader((folder / "results" / study / "trials.csv").open(newline=""))
    return one


def test_it_has_three_steps() -> None:
    files = ["runner/config/settings.py", "configs/config.yaml", "runner/trials/trial.py"]
    assert [step[0] for step in recipe()] == files


def test_the_new_setting_is_trained_with_recorded_told_apart_and_repeated(copy: Path) -> None:
    typed = [*QUICK, "wd=0.1"]
    for study, words in {"plain": [], "new": ["wd_factor=0.5"]}.items():
        run(copy, "runner", *typed, f"study={study}", *words)
    plain, new = row(copy, "plain"), row(copy, "new")
    (copy / "before").mkdir()
    check_went_on(command(copy / "before", *typed, "study=plain"))
    assert row(copy / "before", "plain")["trial"] == plain["trial"]  # ids on record stay
    assert (json.loads(plain["settings"])["wd_factor"], json.loads(new["settings"])["wd_factor"]) == (1.0, 0.5)
    assert plain["trial"] != new["trial"]
    assert plain["val_loss"] != new["val_loss"]
    assert "matched" in run(copy, "runner.rerun", "results/new", new["trial"])


def test_a_wrong_value_is_refused_as_its_field_says(copy: Path) -> None:
    for typed, says in {"-1": "-1.0: must be a number from 0", "a": "a: must be a number"}.items():
        assert f"wd_factor={says}" in run(copy, "runner", f"wd_factor={typed}")
