"""The study's CSV files: what is in them is done, what is not is still to do.

`Records(folder).append_trials(rows)` is the call to know; `runner.reading` reads. Rows are only ever appended: one
block of whole lines, one write, under a lock of the processes that write the same file. Those are the commands on a
study and their workers; the jobs of a launcher write files of their own (runner/parts.py), read as one with these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import reduce
from operator import or_
from pathlib import Path

from runner import parts
from runner.columns import COLUMNS
from runner.errors import UserError
from runner.lock import Lock
from runner.reading import note
from runner.table import Row, Table


def merged(bits: Iterable[int]) -> int:
    """All counts that any of these has."""
    return reduce(or_, bits, 0)


class Records:
    """The tables of one study, safe for many processes at once; `part`: the name of the part that is written."""

    def __init__(self, folder: Path, part: str = "") -> None:
        self.folder, self.home = folder, parts.home(folder, part)
        try:
            (self.home / ".state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot write there ({error.strerror}); set results=...") from error
        self.part = part
        self.lock = Lock(self.home / ".state" / "records.lock")
        self.own = {name: Table(self.home / f"{name}.csv", name) for name in COLUMNS}
        self.elsewhere: dict[Path, dict[str, Table]] = {}

    def done(self, among: Collection[str] | None = None) -> set[str]:
        """Ids of the trials that have a row, whoever wrote it; of these alone where some are given."""
        with self._there():
            tables = self._looked("trials")
            if among is not None:
                return {trial for trial in among if any(trial in table.seen for table in tables)}
            return {trial for table in tables for trial in table.seen}

    def has_curves(self, trials: Iterable[str], epochs: int) -> bool:
        """Whether curves.csv has a row of each of these trials for all `epochs`, which are bits of an integer."""
        with self._there():
            tables = self._looked("curves")
            return all(not epochs & ~merged(table.seen.get(trial, 0) for table in tables) for trial in trials)

    def append_trials(self, rows: Iterable[Row]) -> None:
        self._append("trials", rows)

    def append_curves(self, rows: Iterable[Row]) -> None:
        self._append("curves", rows)

    def append_cycles(self, rows: Iterable[Row]) -> None:
        self._append("cycles", rows)

    def append_dynamics(self, rows: Iterable[Row]) -> None:
        self._append("dynamics", rows)

    def _append(self, name: str, rows: Iterable[Row]) -> None:
        with self._there():
            tables = self._looked(name)
            self.own[name].append([row for row in rows if not any(table.has(row) for table in tables)])

    def _there(self) -> Lock:
        """The lock; taking it would make the folder of a part anew."""
        if self.part and not self.home.exists():
            raise UserError(f"{self.home}: is gone (the study was begun again, or moved); this job ends")
        return self.lock

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
            try:
                tables[name].refresh(mend=False)
            except (UserError, OSError) as error:
                if place == self.folder:
                    raise
                note(f"{error}; it is passed over")
            found.append(tables[name])
        self.own[name].refresh(mend=True)
        return [self.own[name], *found]
