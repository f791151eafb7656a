"""The twelve claims of practitioners, each judged from CSV: `verdicts(folder)` is the call to know."""

from __future__ import annotations

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


def verdicts(folder: Path) -> list[Verdict]:
    """All twelve, in their order; UserError where a study or checks.csv is missing."""
    places = {name: _place(folder, name) for name in STUDIES}
    checks = dict(pd.read_csv(folder / "checks.csv")[["check", "value"]].itertuples(index=False, name=None))
    resnet, transformer, mechanism = (trained.read(places[name]) for name in STUDIES)
    return [
        trained.uneven(mechanism),
        algebra.same_and_cheaper(checks),
        algebra.formulas(checks),
        algebra.without_momentum(checks),
        algebra.under_momentum(checks),
        algebra.by_hand(checks),
        algebra.step_by_step(checks),
        trained.generalizes(resnet, transformer),
        trained.cheaper(resnet, transformer, checks),
        trained.strength(resnet),
        trained.no_switching(resnet),
        trained.fastest(resnet),
    ]


def _place(folder: Path, name: str) -> Path:
    """A study's folder: here, or among the committed ones."""
    for place in (folder / name, folder.parent / f"{name}-cpu"):
        if (place / "trials.csv").exists():
            return place
    raise UserError(f"{folder / name}: no such study; {COMMANDS[name]} makes it")
