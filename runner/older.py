"""A study that version 0.1.0 began goes on under the shorter ids of its files: `as_on_record(folder, trials)`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

from runner import identity, parts
from runner.blocks import whole_lines
from runner.errors import UserError
from runner.plan import planned
from runner.table import Table
from runner.trials import Trial


def as_on_record(folder: Path, trials: Mapping[str, Trial]) -> dict[str, Trial]:
    """These trials by id; a trial that the study has under its id of version 0.1.0 keeps that id there.

    Its rows, its place in the plan and its saved state are then found. An id of that version has 40 bits, so another
    trial may have got it by chance: where a row's settings say so, the trial takes its longer id.

    Args:
        folder: of the study, which need not exist.
        trials: by id, in the order that is kept.
    """
    try:
        rows = _settings(folder)
        begun = {trial for trial in planned(folder) | _followed(folder) if len(trial) == identity.OLD} - rows.keys()
    except (UserError, OSError):  # a file that cannot be read, which the records will say
        return dict(trials)
    found = {}
    for trial in trials.values():
        short = trial.digest[: identity.OLD]
        known = short in begun or (short in rows and _of(rows[short], trial))
        mine = trial.shortened() if known else trial
        found[mine.id] = mine
    return found


def _settings(folder: Path) -> dict[str, str]:
    """The `settings` of the rows with an id of version 0.1.0, by id."""
    found = {}
    for place in (folder, *parts.of(folder)):
        for lines in whole_lines(place / "trials.csv", "trials"):
            trial, settings = lines.columns.index("trial"), lines.columns.index("settings")
            # A longer id is seen without reading the whole row, unless a cell before it has quotes.
            some = (row for row in io.BytesIO(lines.rows) if row[:1] == b'"' or _second(row) == identity.OLD)
            for row in csv.reader(row.decode(errors="replace") for row in some):
                if len(row[trial]) == identity.OLD:
                    found[row[trial]] = row[settings]
    return found


def _second(row: bytes) -> int:
    """How long the second cell of a row is."""
    first = row.find(b",") + 1
    return row.find(b",", first) - first


def _followed(folder: Path) -> set[str]:
    """Ids of the trials that curves.csv has rows of."""
    table = Table(folder / "curves.csv", "curves")
    table.refresh(mend=False)
    return set(table.seen)


def _of(settings: str, trial: Trial) -> bool:
    """Whether they are this trial's; also where they cannot be read, for then the id is all there is."""
    try:
        flat = json.loads(settings)
    except (ValueError, RecursionError):
        return True
    return not isinstance(flat, dict) or identity.digest(flat) == trial.digest
