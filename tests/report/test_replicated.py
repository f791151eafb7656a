"""What a page says of its replicates is so: which runs give their numbers, and how many there are behind a mean."""

from __future__ import annotations

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
from tests.report.studies import replicated, search, trial

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


def test_so_is_that_of_the_seeds_of_one_replicate_and_of_an_arm_alone() -> None:
    rows = [row | ({"test_error": None} if row["seed"] == 2 else {}) for row in ONE_CELL]
    assert markdown([judged(rows)]).count("| n = 5 of 6 |") == 2
    alone = [row for row in replicated(rows) if row["optimizer"] == "adamw"]
    (line,) = verdicts(judged(alone))
    assert "n = 5 of 6 replicates; nothing to compare it with" in line
