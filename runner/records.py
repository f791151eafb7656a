"""The study's CSV files: what is in them is done, what is not is still to do.

`Records(folder).append_trials(rows)` and `read(folder)` are the calls to know. Rows are only ever appended: one block
of whole lines, one write, under a lock of the processes that write the same file. Those are the commands on a study
and their workers; the jobs of a launcher write files of their own (runner/parts.py), which are read as one with these.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from runner import parts
from runner.columns import COLUMNS
from runner.errors import UserError
from runner.lock import Lock
from runner.reading import read as read
from runner.table import Row, Table


class Records:
    """The tables of one study, safe for many processes at once; `part`: the name of the part that is written."""

    def __init__(self, folder: Path, part: str = "") -> None:
        self.folder, self.home = folder, parts.home(folder, part)
        try:
            (self.home / ".state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot write there ({error.strerror}); set results=...") from error
        self.lock = Lock(self.home / ".state" / "records.lock")
        self.own = {name: Table(self.home / f"{name}.csv", name) for name in COLUMNS}
        self.elsewhere: dict[Path, dict[str, Table]] = {}

    def done(self) -> set[str]:
        """Ids of the trials that have a row, whoever wrote it."""
        with self.lock:
            return {trial for table in self._looked("trials") for trial in table.seen}

    def has_curves(self, trials: Iterable[str], epoch: int) -> bool:
        """Whether curves.csv goes as far as `epoch` for all these trials."""
        with self.lock:
            tables = self._looked("curves")
            return all(max(table.reaches(trial) for table in tables) >= epoch for trial in trials)

    def append_trials(self, rows: Iterable[Row]) -> None:
        self._append("trials", rows)

    def append_curves(self, rows: Iterable[Row]) -> None:
        self._append("curves", rows)

    def append_cycles(self, rows: Iterable[Row]) -> None:
        self._append("cycles", rows)

    def append_dynamics(self, rows: Iterable[Row]) -> None:
        self._append("dynamics", rows)

    def _append(self, name: str, rows: Iterable[Row]) -> None:
        with self.lock:
            tables = self._looked(name)
            self.own[name].append([row for row in rows if not any(table.has(row) for table in tables)])

    def _looked(self, name: str) -> list[Table]:
        """The table as far as it is written, in its file and in those of others; the caller holds the lock."""
        # The parts first, the study last: what is merged meanwhile is then seen in one of them.
        places = [place for place in parts.of(self.folder) if place != self.home]
        if self.home != self.folder:
            places.append(self.folder)
        for gone in self.elsewhere.keys() - set(places):
            del self.elsewhere[gone]
        found = []
        for place in places:
            tables = self.elsewhere.setdefault(place, {n: Table(place / f"{n}.csv", n) for n in COLUMNS})
            tables[name].refresh(mend=False)
            found.append(tables[name])
        self.own[name].refresh(mend=True)
        return [self.own[name], *found]
