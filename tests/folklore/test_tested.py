"""The tests that statements are judged by: true, false and neither, and never false by a wide interval."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from runner.folklore.shortest_run import ratio, span, to_reach
from runner.folklore.tested import Tested, best_of, lower, no_worse, shorter, taken
from runner.folklore.verdict import FALSE, NOT_MEASURED, OPEN, PARTLY, TRUE, Part, stated, whole

NOISE = np.array([-1.2, -0.5, -0.1, 0.1, 0.5, 1.2])


@pytest.mark.parametrize(
    ("mean", "noise", "sooner", "as_good"),
    [
        (-1.0, 0.1, TRUE, TRUE),
        (0.0, 0.1, FALSE, TRUE),  # surely not lower by the margin
        (1.0, 0.1, FALSE, FALSE),
        (0.0, 2.0, OPEN, OPEN),
        (-0.5, 2.0, OPEN, OPEN),
        (0.5, 2.0, OPEN, OPEN),
    ],
)
def test_a_wide_interval_decides_nothing(mean: float, noise: float, sooner: str, as_good: str) -> None:
    values = mean + noise * NOISE
    assert lower(values, 0.3).word()[0] == sooner
    assert no_worse(values, 0.3).word()[0] == as_good


@pytest.mark.parametrize(
    ("values", "word", "why"),
    [
        ([], NOT_MEASURED, ""),
        ([-1.0], OPEN, "1 replicate; 4 are needed"),
        ([-1.0, -1.1, -0.9], OPEN, "3 replicates; 4 are needed"),
        ([-1.0] * 6, OPEN, "no spread over replicates"),
        ([-1.0, -1.1, math.nan, -0.9], OPEN, "a run has no number"),
    ],
)
def test_what_forbids_a_verdict_is_said(values: list[float], word: str, why: str) -> None:
    assert lower(values, 0.1).word() == (word, why)


def test_an_edge_withholds_the_verdict_that_it_could_turn() -> None:
    won, lost = lower(-1 + 0.1 * NOISE, 0.3), lower(1 + 0.1 * NOISE, 0.3)
    assert won.word(not_true="edge") == (OPEN, "edge")
    assert won.word(not_false="edge") == (TRUE, "")
    assert lost.word(not_false="edge") == (OPEN, "edge")
    assert lost.word(not_true="edge") == (FALSE, "")


@pytest.mark.parametrize("test", [lower, no_worse])
def test_at_the_border_at_most_one_in_forty_is_called_true_or_false(
    test: Callable[[np.ndarray, float], Tested],
) -> None:
    draw = np.random.default_rng(0).normal(size=(2000, 6))
    margin = 0.5
    null, other = (0.0, -margin) if test is lower else (margin, margin)
    wrong_true = np.mean([test(null + row, margin).word()[0] == TRUE for row in draw])
    wrong_false = np.mean([test(other + row, margin).word()[0] == FALSE for row in draw])
    bound = 0.025 + 3 * math.sqrt(0.025 * 0.975 / len(draw))
    assert wrong_true <= bound
    assert wrong_false <= bound


def test_the_best_rival_is_chosen_on_the_other_replicates() -> None:
    rivals = {"a": {0: 1.0, 1: 9.0, 2: 9.0}, "b": {0: 5.0, 1: 5.0, 2: 5.0}}
    names = best_of(rivals)
    assert names[0] == "b"
    assert taken(rivals, names)[0] == 5.0  # not the 1.0 that is smallest there
    assert best_of({"a": {0: 1.0}}) == {}


def test_choosing_among_equal_rivals_does_not_flatter_them() -> None:
    draw = np.random.default_rng(1).normal(size=(2000, 3, 6))
    means = []
    for world in draw:
        rivals = {str(k): dict(enumerate(values)) for k, values in enumerate(world)}
        means.append(np.mean(list(taken(rivals, best_of(rivals)).values())))
    assert abs(np.mean(means)) < 3 * np.std(means) / math.sqrt(len(means))


def test_the_span_of_a_shortest_run() -> None:
    assert span({4: 2.5, 8: 2.0}, 3.0) == (0.0, 4.0)
    assert span({4: 5.0, 8: 4.0}, 3.0) == (8.0, math.inf)
    assert span({4: 4.0, 8: 2.0}, 3.0) == pytest.approx((4 * math.sqrt(2),) * 2)
    assert ratio((0.0, 4.0), (8.0, 8.0)) == (-math.inf, -1.0)
    assert ratio((8.0, math.inf), (0.0, 4.0)) == (1.0, math.inf)
    assert ratio((0.0, 4.0), (0.0, 4.0)) == (-math.inf, math.inf)


def test_the_error_to_reach_is_the_smallest_whole_percent_that_all_come_to() -> None:
    assert to_reach([2.1, 3.6, math.nan, 0.9]) == 4
    assert to_reach([3.0]) == 3
    assert to_reach([]) == 0


@pytest.mark.parametrize(
    ("bounds", "word"),
    [
        ([(-math.inf, -1.0)] * 6, TRUE),
        ([(1.0, math.inf)] * 6, FALSE),
        ([(-math.inf, math.inf)] * 6, OPEN),  # neither end is known
        ([(-1.0, -1.0)] * 5 + [(1.0, 1.0)], OPEN),
        ([(-1.0, -1.0)] * 3, OPEN),
        ([(-1.0, -1.0)] * 5, OPEN),  # of five signs no exact test reaches 2.5 %
        ([], NOT_MEASURED),
    ],
)
def test_bounds_are_enough_where_they_decide(bounds: list[tuple[float, float]], word: str) -> None:
    assert shorter(bounds, 0.1).word()[0] == word


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([TRUE, TRUE], TRUE),
        ([FALSE, FALSE], FALSE),
        ([TRUE, FALSE], PARTLY),
        ([TRUE, OPEN], PARTLY),
        ([PARTLY, FALSE], PARTLY),
        ([FALSE, OPEN], OPEN),
        ([FALSE, NOT_MEASURED], OPEN),
        ([NOT_MEASURED, NOT_MEASURED], NOT_MEASURED),
        ([], NOT_MEASURED),
    ],
)
def test_the_verdict_of_several_parts(words: list[str], expected: str) -> None:
    assert whole(words) == expected
    assert stated(1, "said", "measured", [Part("ResNet", "", word) for word in words], "rows").verdict == expected
