"""Which of the paper's claims a study will speak to, before anything is trained: `spoken_to(blocks)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from runner.analysis.blocks import Block, split
from runner.analysis.results import results
from runner.analysis.study_results import StudyResults
from runner.claims.judge import judge
from runner.records.schema import COLUMNS, TRIALS

# What a trial is taken to measure that has no row yet: whether a claim is there does not depend on it.
_SCORES: Mapping[str, float] = {
    **dict.fromkeys(("train_loss", "val_loss", "test_loss"), 1.0),
    **dict.fromkeys(("train_error", "val_error", "test_error"), 5.0),
}
_MEASURED: Mapping[str, float | str] = {"status": "ok", "phase": "search", "steps": 100, "params": 1000, **_SCORES}


def spoken_to(blocks: Sequence[Block], followed: bool, every: int = 1) -> list[str]:
    """The ids of these claims, in the order of the list.

    They are those of the report itself, on made-up numbers: one run of each cell is enough for that.

    Args:
        blocks: of the study, with the rows that there are and those that are planned, whose `status` is ''.
        followed: whether trials are planned with `diagnostics`.
        every: epochs between two evaluations (`eval_every`): some claims are about curves.
    """
    rows = pd.concat([block.rows.drop_duplicates("cell")[TRIALS] for block in blocks]).astype(object)
    rows = rows.assign(**_MEASURED)
    layers = [
        {"trial": trial, "epoch": 1, "step": 100, "kind": kind, "update_angle": 1.0, "predicted_angle": 1.0}
        for trial in (rows["trial"] if followed else ())
        for kind in ("all", "normalised")
    ]
    judged = tuple(results(one) for one in split(rows))
    best = [arm.rows for one in judged for arm in one.arms if arm.rows is not None]
    evaluated = [
        {"trial": trial, "epoch": epoch, "step": epoch, **_SCORES}
        for of_arm in best
        for trial, epochs in zip(of_arm["trial"], of_arm["epochs"].astype(int), strict=True)
        for epoch in sorted({*range(every, epochs + 1, every), epochs})
    ]
    curves, cycles, dynamics = (pd.DataFrame(columns=COLUMNS[name]) for name in ("curves", "cycles", "dynamics"))
    curves = pd.DataFrame(evaluated, columns=curves.columns) if evaluated else curves
    dynamics = pd.DataFrame(layers, columns=dynamics.columns) if layers else dynamics
    study = StudyResults(judged, curves, cycles, dynamics)
    return list(dict.fromkeys(claim.id for claim in judge(study)))
