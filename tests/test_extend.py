"""The command that is printed for a winner on its grid's edge works as it stands, in the same study and block."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd
import pytest

from runner.analysis.blocks import split
from runner.analysis.select import winners
from runner.records.read import read
from tests.damage import check_went_on, command

# Rates that hardly learn below one that does, and decays of a tenth and of all in every step: the winners are where the
# assertions below have them on any processor.
QUICK = ("epochs=3", "model.width=4", "dataset.train=100", "dataset.test=1500", "batch_size=8", "study=s", "workers=1")
CASES = {
    "lr largest": ("optimizer=adam,adamw", "lr=1e-6,1e-5,1e-4", "wd=0,0.01,0.1", "schedule.warmup_epochs=0.5"),
    "wd smallest": ("optimizer=adamw", "lr=1e-2", "wd=10,100", "optimizer.beta2=0.98", "wd_schedule=constant"),
}


def said_commands(text: str) -> list[list[str]]:
    return [shlex.split(line)[3:] for line in text.splitlines() if line.startswith("python -m runner ")]


def edges(folder: Path) -> pd.Series:
    return winners(read(folder)).set_index("arm")["edge"]


@pytest.mark.parametrize("edge", CASES)
def test_the_printed_command_extends_the_grid(edge: str, tmp_path: Path) -> None:
    said = command(tmp_path, "-m", *QUICK, *CASES[edge], "seed=0,1", "final_seeds=2")
    check_went_on(said)
    folder = tmp_path / "results" / "s"
    before, old = read(folder), edges(folder)
    (block,) = split(before)
    on_edge = {arm for arm, where in old.items() if edge in where}
    assert on_edge
    # The report alone prints the same commands.
    commands = said_commands(said.out)
    assert said_commands(command(tmp_path, "results/s", module="runner.report").out) == commands
    assert commands
    for words in commands:
        check_went_on(command(tmp_path, *words, "workers=1"))
    after = read(folder)
    (again,) = split(after)
    assert again.id == block.id
    assert after[: len(before)].equals(before)  # nothing was trained twice
    search = after[after["phase"] == "search"]
    axis = edge.partition(" ")[0]
    assert all(sorted(seeds) == [0, 1] for _, seeds in search.groupby(["optimizer", "lr", "wd"])["seed"])
    assert set(search[axis]) > set(before[axis])
    best, was = (winners(frame).set_index("arm") for frame in (after, before))
    for arm in on_edge:
        moved = best.loc[arm, axis] != was.loc[arm, axis]
        assert moved or edge not in best.loc[arm, "edge"]
        assert best.loc[arm, "cells"] > was.loc[arm, "cells"]
    assert set(after.loc[after["phase"] == "final", "seed"]) == {1000, 1001}
