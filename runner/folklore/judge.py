"""The statements of practitioners, each judged from CSV: `verdicts(folder)` is the call to know."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from runner.errors import UserError
from runner.folklore import algebra, mechanism, memory, quality, shortest_run, speed, stability
from runner.folklore.studies import Studies
from runner.folklore.verdict import Verdict

AGAIN = "python -m runner.folklore --checks measures again"
NAMES = (
    "l2_in_loss_or_gradient adamw_or_l2 traditional_adam_is_adam traditional_adam_is_torch_adamw "
    "eta_twice_is_torch_adamw paper_is_torch_adamw beta1_0_is_sgd beta1_0_constant_v_is_sgd sgd_momentum_l2_or_decay "
    "sgd_momentum_factor by_hand_is_torch by_hand_is_optim linear_model_adam linear_model_adamw time_l2_in_gradient "
    "time_l2_in_loss"
).split() + [
    f"{network}_{optimizer}_{what}"
    for network in ("resnet", "transformer")
    for optimizer in ("adam", "adamw")
    for what in ("step", "state", "peak")
]


def verdicts(folder: Path, studies: Studies) -> list[Verdict]:
    """All of them, in their order.

    Args:
        folder: has checks.csv; studies with maps, and LOMO's bench, may lie beside it.
        studies: of `runner.folklore.studies.read_all`; what was not run is not measured.

    Raises:
        UserError: where a file is damaged.
    """
    checks = read_checks(folder)
    found = [
        mechanism.uneven(studies),
        algebra.same_and_cheaper(checks),
        algebra.formulas(checks),
        algebra.without_momentum(checks),
        algebra.under_momentum(checks),
        algebra.by_hand(checks),
        algebra.step_by_step(checks),
        quality.generalizes(studies),
        speed.cheaper(studies, checks),
        mechanism.strength(folder),
        quality.no_switching(studies),
        shortest_run.fastest(studies),
        speed.converges(studies),
        stability.more_stable(studies),
        quality.training_loss(studies),
        mechanism.strong_late(studies),
        *quality.rules(studies),
        stability.warm_up(studies),
        quality.ramp(studies),
        memory.lomo(folder),
    ]
    return sorted(found, key=lambda verdict: verdict.number)


def read_checks(folder: Path) -> dict[str, float]:
    """checks.csv by name; UserError for one that lacks a check, or a number."""
    path = folder / "checks.csv"
    try:
        frame = pd.read_csv(path)
        values = {str(name): float(value) for name, value in zip(frame["check"], frame["value"], strict=True)}
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: not a table of checks ({str(error)[:60]}); {AGAIN}") from error
    wrong = [name for name in NAMES if not math.isfinite(values.get(name, math.nan))]
    if wrong:
        raise UserError(f"{path}: no number for {wrong[0]}; {AGAIN}")
    return values
