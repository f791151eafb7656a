"""The twelve claims of practitioners, each judged from CSV: `verdicts(folder)` is the call to know."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from runner.errors import UserError
from runner.folklore import algebra, trained
from runner.folklore.verdict import Verdict

COMMANDS = {
    "resnet": "python -m runner +experiment=folklore",
    "transformer": "python -m runner +experiment=folklore_transformer",
    "mechanism": "python -m runner +experiment=mechanism results=results/folklore study=mechanism",
}
STUDIES = tuple(COMMANDS)
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


def verdicts(folder: Path) -> list[Verdict]:
    """All twelve, in their order; UserError where a study or checks.csv is missing."""
    places = {name: place(folder, name) for name in STUDIES}
    checks = read_checks(folder)
    larger = [trained.remembered(folder.parent / "claims-cpu", claim) for claim in ("best-cell", "adamw-rivals-sgdw")]
    resnet, transformer, mechanism = (trained.read(places[name]) for name in STUDIES)
    return [
        trained.uneven(mechanism),
        algebra.same_and_cheaper(checks),
        algebra.formulas(checks),
        algebra.without_momentum(checks),
        algebra.under_momentum(checks),
        algebra.by_hand(checks),
        algebra.step_by_step(checks),
        trained.generalizes(resnet, transformer, larger[0]),
        trained.cheaper(resnet, transformer, checks),
        trained.strength(resnet=resnet, transformer=transformer),
        trained.no_switching(resnet, larger[1]),
        trained.fastest(resnet),
    ]


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


def place(folder: Path, name: str) -> Path:
    """A study's folder: here, or among the committed ones."""
    for place in (folder / name, folder.parent / f"{name}-cpu"):
        if (place / "trials.csv").exists():
            return place
    raise UserError(f"{folder / name}: no such study; {COMMANDS[name]} makes it")
