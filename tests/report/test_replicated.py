"""What a page says of its replicates is so: which runs give their numbers, and how many there are behind a mean."""

from __future__ import annotations

import math

import pytest

from runner.analysis.blocks import split
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.analysis.study_results import BlockResults
from runner.report.generalization import generalization, markdown
from runner.report.page.words import verdicts
from runner.report.terminal import terminal_table
from tests.analysis.test_results import with_finals
from tests.analysis.test_select import frame
from tests.report.studies import LRS, noise, replicated, search, trial

Rows = list[dict[str, object]]
ONE_CELL = [trial(name, 1e-3, 0.1, seed, error=5.0 + seed / 10) for name in ("adam", "adamw") for seed in range(6)]


def judged(rows: Rows) -> BlockResults:
    (block,) = split(frame(rows))
    return results(block, "", Protocol(6))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (replicated(ONE_CELL), "each has a split and seeds of its own, whose runs give one number for each arm"),
        (
            replicated(search(lrs=(1e-3, 1e-2))),
            "each has a split and seeds of its own, its own search and its own winners, whose runs give one number",
        ),
        (
            replicated(with_finals(-0.5, 0.1)),
            "its own search and its own winners, whose fresh seeds give one number for each arm",
        ),
    ],
)
def test_a_page_speaks_of_winners_and_fresh_seeds_only_where_there_are_some(rows: Rows, said: str) -> None:
    """A study of one cell, or with final_seeds=0, was said to have them."""
    assert said in markdown([judged(rows)])


def test_the_number_of_replicates_is_that_of_the_mean_beside_it() -> None:
    """A row that ended well and has no test error was counted, though the mean was over the others."""
    rows = replicated(ONE_CELL)
    (torn,) = [row for row in rows if (row["optimizer"], row["replicate"]) == ("adamw", 2)]
    torn["test_error"] = None
    found = judged(rows)
    page, terminal, table = markdown([found]), terminal_table([found]), generalization([found]).set_index("arm")
    assert "| n = 6 replicates |" in page
    assert "| n = 5 of 6 replicates |" in page
    left_out = "AdamW: 1 of its 6 reported runs have no test error, and are left out"
    assert left_out in page
    assert left_out in terminal
    adam, adamw = (line.split() for line in terminal.splitlines() if line.startswith(("AdamW  ", "Adam + L2  ")))
    assert ("6" in adam, "5/6" in adamw) == (True, True)
    assert table.loc["AdamW", ["n", "replicates", "pairs"]].tolist() == [5, 5, 5]
    assert table.loc["Adam + L2", ["n", "replicates"]].tolist() == [6, 6]
    assert "undecided (5 of 6 replicates are there)" in page


def test_best_cells_of_single_replicates_on_their_grids_edge_are_counted_and_told() -> None:
    """Only that in the mean over all replicates was looked at: the others were on an edge in silence."""
    corner = {1: ("adamw", LRS[4], 0.1), 2: ("adamw", LRS[4], 0.1), 3: ("adamw", 1e-3, 1.0), 4: ("adam", LRS[0], 1e-3)}

    def error(optimizer: str, lr: float, wd: float, seed: int) -> float:
        middle = 0.1 if optimizer == "adamw" else 1e-3
        far = abs(LRS.index(lr) - 2) + (abs(math.log10(wd / middle)) if wd else 4.0)
        return 4.5 if corner.get(seed) == (optimizer, lr, wd) else 5.0 + far + noise(optimizer, seed) / 9

    found = judged(replicated(search(seeds=range(6), error=error)))
    said = "Adam + L2 in 1 of 6 replicates (lr smallest 1); AdamW in 3 of 6 replicates (lr largest 2, wd largest 1)"
    for text in (markdown([found]), " ".join(terminal_table([found]).split())):
        assert f"replicate's best cell is on its grid's edge, and an extended grid might change it: {said}" in text
    table = generalization([found]).set_index("arm")
    assert table["edge_replicates"].to_dict() == {"Adam, no decay": 0, "Adam + L2": 1, "AdamW": 3}
    assert not table["edge"].any()  # the cells that are best in the mean are inner ones
    assert "| no; in 3 of 6 replicates |" in markdown([found])


def test_so_is_that_of_the_seeds_of_one_replicate_and_of_an_arm_alone() -> None:
    rows = [row | ({"test_error": None} if row["seed"] == 2 else {}) for row in ONE_CELL]
    assert markdown([judged(rows)]).count("| n = 5 of 6 |") == 2
    alone = [row for row in replicated(rows) if row["optimizer"] == "adamw"]
    (line,) = verdicts(judged(alone))
    assert "n = 5 of 6 replicates; nothing to compare it with" in line


def test_a_verdict_that_the_study_does_not_ask_for_is_called_exploratory() -> None:
    """A table said that no decay is worse, and the claim on the same difference that this is undecided."""
    (block,) = split(frame(replicated(with_finals(-0.5, 0.01))))
    one = results(block, protocol=Protocol(5))
    assert {arm.arm: arm.verdict for arm in one.arms if arm.difference} == {
        "Adam, no decay": "higher",
        "AdamW": "lower",
    }
    table = markdown([one])
    assert "| Adam, no decay | higher (exploratory) |" in table
    assert "| AdamW | lower |" in table
    plain, main = verdicts(one)
    assert "(exploratory)" in plain
    assert "(exploratory)" not in main
    assert "Adam, no decay: exploratory" in terminal_table([one])
