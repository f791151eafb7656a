"""Claims about a winner's place in its grid: at the edge, beside no decay, or on an axis that was not searched."""

from __future__ import annotations

import math
from typing import Any

import pytest

from runner.analysis.select import NONE_BETTER
from tests.analysis.test_select import winner
from tests.report import studies
from tests.report.studies import search, trial


@pytest.mark.parametrize(
    ("at", "zero", "expected"),
    [
        ((2, 2), True, ""),
        ((0, 2), True, "lr smallest"),
        ((4, 2), True, "lr largest"),
        ((2, 4), True, "wd largest"),
        ((2, 0), True, ""),  # wd = 0 is its neighbour
        ((2, 0), False, "wd smallest"),
        ((2, 2), False, ""),
        ((4, 4), False, "lr largest, wd largest"),
    ],
)
def test_edge_rule(at: tuple[int, int], zero: bool, expected: str) -> None:
    def bowl(optimizer: str, lr: float, wd: float, seed: int) -> float:
        i = studies.LRS.index(lr)
        j = studies.WDS["torch"].index(wd) if wd in studies.WDS["torch"] else -1
        return 5.0 + abs(i - at[0]) + abs(j - at[1])

    rows = [row for row in search(error=bowl) if row["optimizer"] == "adamw" or (zero and row["wd"] == 0)]
    best = winner(rows, "AdamW")
    assert best["edge"] == expected
    assert best["on_edge"] == bool(expected)
    assert best["not_searched"] == ""


@pytest.mark.parametrize(("zero", "edge"), [(2.9, NONE_BETTER), (3.0, ""), (3.1, "")])
def test_no_decay_is_better_only_where_it_is_better(zero: float, edge: str) -> None:
    rows = [trial("adamw", 0.1, wd, 0, error=error) for wd, error in ((0.1, 4), (0.2, 3), (0.4, 5))]
    without = [trial("adam", 0.1, 0.0, 0, error=zero), trial("adam", 0.2, 0.0, 0, error=9)]
    assert winner([*rows, *without], "AdamW")["edge"] == edge
    # Without decay there is none to search.
    found = winner(without, "Adam, no decay")
    assert (found["edge"], found["not_searched"]) == ("lr smallest", "")


def test_an_axis_with_one_value_is_not_searched_and_no_edge() -> None:
    rows = [trial("adamw", lr, 0.1, 0, error=abs(math.log10(lr / 1e-3))) for lr in (1e-4, 1e-3, 1e-2)]
    best = winner(rows, "AdamW")
    assert (best["edge"], best["not_searched"]) == ("", "wd")
    alone = winner(rows[:1], "AdamW")
    assert (alone["edge"], alone["not_searched"]) == ("", "lr wd")


@pytest.mark.parametrize("beyond", [{"seed": 9}, {"seed": 0, "status": "failed"}])
def test_a_cell_that_was_not_compared_with_the_winner_takes_it_off_no_edge(beyond: dict[str, Any]) -> None:
    rows = [trial("adamw", lr, wd, 0, error=9 - 100 * lr - wd) for lr in (1e-3, 1e-2) for wd in (0.1, 1.0)]
    edge = "lr largest, wd largest"
    assert winner(rows, "AdamW")["edge"] == edge
    lone = [trial("adamw", 1e-1, 1.0, **beyond, error=50), trial("adamw", 1e-2, 10.0, **beyond, error=50)]
    assert winner([*rows, *lone], "AdamW")["edge"] == edge
    # Nor is no decay, on other seeds, beside the smallest decay.
    rows = [trial("adamw", 1e-2, wd, 0, error=5 + wd) for wd in (0.1, 1.0)]
    assert winner([*rows, trial("adam", 1e-2, 0.0, **beyond, error=50)], "AdamW")["edge"] == "wd smallest"
