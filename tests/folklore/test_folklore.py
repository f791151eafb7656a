"""What practitioners say: every claim's check can come out either way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.folklore import algebra, trained
from runner.folklore.checks import measured
from runner.folklore.judge import read_checks
from runner.folklore.trained import Study
from runner.folklore.verdict import FALSE, OPEN, PARTLY, TRUE
from tests.claims.made_up import Row, one_by_one, study, study_results
from tests.claims.test_best_cells import world
from tests.claims.test_map_shape import both
from tests.claims.test_mechanism import _followed
from tests.report.studies import write


@pytest.fixture(scope="module")
def checks() -> Mapping[str, float]:
    return {str(row["check"]): float(str(row["value"])) for row in measured()}


def made(rows: list[Row], dynamics: list[Row] | None = None) -> Study:
    return trained.judged(study_results(rows, dynamics=dynamics or []))


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
def test_other_measurements_would_give_other_verdicts(checks, judged, changes, expected) -> None:  # type: ignore[no-untyped-def]
    verdict = judged({**checks, **changes})
    assert verdict.verdict == expected
    assert verdict.value
    assert verdict.behind


@pytest.mark.parametrize(
    ("correlation", "cv", "expected"), [(-0.6, 1e-16, TRUE), (0.4, 0.3, FALSE), (-0.6, 0.3, FALSE)]
)
def test_uneven_decay(correlation: float, cv: float, expected: str) -> None:
    rows, lines = _followed(correlation, 1.0, 0.2, cv)
    assert trained.uneven(made(rows, lines)).verdict == expected


@pytest.mark.parametrize(
    ("resnet", "transformer", "expected"), [(4.0, 4.0, TRUE), (5.0, 4.0, PARTLY), (6.0, 6.0, FALSE), (5.0, 5.0, OPEN)]
)
def test_better_generalization(resnet: float, transformer: float, expected: str) -> None:
    studies = [made(one_by_one(world(adam=5.0, adamw=best, plain=7.0), spread=0.02)) for best in (resnet, transformer)]
    assert trained.generalizes(*studies).verdict == expected


@pytest.mark.parametrize(("fewer", "less", "expected"), [(3, 0.9, TRUE), (3, 1.0, PARTLY), (0, 1.0, FALSE)])
def test_fewer_epochs_and_less_memory(checks: Mapping[str, float], fewer: int, less: float, expected: str) -> None:
    rows = [_reaching(row, 12 - fewer * (row["optimizer"] == "adamw")) for row in _schedule("cosine")]
    known = {**checks}
    for name in ("resnet", "transformer"):
        known |= {f"{name}_adamw_state": 8 * less, f"{name}_adam_state": 8.0}
    assert trained.cheaper(made(rows), made(rows), known).verdict == expected


@pytest.mark.parametrize(("l2", "adamw", "expected"), [(-0.9, 0.0, PARTLY), (0.0, 0.0, FALSE), (-0.9, -0.9, FALSE)])
def test_whether_the_rate_sets_the_strength_of_decay(l2: float, adamw: float, expected: str) -> None:
    found = trained.strength(resnet=made(study(both(l2, adamw), spread=0.03)))
    assert found.verdict == expected
    assert found.value.startswith("resnet: ")


@pytest.mark.parametrize(("adamw", "expected"), [(4.0, TRUE), (5.0, FALSE)])
def test_whether_sgd_is_still_wanted(adamw: float, expected: str) -> None:
    truth = world(adam=5.0, adamw=adamw, plain=6.0, sgd=4.0, sgdw=4.0)
    assert (
        trained.no_switching(made(one_by_one(truth, ("adam", "adamw", "sgd", "sgdw"), spread=0.02))).verdict == expected
    )


@pytest.mark.parametrize(("epochs", "expected"), [(5, TRUE), (15, FALSE)])
def test_whether_one_cycle_is_fastest(epochs: int, expected: str) -> None:
    rows = [_reaching(row, 10) for row in _schedule("cosine")]
    # Not the same in all runs, for what does not vary decides nothing.
    for number, row in enumerate(_schedule("onecycle")):
        rows.append(_reaching(row, epochs + number % 2 if row["optimizer"] == "adamw" else 10))
    assert trained.fastest(made(rows)).verdict == expected


def test_what_few_runs_reached_is_not_measured(checks: Mapping[str, float]) -> None:
    rows = [_reaching(row, 9) for row in _schedule("cosine")]
    unreached = [{**row, "epochs_to_target": None} for row in rows]
    value = trained.cheaper(made(rows), made(unreached), checks).value
    assert "transformer: epochs to target not measured (reached by 0 of" in value
    assert "resnet: epochs to target not measured" not in value


def test_arms_without_decay_are_rivals_in_speed_too() -> None:
    rows = [_reaching(row, 3 if row["wd"] == 0 else 10) for row in _schedule("cosine")]
    rows += [_reaching(row, 5 if row["optimizer"] == "adamw" else 10) for row in _schedule("onecycle")]
    found = trained.fastest(made(rows))
    assert found.verdict == FALSE
    assert "Adam, no decay, cosine" in found.value


@pytest.mark.parametrize(
    "text", ["", "check\n", "check,value\nadamw_or_l2,many\n", "check,value\nadamw_or_l2,nan\n", "\0\xff"]
)
def test_damaged_checks_are_refused_in_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "checks.csv").write_text(text)
    with pytest.raises(UserError, match="--checks measures again") as refusal:
        read_checks(tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_larger_study_is_remembered(tmp_path: Path) -> None:
    assert trained.remembered(tmp_path / "claims-cpu", "best-cell") == ""
    rows = one_by_one(world(adam=5.0, adamw=4.0, plain=7.0), spread=0.02)
    folder = write(tmp_path / "claims-cpu", rows, curves=False)
    said = trained.remembered(folder, "best-cell")
    assert said.startswith(" (claims-cpu: -")
    assert said.endswith("], n = 6, confirmed)")
    assert trained.remembered(folder, "adamw-rivals-sgdw") == ""


def _schedule(name: str) -> list[Row]:
    truth = world(adam=5.0, adamw=4.0, plain=7.0)
    return study(truth, spread=0.02, schedule=name, settings={"schedule": name})


def _reaching(row: Row, epochs: int) -> Row:
    """`epochs` to target, give or take one by seed."""
    return {**row, "epochs_to_target": epochs + int(str(row["seed"])) % 2 * (row["optimizer"] == "adam")}
