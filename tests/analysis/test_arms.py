"""The names of arms: whatever is compared in one study has a name of its own."""

from __future__ import annotations

from pathlib import Path

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.records.read import read
from runner.report.terminal import COLUMNS, terminal_table
from tests.report.studies import trial, write


def test_courses_of_the_decay_are_arms_of_their_own_where_there_are_several(tmp_path: Path) -> None:
    rows = [
        trial("adamw", 1e-3, 0.1, 0),
        trial("adamw", 1e-3, 0.1, 0, settings={"wd_schedule": "constant"}),
        trial("adam", 1e-3, 0.1, 0),
        trial("adam", 1e-3, 0.0, 0),
    ]
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
    assert sorted(block.arms) == ["Adam, no decay", "AdamW (all)", "AdamW (weights)"]
    (block,) = split(read(write(tmp_path / "one", rows[1:], curves=False)))
    assert sorted(block.arms) == ["Adam, no decay", "AdamW"]


def test_each_arm_is_compared_with_the_l2_that_decays_the_same(tmp_path: Path) -> None:
    weights = {"decay_params": "weights", "settings": {"optimizer.decay_params": "weights"}}
    rows = [
        trial(name, 1e-3, wd, seed, phase=phase, **more)
        for phase, seeds in (("search", (0, 1)), ("final", (1000, 1001, 1002)))
        for seed in seeds
        for name, wd, more in [
            ("adam", 0.0, {}),
            *((name, wd, more) for name in ("adam", "adamw") for wd in (0.1, 0.2) for more in ({}, dict(weights))),
        ]
    ]
    (block,) = split(read(write(tmp_path, rows, curves=False)))
    found = {result.arm: result.reference for result in results(block).arms}
    assert found == {
        "Adam, no decay": "Adam + L2 (all)",
        "Adam + L2 (all)": "Adam + L2 (all)",
        "Adam + L2 (weights)": "Adam + L2 (weights)",
        "AdamW (all)": "Adam + L2 (all)",
        "AdamW (weights)": "Adam + L2 (weights)",
    }
    one = results(block)
    for w in one.decoupled("adam"):
        l2 = one.l2("adam", beside=w)
        assert l2 is not None
        assert l2.arm == w.reference
    lines = terminal_table([one]).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    table = lines[: len(block.arms) + 2]
    assert len({line.index("0.001") for line in table if "0.001" in line}) == 1  # the columns are aligned
