"""An arm that learned nothing is named, so that nobody reads a comparison out of noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from runner.analysis.blocks import Block, split
from runner.analysis.results import results
from runner.report.chance import at_chance
from runner.report.notes import notes
from tests.analysis.test_select import frame
from tests.report.studies import search

Error = Callable[[str, float, float, int], float]


def block(error: Error, **more: object) -> Block:
    """Adam without decay, Adam + L2 and AdamW on ten classes."""
    (found,) = split(frame(search(error=error, **more)))
    return replace(found, classes=10)


def named(one: Block) -> str:
    return " ".join(at_chance(results(one)))


def test_an_arm_whose_test_error_may_be_that_of_guessing_is_named() -> None:
    one = block(lambda optimizer, lr, wd, seed: 89.5 if optimizer == "adamw" and wd else 20.0)
    said = named(one)
    assert said.startswith("AdamW: no better than guessing among 10 classes (90.00 %)")
    assert f"{said}." in notes(results(one))


def test_arms_that_learned_something_are_not() -> None:
    assert named(block(lambda optimizer, lr, wd, seed: 80.0)) == ""


@pytest.mark.parametrize("error", [87.0, 87.9, 88.1, 89.0])
def test_what_may_be_guessing_is_what_an_exact_test_of_the_best_cell_says_too(error: float) -> None:
    one = block(lambda optimizer, lr, wd, seed: error)
    assert one.test_size == 898
    interval = binomtest(round(898 * error / 100), 898).proportion_ci(method="wilson")
    assert (named(one) != "") == (interval.high >= 0.9)


def test_where_the_number_of_classes_is_not_on_record_nothing_is_said() -> None:
    assert named(replace(block(lambda optimizer, lr, wd, seed: 89.5), classes=None)) == ""


def test_the_number_of_classes_is_that_of_the_settings() -> None:
    rows = search(("adamw",))
    (found,) = split(frame(rows))
    assert found.classes is not None
    (older,) = split(frame([{**row, "settings": "{}"} for row in rows]))
    assert older.classes == 10  # of digits it is known
