"""A study that version 0.1.0 began goes on under the shorter ids of its files: `as_on_record(folder, trials)`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

from runner.errors import UserError
from runner.records import identity, parts
from runner.records.blocks import whole_lines
from runner.records.table import Table
from runner.trials.plan import planned
from runner.trials.trial import Trial

_SHORT = re.compile(rb'"|[^,]*,"?[^,]{%d}"?,' % identity.OLD)


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
        path = place / "trials.csv"
        if not _may_have_short(path):
            continue
        for lines in whole_lines(path, "trials"):
            trial, settings = lines.columns.index("trial"), lines.columns.index("settings")
            for row in csv.reader(line.decode(errors="replace") for line in io.BytesIO(lines.rows)):
                if len(row[trial]) == identity.OLD:
                    found[row[trial]] = row[settings]
    return found


def _may_have_short(path: Path) -> bool:
    """Whether a line may have a short id; only then are all cells of the file worth the time that reading them takes.

    An id is the second cell. A line that begins with quotes may have commas in the first.
    """
    try:
        with path.open("rb") as file:
            return any(_SHORT.match(line) for line in file)
    except FileNotFoundError:
        return False


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
