"""The study's CSV files: what is in them is done, what is not is still to do.

`Records(folder).append_trials(rows)` is the call to know; `runner.records.read` reads. Rows are only ever appended: one
block of whole lines, one write, under a lock of the processes that write the same file. Those are the commands on a
study and their workers; the jobs of a launcher write files of their own (parts.py), read as one with these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TypeVar

from runner.errors import UserError
from runner.records import parts
from runner.records.read import note
from runner.records.redone import Redone
from runner.records.reopened import Reopened
from runner.records.schema import COLUMNS
from runner.records.superseding import Last, mark, superseding
from runner.records.table import Row, Table
from runner.system.locks import Lock


def merged(bits: Iterable[int]) -> int:
    """The counts that these have together, each of them being written after the ones before."""
    return reduce(superseding, bits, 0)


def counts_of(tables: Sequence[Table]) -> dict[str, int]:
    """The epochs or cycles that each trial (or layer of one: "trial,layer") has rows of, as bits of an integer.

    tables: one in files of their own, in the order in which they are written.
    """
    keys = dict.fromkeys(key for one in tables for key in one.seen)
    return {key: merged(one.seen.get(key, 0) for one in tables) for key in keys}


T = TypeVar("T")


def _chosen(rows: Mapping[str, T], among: Collection[str] | None) -> dict[str, T]:
    """Those of these trials, or all."""
    return dict(rows) if among is None else {trial: rows[trial] for trial in among if trial in rows}


def counting(study: Table, jobs: Iterable[Table], among: Collection[str] | None = None) -> dict[str, Last]:
    """The row of trials.csv that counts for each trial, of those that the study's own table and its jobs' have seen."""
    found = _chosen(study.last, among)
    for table in jobs:
        for trial, last in _chosen(table.last, among).items():
            # What is merged stands in the study's file too, where it may be superseded.
            if last.mark not in study.marks and (trial not in found or found[trial].superseded_by(last)):
                found[trial] = last
    return found


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
        self.redone, self.reopened = Redone(), Reopened(folder)

    def done(self, among: Collection[str] | None = None) -> set[str]:
        """Ids of the trials that have a result on record, whoever wrote it: a row that is not to be superseded.

        A failed row is no result, and one that was opened again is none any more. `among`: of these trials alone, which
        takes no longer however many others there are.
        """
        with self._there():
            return {trial for trial, last in self._closed(among).items() if last.status != "failed"}

    def failed(self) -> frozenset[str]:
        """Marks of the failed rows that there are: what `ended` is to be told, so that their trials are tried again."""
        with self._there():
            return frozenset(mark for table in self._looked("trials") for mark in table.failures.values())

    def ended(self, before: Collection[str] = (), among: Collection[str] | None = None) -> set[str]:
        """Ids of the trials that are done, or have failed since there were the failed rows `before`."""
        with self._there():
            done = {trial for trial, last in self._closed(among).items() if last.status != "failed"}
            failures = [_chosen(table.failures, among) for table in self._looked("trials")]
            return done | {trial for one in failures for trial, mark in one.items() if mark not in before}

    def reopen(self, trials: Iterable[str]) -> set[str]:
        """Let these be trained again though they have a result, which stays valid until then; the ids that had one."""
        with self._there():
            last = self._closed(set(trials))
            marks = {trial: row.mark for trial, row in last.items() if row.status != "failed"}
            self.reopened.add(marks)
        return set(marks)

    def last(self) -> dict[str, Last]:
        """The row of trials.csv that counts for each trial, in short."""
        with self._there():
            return self._last()

    def counts(self, table: str) -> dict[str, int]:
        """`counts_of` what is written of a table."""
        with self._there():
            return counts_of(self._looked(table))

    def has_curves(self, trials: Iterable[str], epochs: int) -> bool:
        """Whether curves.csv has a row of each of these trials for all `epochs`, which are bits of an integer."""
        with self._there():
            tables = self._looked("curves")
            return all(self._has(tables, trial, epochs) for trial in trials)

    def _has(self, tables: list[Table], trial: str, epochs: int) -> bool:
        there = merged(table.seen.get(trial, 0) for table in tables)
        if epochs & ~there and sum(trial in table.seen for table in tables) > 1:
            # A job's rows that are merged stand in two files, and may seem to be later than they are.
            there = sum(1 << int(count) for _, count in Redone().current(tables, trial))
        return not epochs & ~there

    def append_trials(self, rows: Iterable[Row]) -> None:
        """A row whose trial is done is left out, and one that says of such a trial that it failed."""
        with self._there():
            rows = list(rows)
            closed = self._closed([str(row["trial"]) for row in rows])
            fresh = []
            for row in rows:
                last = closed.get(str(row["trial"]))
                if last is None or last.status == "failed":
                    fresh.append(row)
            own = self.own["trials"]
            lines = [own.line(row) for row in fresh]
            own.append_lines(b"".join(line for line in dict.fromkeys(lines) if mark(line) not in own.marks))
            self.redone.forget(str(row["trial"]) for row in fresh)

    def append_curves(self, rows: Iterable[Row]) -> None:
        self._append("curves", rows)

    def append_cycles(self, rows: Iterable[Row]) -> None:
        self._append("cycles", rows)

    def append_dynamics(self, rows: Iterable[Row]) -> None:
        self._append("dynamics", rows)

    def _append(self, name: str, rows: Iterable[Row]) -> None:
        with self._there():
            self.own[name].append(self.redone.fresh(self._looked(name), rows))

    def _last(self, among: Collection[str] | None = None) -> dict[str, Last]:
        study, *jobs = self._looked("trials")
        return counting(study, jobs, among)

    def _closed(self, among: Collection[str] | None = None) -> dict[str, Last]:
        """Without what is open again."""
        opened = self.reopened.read()
        last = self._last(among)
        return {trial: row for trial, row in last.items() if (trial, row.mark) not in opened} if opened else last

    def _there(self) -> Lock:
        """The lock; taking it would make the folder of a part anew."""
        if self.part and not self.home.exists():
            raise UserError(f"{self.home}: is gone (the study was begun again, or moved); this job ends")
        return self.lock

    def _looked(self, name: str) -> list[Table]:
        """The table as far as it is written, in the study's file, in those of jobs, and last in that of this job.

        The caller holds the lock.
        """
        # The parts first, the study last: what is merged meanwhile is then seen in one of them.
        places = [place for place in parts.of(self.folder) if place != self.home]
        if self.home != self.folder:
            places.append(self.folder)
        for gone in self.elsewhere.keys() - set(places):
            del self.elsewhere[gone]
        found = []
        for place in places:
            strict = place == self.folder
            made = self.elsewhere.setdefault(place, {n: Table(place / f"{n}.csv", n, strict) for n in COLUMNS})
            try:
                made[name].refresh(mend=False)
            except (UserError, OSError) as error:
                if strict:
                    raise
                note(f"{error}; it is passed over")
            found.append(made[name])
        self.own[name].refresh(mend=True)
        return [found[-1], *found[:-1], self.own[name]] if self.part else [self.own[name], *found]
