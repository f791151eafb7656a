"""Made-up studies of the folklore: six replicates with a known truth. `made(rows)`, `studies(resnet=...)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.folklore.studies import COMMANDS, Study
from tests.claims.made_up import FRESH, Row, of_replicate, study, study_results
from tests.claims.test_best_cells import world
from tests.report.studies import noise

ALL = ("adam", "adamw", "sgd", "sgdw")
COUNT = 6
NARROW, WIDE = 0.01, 0.3  # noise, relative to the error


def made(rows: Sequence[Row], dynamics: Sequence[Row] = ()) -> Study:
    """A study of these rows of trials.csv."""
    whole = study_results(rows, dynamics=dynamics)
    return Study(whole.blocks, whole.dynamics)


def studies(**known: Study) -> dict[str, Study]:
    """All studies of the page, of which the others were not run; an underscore stands for the hyphen of a name."""
    return {name: known.get(name.replace("-", "_"), Study()) for name in COMMANDS}


def rows(
    best: Mapping[str, float],
    optimizers: Sequence[str] = ("adam", "adamw"),
    spread: float = NARROW,
    count: int = COUNT,
    fresh: Sequence[int] = FRESH[:3],
    **changes: Any,
) -> list[Row]:
    """Replicates with these best errors: adam (L2), adamw, plain (no decay), sgd, sgdw."""
    settings = {"schedule": changes.setdefault("schedule", "cosine"), **changes.pop("settings", {})}
    errors = {"adam": 9.0, "adamw": 9.0, "plain": 12.0, "sgd": 9.0, "sgdw": 9.0} | dict(best)
    found: list[Row] = []
    for k in range(count):
        own = of_replicate(k)
        own["search"] = own["search"][:1]
        own["fresh"] = [seed + k * 1_000_000 for seed in fresh]
        found += study(world(**errors), optimizers, spread, **own, settings=dict(settings), **changes)
    return found


def reaching(given: Sequence[Row], needed: Mapping[str, float], spread: float = 0.2) -> list[Row]:
    """The rows with epochs to target by optimizer, give or take some; a number above those of the run: not reached."""
    return [
        {**row, "epochs_to_target": None if one > float(str(row["epochs"])) else one}
        for row in given
        for one in [needed[str(row["optimizer"])] + spread * noise(row["trial"], "epochs")]
    ]
