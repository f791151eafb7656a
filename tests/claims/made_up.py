"""Made-up studies for the claims: rows with a known truth, judged without a file in between. `judged(rows)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from runner.analysis.blocks import split
from runner.analysis.protocol import ONE, Protocol
from runner.analysis.results import results
from runner.analysis.study_results import StudyResults
from runner.claims.claim import Claim
from runner.claims.judge import judge
from runner.records.schema import CURVES, CYCLES, DYNAMICS, TRIALS
from tests.report.studies import in_replicate, noise, trial

Row = Mapping[str, object]
LRS = tuple(0.1 / 2**k for k in range(7))
WDS = tuple(0.001 / 2**k for k in range(-3, 4))
SEARCH, FRESH = (0, 1, 2, 3, 4), (1000, 1001, 1002, 1003, 1004, 1005)
Truth = Callable[[str, float, float], float]  # mean error in percent of (optimizer, lr, wd)


def frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=columns)


def judged(
    rows: Sequence[Row],
    curves: Sequence[Row] = (),
    cycles: Sequence[Row] = (),
    dynamics: Sequence[Row] = (),
    protocol: Protocol = ONE,
) -> list[Claim]:
    """All claims that these rows of trials.csv (and of the other tables) speak to."""
    return judge(study_results(rows, curves, cycles, dynamics, protocol))


def study_results(
    rows: Sequence[Row],
    curves: Sequence[Row] = (),
    cycles: Sequence[Row] = (),
    dynamics: Sequence[Row] = (),
    protocol: Protocol = ONE,
) -> StudyResults:
    blocks = tuple(results(block, "", protocol) for block in split(frame(rows, TRIALS)))
    return StudyResults(blocks, frame(curves, CURVES), frame(cycles, CYCLES), frame(dynamics, DYNAMICS))


def curves_of(rows: list[Row], error: Callable[[Row, int], float], column: str = "val_error") -> list[Row]:
    """Lines of curves.csv, one for each epoch of these runs, with `error(row, epoch)` in the column."""
    return [
        {"trial": row["trial"], "epoch": epoch, "step": 7 * epoch, "val_error": 1.0, column: error(row, epoch)}
        for row in rows
        for epoch in range(1, int(str(row["epochs"])) + 1)
    ]


def verdict(claims: Iterable[Claim], words: str) -> str:
    """Of the one claim whose name contains these words."""
    (found,) = [claim for claim in claims if words in claim.name]
    return found.verdict


def study(
    truth: Truth,
    optimizers: Sequence[str] = ("adam", "adamw"),
    spread: float = 0.1,
    lrs: Sequence[float] = LRS,
    wds: Sequence[float] = WDS,
    fresh: Iterable[int] = FRESH,
    search: Sequence[int] = SEARCH,
    **changes: object,
) -> list[Row]:
    """A search of 7 x 8 cells and 5 seeds in the paper's convention, and fresh runs of each arm's true best cell."""
    rows: list[Row] = []
    for optimizer in optimizers:
        decoupled = optimizer.endswith("w")
        cells = [(lr, wd) for lr in lrs for wd in ([] if decoupled else [0.0]) + list(wds)]
        for lr, wd in cells:
            rows += [_row(truth, optimizer, lr, wd, seed, spread, dict(changes)) for seed in search]
        for arm in ([c for c in cells if c[1] > 0], [c for c in cells if c[1] == 0]):
            if arm:
                # The winner by the search's own means, as the runner would choose it.
                best = min(arm, key=lambda c: round(sum(_error(truth, optimizer, *c, s, spread) for s in search), 9))
                rows += [_row(truth, optimizer, *best, s, spread, dict(changes) | {"phase": "final"}) for s in fresh]
    return rows


def of_replicate(number: int) -> dict[str, Any]:
    """What the rows of a replicate have of their own: seeds that no other has, and its number."""
    seeds = {name: [one + number * 1_000_000 for one in of] for name, of in (("search", SEARCH), ("fresh", FRESH))}
    return {**seeds, "replicate": number, "split": number}


def replicated(truth: Truth, *args: Any, count: int = 8, **changes: Any) -> list[Row]:
    """`study` as often as there are replicates."""
    return [row for k in range(count) for row in study(truth, *args, **of_replicate(k), **changes)]


def one_by_one(truth: Truth, *args: Any, fresh: Sequence[int] = FRESH, **changes: Any) -> list[Row]:
    """`study` in as many replicates as fresh seeds: each has one of these, and one search seed of its own."""
    numbers = range(len(fresh) or len(FRESH))
    return [
        in_replicate(row, k)
        for k in numbers
        for row in study(truth, *args, fresh=fresh[k : k + 1], search=[k], **changes)
    ]


def _error(truth: Truth, optimizer: str, lr: float, wd: float, seed: int, spread: float) -> float:
    return truth(optimizer, lr, wd) * (1 + spread * noise(optimizer, lr, wd, seed))


def _row(
    truth: Truth, optimizer: str, lr: float, wd: float, seed: int, spread: float, changes: dict[str, object]
) -> Row:
    convention = "paper" if optimizer.endswith("w") else "l2"
    error = _error(truth, optimizer, lr, wd, seed, spread)
    return trial(optimizer, lr, wd, seed, **{"wd_convention": convention, "error": error, **changes})
