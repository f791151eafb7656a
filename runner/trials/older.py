"""A study that version 0.1.0 began goes on under the shorter ids of its files: `as_on_record(folder, trials)`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from runner.errors import UserError
from runner.records import identity, parts
from runner.records.lines import Rows, split
from runner.records.schema import TRIALS
from runner.trials.plan import planned_trials
from runner.trials.trial import Trial

# A line that may have a short id, which is the second cell: only such are worth the time that reading all cells takes.
# One that begins with quotes may have commas in the first.
_SHORT = re.compile(rb'"|[^,]*,"?[^,]{%d}"?,' % identity.OLD)
_TRIAL, _SETTINGS = TRIALS.index("trial"), TRIALS.index("settings")


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
        named = [planned_trials(place / "plan.csv") for place in (folder, *parts.of(folder))]
        begun = {trial for trial in _followed(folder).union(*named) if len(trial) == identity.OLD} - rows.keys()
    except (UserError, OSError):  # a file cannot be read; the records will say so
        return dict(trials)
    known = {}
    for trial in trials.values():
        short = trial.digest[: identity.OLD]
        is_known = short in begun or (short in rows and _of(rows[short], trial))
        own = trial.shortened() if is_known else trial
        known[own.id] = own
    return known


def _settings(folder: Path) -> dict[str, str]:
    """The `settings` of the rows with an id of version 0.1.0, by id."""
    paths = [place / "trials.csv" for place in (folder, *parts.of(folder))]
    rows = [split(line) or [] for path in paths for _, line in Rows(path, "trials", _SHORT.match)]
    return {row[_TRIAL]: row[_SETTINGS] for row in rows if len(row[_TRIAL]) == identity.OLD}


def _followed(folder: Path) -> set[str]:
    """Ids of the trials that curves.csv has rows of."""
    return {line.partition(b",")[0].decode(errors="replace") for _, line in Rows(folder / "curves.csv", "curves")}


def _of(settings: str, trial: Trial) -> bool:
    """Whether they are this trial's; also where they cannot be read, for then the id is all there is."""
    flat = identity.parsed(settings)
    return flat is None or identity.digest(flat) == trial.digest
