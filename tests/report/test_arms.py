"""The names of arms: whatever is compared in one study has a name of its own."""

from __future__ import annotations

from pathlib import Path

from runner.reading import read
from runner.report.arms import split
from tests.report.studies import trial, write


def test_courses_of_the_decay_are_arms_of_their_own_where_there_are_several(tmp_path: Path) -> None:
    rows = [
        trial("adamw", 1e-3, 0.1, 0),
        trial("adamw", 1e-3, 0.1, 0, settings={"wd_schedule": "constant"}),
        trial("adam", 1e-3, 0.1, 0),
        trial("adam", 1e-3, 0.0, 0),
    ]
    rows[1]["trial"] = "another"
    (block,) = split(read(write(tmp_path, rows, curves=False)))
    assert sorted(block.arms) == ["Adam + L2", "Adam, no decay", "AdamW (constant)", "AdamW (follow_lr)"]
    (block,) = split(read(write(tmp_path / "one", rows[:1], curves=False)))
    assert block.arms == ["AdamW"]


def test_what_is_decayed_makes_an_arm_where_a_study_holds_both(tmp_path: Path) -> None:
    rows = [
        trial("adamw", 1e-3, 0.1, 0),
        trial("adamw", 1e-3, 0.1, 1, decay_params="weights", settings={"optimizer.decay_params": "weights"}),
        trial("adam", 1e-3, 0.0, 0),
    ]
    (block,) = split(read(write(tmp_path, rows, curves=False)))
    assert sorted(block.arms) == ["Adam, no decay", "AdamW (all parameters)", "AdamW (weights only)"]
    (block,) = split(read(write(tmp_path / "one", rows[1:], curves=False)))
    assert sorted(block.arms) == ["Adam, no decay", "AdamW"]
