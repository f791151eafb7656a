"""Claims about selection where cells have different seeds: nobody wins or loses by how many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.analysis.select import seed_count, seeds_text, winners
from runner.report.notes import notes
from runner.report.terminal import terminal_table
from tests.analysis.test_choice import chosen
from tests.analysis.test_results import by_arm, reported
from tests.analysis.test_select import frame, winner
from tests.report.studies import trial

Rows = list[dict[str, object]]


def readme(stray: int | None = 3, fresh: Sequence[int] = (1000, 1001, 1002)) -> Rows:
    """The README's sweep: two rates, three decays, three seeds and fresh ones; then one more seed of AdamW's worst."""
    errors = {("adam", 0.0): 3.0, ("adam", 0.1): 2.5, ("adamw", 0.01): 5.9, ("adamw", 0.1): 2.1}
    rows = [
        trial(name, lr, wd, seed, error=error + (lr == 1e-2) + 0.1 * seed)
        for (name, wd), error in errors.items()
        for lr in (1e-3, 1e-2)
        for seed in (0, 1, 2)
    ]
    rows += [
        trial(name, 1e-3, wd, seed, phase="final", error=error + 0.1 * (seed % 3))
        for name, wd, error in (("adam", 0.0, 3.0), ("adam", 0.1, 2.5), ("adamw", 0.1, 2.1))
        for seed in fresh
    ]
    return rows + ([trial("adamw", 1e-2, 0.01, stray, error=6.9)] if stray is not None else [])


def test_one_more_seed_of_the_worst_cell_changes_nothing_and_is_said_aloud() -> None:
    before, after = by_arm(readme(stray=None)), by_arm(readme())
    assert list(before) == list(after)
    for arm, result in after.items():
        assert (result.lr, result.wd, result.seeds) == (before[arm].lr, before[arm].wd, before[arm].seeds)
        assert (result.phase, result.verdict) == ("final", before[arm].verdict)
    line = "AdamW: seed 3 left out at lr 0.01, wd 0.01; selected on seeds 0 to 2, which 4 of 4 cells have"
    assert line in terminal_table(reported(readme()))
    (block,) = split(frame(readme()))
    assert f"{line}." in notes(results(block))
    assert "left out" not in terminal_table(reported(readme(stray=None)))


@pytest.mark.parametrize("seeds", [[1000], [1000, 1001, 1002], [1001, 7]])
def test_searching_with_seeds_that_were_fresh_removes_no_finished_result(seeds: Sequence[int]) -> None:
    rows = readme(stray=None)
    there = {(row["optimizer"], row["lr"], row["wd"], row["seed"]) for row in rows}
    points = {(str(r["optimizer"]), float(str(r["lr"])), float(str(r["wd"]))) for r in rows}
    more = [trial(*point, seed, error=8) for point in sorted(points) for seed in seeds if (*point, seed) not in there]
    found, before = by_arm([*rows, *more]), by_arm(rows)
    for arm, result in found.items():
        assert (result.lr, result.wd, result.phase) == (before[arm].lr, before[arm].wd, "final")
        assert result.seeds == (1000, 1001, 1002)


def test_fresh_rows_of_a_former_winner_are_kept_and_marked() -> None:
    better = [trial("adamw", 1e-2, 0.5, seed, error=1.0) for seed in (0, 1, 2)]
    rows = [*readme(stray=None), *better]
    found = by_arm(rows)["AdamW"]
    assert (found.wd, found.phase) == (0.5, "search")
    assert "a former winner (lr 0.001, wd 0.1)" in found.remark
    assert "a former winner (lr 0.001, wd 0.1)" in " ".join(terminal_table(reported(rows)).split())
    rows += [trial("adamw", 1e-2, 0.5, seed, phase="final", error=1.0) for seed in (1000, 1001)]
    found = by_arm(rows)["AdamW"]
    assert (found.phase, found.seeds) == ("final", (1000, 1001))
    assert "a former winner (lr 0.001, wd 0.1)" in found.remark


def test_a_cell_with_a_seed_of_its_own_alone_cannot_be_compared_and_is_named() -> None:
    rows = [*readme(stray=None), trial("adamw", 0.5, 0.5, 99, error=0.1)]
    assert winner(rows, "AdamW")["lr"] == 1e-3
    assert "AdamW: seed 99 left out at lr 0.5, wd 0.5: no other cell has them" in terminal_table(reported(rows))


def test_a_winner_that_lacks_seeds_is_told_which() -> None:
    rows = [*readme(stray=None), trial("adamw", 0.5, 0.5, 1, error=0.1)]
    best = winner(rows, "AdamW")
    assert (best["lr"], best["seeds"], best["score"]) == (0.5, (1,), 0.1)
    said = " ".join(terminal_table(reported(rows)).split())
    assert "AdamW: seeds 0, 2 missing at lr 0.5, wd 0.5; compared on the seeds in common" in said
    assert "the best cell (lr 0.5, wd 0.5) won on seed 1 alone; seed=0,2 for it makes that sure" in said


def test_a_winner_with_none_of_the_shared_seeds_is_scored_on_those_that_it_was_compared_on() -> None:
    errors = {(cell, seed): 5.0 + cell for cell in (0, 1, 2) for seed in (0, 1)} | {(0, 5): 5.0, (3, 5): 4.0}
    found = chosen(errors)
    assert (found.winner.name, found.shared, found.seeds) == ("cell 3", (0, 1), (5,))
    rows = [trial("adamw", cell + 1.0, 0.1, seed, error=error) for (cell, seed), error in errors.items()]
    best = winner(rows, "AdamW")
    assert (best["lr"], best["seeds"], best["score"], best["complete_cells"]) == (4.0, (5,), 4.0, 3)
    assert (best["n_seeds"], best["tie_score"]) == (1, pytest.approx(4 / 30))
    # A seed that only it has tells nothing, so the row that stands for it is another.
    best = winner([trial("adamw", 4.0, 0.1, 4, error=0.0), *rows], "AdamW")
    assert (best["seeds"], best["trial"]) == ((5,), rows[-1]["trial"])


def test_arms_with_no_seed_in_common_have_their_winners() -> None:
    rows = [trial("adam", lr, 0.1, seed, error=lr) for lr in (0.1, 0.2) for seed in (0, 1)]
    rows += [trial("adamw", lr, 0.1, seed, error=lr) for lr in (0.1, 0.2) for seed in (2, 3)]
    table = winners(frame(rows)).set_index("arm")
    assert table["lr"].to_dict() == {"Adam + L2": 0.1, "AdamW": 0.1}
    assert table["seeds"].to_dict() == {"Adam + L2": (0, 1), "AdamW": (2, 3)}
    said = " ".join(terminal_table(reported(rows)).split())
    assert "the arms were searched with different seeds (Adam + L2 0, 1; AdamW 2, 3)" in said


def test_a_circle_is_decided_by_the_seeds_that_most_cells_have_and_said() -> None:
    circle = {(0, 0): 1.0, (0, 1): 9.0, (1, 1): 1.0, (1, 2): 9.0, (2, 2): 1.0, (2, 0): 9.0}
    found = chosen(circle)
    assert found.circle
    assert found.shared == (0, 1)
    assert found.winner.name == "cell 0"
    # One that no cell can be compared with is no better for that.
    beside = chosen(circle | {(3, 9): 0.5})
    assert (beside.winner.name, beside.circle) == ("cell 0", True)
    rows = [trial("adamw", cell + 1.0, 0.1, seed, error=error) for (cell, seed), error in circle.items()]
    assert "AdamW: cells beat one another in a circle" in terminal_table(reported(rows))


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_study_is_reported_alike_in_whatever_order_its_commands_came(data: st.DataObject) -> None:
    commands = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["adam", "adamw", "sgd"]),
                st.sets(st.sampled_from([1e-3, 1e-2]), min_size=1),
                st.sets(st.sampled_from([0.0, 0.1, 0.2]), min_size=1),
                st.sets(st.integers(0, 3), min_size=1),
            ),
            min_size=2,
            max_size=4,
        )
    )
    parts: list[Rows] = []
    for name, lrs, wds, seeds in commands:
        product = [(lr, wd, seed) for lr in sorted(lrs) for wd in sorted(wds) for seed in sorted(seeds)]
        parts.append(
            [trial(name if wd else name.rstrip("w"), lr, wd, s, error=10 * lr + wd + s) for lr, wd, s in product]
        )
    fresh = [trial("adamw", 1e-3, 0.1, seed, phase="final") for seed in (3, 1000, 1001)]
    # As they came, the other way round, and one with another command first and another last.
    every = list(permutations(parts))
    orders = [[row for part in order for row in part] for order in (every[0], every[len(every) // 2], every[-1])]
    tables = []
    for rows in orders:
        found = by_arm([*rows, *fresh])
        tables.append(
            [
                (r.arm, r.reference, r.lr, r.wd, r.phase, r.seeds, r.edge, r.not_searched, r.verdict, r.remark)
                for r in sorted(found.values(), key=lambda r: r.arm)
            ]
        )
    assert all(str(table) == str(tables[0]) for table in tables)
    # Every arm with a run has a winner, at every stage.
    for end in range(1, len(parts) + 1):
        found = by_arm([row for part in parts[:end] for row in part])
        assert {result.arm for result in found.values() if not math.isnan(result.lr)} == set(found)


def test_seeds_in_words() -> None:
    rows = [trial("adam", 0.1, 0.1, seed) for seed in (0, 1)] + [trial("adamw", 0.1, 0.1, seed) for seed in (0, 1, 2)]
    assert [seed_count(split(frame(some))[0]) for some in (rows, rows[:2], rows[:1])] == ["2 to 3", "2", "1"]
    more = [*rows, *(trial("sgd", 0.1, 0.1, seed) for seed in range(9))]
    assert seed_count(split(frame(more))[0]) == "2 to 9"
    fresh = [trial("adamw", 0.1, 0.1, 1000, phase="final")]
    assert seed_count(split(frame(fresh))[0]) == "0"
    assert [seeds_text(s) for s in ([2, 0, 1], [0, 1], [5], [0, 2, 3])] == ["0 to 2", "0, 1", "5", "0, 2, 3"]
