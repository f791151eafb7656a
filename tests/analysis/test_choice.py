"""Claims about choosing among cells that have different seeds, on made-up cells: no table, no file."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runner.analysis.choice import _MOST as MOST
from runner.analysis.choice import Cell, Choice, Run, beats, choose, serving

Errors = Mapping[tuple[int, int], float]  # of (cell, seed)


def cells(errors: Errors) -> list[Cell]:
    """Made-up cells of one arm, in the order in which they first appear."""
    runs: dict[int, dict[int, Run]] = {}
    for (cell, seed), error in errors.items():
        runs.setdefault(cell, {})[seed] = Run(error, error / 30, False, "")
    return [Cell(f"cell {cell}", float(cell + 1), 0.1, "", mine) for cell, mine in runs.items()]


def chosen(errors: Errors) -> Choice:
    found = choose(cells(errors))
    assert found is not None
    return found


def test_a_winner_is_scored_on_shared_seeds_alone_where_it_has_any_and_seeds_are_told_in_order() -> None:
    errors = {(cell, seed): 5.0 + cell for cell in range(5) for seed in (3, 1000)} | {(0, 64): 5.0}
    found = chosen(errors | {(5, 1000): 4.0, (5, 64): 4.0})
    assert (found.winner.name, found.shared, found.seeds) == ("cell 5", (3, 1000), (1000,))
    strays = {(0, seed): 5.0 for seed in (1001, 64, 33)} | {(5, seed): 4.0 for seed in (33, 1001, 64)}
    assert chosen(errors | strays).seeds == (33, 64, 1001)


def test_of_two_better_cells_without_a_common_seed_that_with_more_of_the_bests_seeds_wins() -> None:
    errors = {(cell, seed): 5.0 + cell for cell in (0, 1, 2) for seed in (0, 1, 2)}
    errors |= {(3, 0): 1.0, (4, 1): 4.0, (4, 2): 4.0}
    found = chosen(errors)
    assert (found.winner.name, found.circle) == ("cell 4", False)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([{0, 1, 2}] * 5 + [{0, 1, 2, 3}], (0, 1, 2)),
        ([{0, 1, 2}] * 6 + [{0}], (0, 1, 2)),
        ([{0}] * 4 + [{0, 1}] * 2, (0,)),
        ([{0, 1}, {1, 2}, {1, 3}], (1,)),
        ([{0}, {1}], (0,)),
        ([{0, 1}, {2}], (0, 1)),
        ([{0, 1}, {0}], (0, 1)),
        ([], ()),
    ],
)
def test_the_seeds_that_serve_most_cells(sets: list[set[int]], expected: tuple[int, ...]) -> None:
    assert serving(map(frozenset, sets)) == expected


def test_ties_of_the_shared_seeds_go_to_more_seeds_then_to_the_smaller() -> None:
    assert serving([frozenset({0, 1}), frozenset({0, 2})]) == (0, 1)
    assert serving([frozenset({5}), frozenset({3})]) == (3,)
    assert serving([frozenset({1000, 3}), frozenset({7, 8})]) == (3, 1000)
    assert serving([frozenset({7, 8}), frozenset({1000, 3})]) == (3, 1000)


def test_of_very_many_different_sets_only_these_are_tried() -> None:
    """Their intersections would be as many as their pairs."""
    sets = [frozenset({0, 1, 2 + n}) for n in range(MOST + 1)]
    assert serving(sets[:-1]) == (0, 1)
    assert serving(sets) == (0, 1, 2)


studies = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 4)), st.integers(0, 12).map(float), min_size=1, max_size=20
)


@settings(max_examples=300, deadline=None)
@given(studies, st.randoms(use_true_random=False))
def test_the_winner_does_not_depend_on_the_order_of_the_rows(errors: Errors, rng: random.Random) -> None:
    shuffled = list(errors.items())
    rng.shuffle(shuffled)
    one, other = chosen(errors), chosen(dict(shuffled))
    assert (one.winner.name, one.shared, one.seeds, one.circle) == (
        other.winner.name,
        other.shared,
        other.seeds,
        other.circle,
    )


@settings(max_examples=500, deadline=None)
@given(studies, st.integers(0, 5), st.integers(0, 4), st.integers(0, 12))
def test_one_more_run_makes_at_most_its_own_cell_win_or_lose(errors: Errors, cell: int, seed: int, error: int) -> None:
    assume((cell, seed) not in errors)
    before, after = chosen(errors), chosen({**errors, (cell, seed): float(error)})
    if before.winner.name == after.winner.name or before.circle or after.circle:
        return
    now = {c.name: c for c in cells({**errors, (cell, seed): float(error)})}
    old, new = now[before.winner.name], now[after.winner.name]
    assert beats(new, old) or not new.common(old)


@settings(max_examples=300, deadline=None)
@given(studies)
def test_no_cell_beats_the_winner_unless_there_is_a_circle(errors: Errors) -> None:
    found = chosen(errors)
    rivals = [cell for cell in cells(errors) if cell.name != found.winner.name and beats(cell, found.winner)]
    assert bool(rivals) == found.circle


@settings(max_examples=300, deadline=None)
@given(
    st.permutations(range(6)),
    st.lists(st.integers(-20, 20), min_size=5, max_size=5),
    st.lists(st.sets(st.integers(1, 4)), min_size=6, max_size=6),
)
def test_lucky_seeds_never_decide(merit: list[int], luck: list[int], have: list[set[int]]) -> None:
    """Error = the cell's merit + the seed's luck, far larger: whoever has which seeds, the best cell wins."""
    errors = {(c, s): 100.0 + merit[c] + 10 * luck[s] for c in range(6) for s in {0} | have[c]}
    found = chosen(errors)
    assert found.winner.name == f"cell {merit.index(0)}"
    assert not found.circle


@given(st.integers(2, 60_000), st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=1, max_size=5))
def test_cells_that_got_as_many_examples_wrong_tie_whatever_rounding_says(n: int, wrong: list[tuple[int, int]]) -> None:
    """The same examples, given to other seeds: the means are equal, their floating-point sums need not be."""
    one = [a + b for a, b in wrong] + [0] * len(wrong)
    other = [a for a, _ in wrong] + [b for _, b in wrong]
    for pair in ((one, other), (other, one)):
        runs = [{seed: Run(100 * count / n, 0.0, False, "") for seed, count in enumerate(mine)} for mine in pair]
        small, large = Cell("small", 0.1, 0.1, "", runs[0]), Cell("large", 0.2, 0.1, "", runs[1])
        assert beats(small, large)
        assert not beats(large, small)


@pytest.mark.parametrize("none", [math.nan, math.inf])
def test_a_cell_without_a_second_number_loses_a_tie_wherever_it_stands(none: float) -> None:
    runs = [{0: Run(5.0, none, False, "")}, {0: Run(5.0, 99.0, False, "")}]
    lacking, there = (Cell(str(i), float(i), 0.1, "", mine) for i, mine in enumerate(runs))
    also = Cell("also", -1.0, 0.1, "", runs[0])
    for found in (choose([lacking, there]), choose([there, lacking])):
        assert found is not None
        assert found.winner is there
    for found in (choose([lacking, also]), choose([also, lacking])):
        assert found is not None
        assert found.winner is also  # both lack it: the smaller lr
