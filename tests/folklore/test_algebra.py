"""Statements about formulas: each check can come out either way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.folklore import algebra
from runner.folklore.checks import measured
from runner.folklore.judge import read_checks
from runner.folklore.verdict import FALSE, PARTLY, TRUE, Verdict


@pytest.fixture(scope="module")
def checks() -> Mapping[str, float]:
    return {str(row["check"]): float(str(row["value"])) for row in measured()}


def test_the_algebra_comes_out_as_algebra_says(checks: Mapping[str, float]) -> None:
    assert algebra.same_and_cheaper(checks).verdict == FALSE
    assert checks["l2_in_loss_or_gradient"] < algebra.EQUAL  # L2 is L2, wherever it is added
    assert algebra.formulas(checks).verdict == FALSE
    assert checks["traditional_adam_is_torch_adamw"] < algebra.EQUAL
    assert algebra.without_momentum(checks).verdict == FALSE
    assert checks["beta1_0_constant_v_is_sgd"] < algebra.EQUAL
    assert algebra.under_momentum(checks).verdict == TRUE
    assert algebra.by_hand(checks).verdict == TRUE
    assert algebra.step_by_step(checks).verdict == TRUE


@pytest.mark.parametrize(
    ("judged", "changes", "expected"),
    [
        (algebra.same_and_cheaper, {"adamw_or_l2": 0.0, "time_l2_in_gradient": 1.0, "time_l2_in_loss": 1.3}, PARTLY),
        (
            algebra.same_and_cheaper,
            {"adamw_or_l2": 0.0, "time_l2_in_loss": 1.4, "time_l2_in_gradient": 1.4},
            TRUE,
        ),
        (algebra.formulas, {"traditional_adam_is_adam": 0.0, "eta_twice_is_torch_adamw": 0.0}, TRUE),
        (algebra.formulas, {"traditional_adam_is_adam": 0.0}, PARTLY),
        (algebra.without_momentum, {"beta1_0_is_sgd": 0.0}, TRUE),
        (algebra.under_momentum, {"sgd_momentum_l2_or_decay": 0.0}, FALSE),
        (algebra.under_momentum, {"sgd_momentum_factor": 1.0}, PARTLY),
        (algebra.by_hand, {"by_hand_is_torch": 0.1, "by_hand_is_optim": 0.1}, FALSE),
        (algebra.step_by_step, {"linear_model_adamw": 0.1}, FALSE),
    ],
)
def test_other_measurements_would_give_other_verdicts(
    checks: Mapping[str, float],
    judged: Callable[[Mapping[str, float]], Verdict],
    changes: dict[str, float],
    expected: str,
) -> None:
    verdict = judged({**checks, **changes})
    assert verdict.verdict == expected
    assert verdict.value
    assert verdict.behind


@pytest.mark.parametrize(
    "text", ["", "check\n", "check,value\nadamw_or_l2,many\n", "check,value\nadamw_or_l2,nan\n", "\0\xff"]
)
def test_damaged_checks_are_refused_in_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "checks.csv").write_text(text)
    with pytest.raises(UserError, match="--checks measures again") as refusal:
        read_checks(tmp_path)
    assert "\n" not in str(refusal.value)
