"""A difference that is shown as 0 is said to be neither lower nor higher, and none that is said to be is shown as 0."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from runner.analysis.measures import telling
from runner.report.answer import answer
from runner.report.generalization import markdown
from runner.report.page.words import verdicts
from runner.report.terminal import terminal_table
from tests.analysis.test_results import reported
from tests.report.studies import replicated, trial

Rows = list[dict[str, object]]


def compared(differences: Sequence[float], **more: object) -> Rows:
    """Adam without decay, and AdamW, which differs by these points."""
    rows = []
    for seed, far in enumerate(differences):
        base = 5.0 + seed / 10
        rows.append(trial("adam", 1e-3, 0.0, seed, error=base, **more))
        rows.append(trial("adamw", 1e-3, 0.1, seed, error=base + far, **more))
    return replicated(rows)


@pytest.mark.parametrize("differences", [(0.4, -0.4, 0.2, -0.2, 0.001), (0.4, -0.4, 0.2, -0.2, -0.01), (0.3, -0.3) * 3])
def test_a_difference_that_rounds_to_zero_is_neither_lower_nor_higher(differences: Sequence[float]) -> None:
    """'test error lower by 0.00 ± 0.51 points'."""
    said = answer(reported(compared(differences)))
    assert "test error differs by 0.00 ± " in said
    assert "lower" not in said
    assert "higher" not in said


@pytest.mark.parametrize(("sign", "word"), [(-1, "lower"), (1, "higher")])
def test_a_difference_that_is_lower_or_higher_is_shown_with_the_decimals_that_it_takes(sign: int, word: str) -> None:
    blocks = reported(compared([sign * far for far in (0.003, 0.0029, 0.0031, 0.0028, 0.0032)]))
    assert f"test error {word} by 0.003 ± 0.000 points" in answer(blocks)
    signed = f"{'+' if sign > 0 else '-'}0.003"
    assert f"{signed} ± 0.000 {word}" in terminal_table(blocks)
    assert f"{signed} [" in markdown(blocks)
    assert any(f"**{word}** test error than Adam without decay: {signed} points" in line for line in verdicts(*blocks))


def test_a_loss_keeps_the_decimals_that_tell_where_room_is_short() -> None:
    text = terminal_table(reported(compared([-0.0012, -0.0013, -0.0011] * 2, settings={"dataset": "text"})))
    assert re.search(r" -0\.0*[1-9]\d* ± [\d.]+ lower$", text, re.MULTILINE), text


def test_as_many_decimals_as_it_takes_and_no_more() -> None:
    assert [telling(value, 2) for value in (1.0, 0.006, 0.004, -0.0004, 0.0, float("nan"))] == [2, 2, 3, 4, 2, 2]
