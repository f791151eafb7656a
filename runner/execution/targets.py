"""When trials that go on reached the target so far: `reached(...)`, from curves.csv.

The saved state of a stack knows only what its command asked for: `target_error` may be another now.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.records.read import read


def reached(folder: Path, trials: Sequence[str], recorded: int, target: float | None) -> list[int | None]:
    """The first epoch of each trial, among those `recorded` (as bits), whose error was at most `target` percent.

    It is the validation error, or the test error of trials without validation data. None where there is no such epoch.
    """
    if target is None:
        return [None] * len(trials)
    rows = read(folder, "curves", trials)
    rows = rows[[bool(recorded >> int(epoch) & 1) for epoch in rows["epoch"]]]
    error = rows["val_error"] if rows["val_error"].notna().any() else rows["test_error"]
    first = rows[error <= target].groupby("trial")["epoch"].min()
    return [int(first[trial]) if trial in first.index else None for trial in trials]
