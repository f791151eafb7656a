"""The study's CSV files: what is in them is done, what is not is still to do.

`Records(folder).append_trials(rows)` is the call to know; `runner.records.read` reads. Rows are only ever appended: one
block of whole lines, one write, under a lock of the processes that write the same file. Those are the commands on a
study and their workers; the jobs of a launcher write files of their own (parts.py), read as one with these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from runner.errors import UserError
from runner.records import parts
from runner.records.lines import Rows, joined, split
from runner.records.read import note
from runner.records.redone import Redone
from runner.records.schema import FILES, RESULT_TABLES, TRIALS
from runner.records.superseding import PHASE, Last, mark, merged
from runner.records.table import Row, Table
from runner.system.locks import Lock

TRIAL = TRIALS.index("trial")


def counts_of(tables: Sequence[Table]) -> dict[str, Sequence[int]]:
    """The epochs or cycles that each trial (or layer of one: "trial,layer") has rows of, in ascending order.

    tables: the files that together make one table, in the order in which they are written.
    """
    keys = dict.fromkeys(key for one in tables for key in one.seen)
    return {key: merged(one.seen.get(key, ()) for one in tables) for key in keys}


def reopened(folder: Path) -> Table:
    """Rows that a command trains again although they are results, by trial and mark.

    `resume=false` names them, and so does a trial whose other rows are lost. A row stays valid until a later one
    supersedes it: this only says that it does not answer the question whether its trial is done, for any process, here
    or in a job of a launcher, until that is so. A study that is copied without its `.state` is done as it stands.
    """
    return Table(folder / FILES["reopened"], "reopened", on_bad_row="skip")


T = TypeVar("T")


def _chosen(rows: Mapping[str, T], among: Collection[str] | None) -> dict[str, T]:
    """Those of these trials, or all."""
    return dict(rows) if among is None else {trial: rows[trial] for trial in among if trial in rows}


def last_rows(study: Table, jobs: Iterable[Table], among: Collection[str] | None = None) -> dict[str, Last]:
    """The row of trials.csv that counts for each trial, of those that the study's own table and its jobs' have seen."""
    counting = _chosen(study.last, among)
    for table in jobs:
        for trial, last in _chosen(table.last, among).items():
            # A row that is merged stands in the study's file too, where a later one may have superseded it.
            if last.mark not in study.marks and (trial not in counting or counting[trial].superseded_by(last)):
                counting[trial] = last
    return counting


class Records:
    """The tables of one study, safe for many processes at once.

    Args:
        folder: of the study; it is made if it is not there.
        part: the name of the part that is written (see parts.py); "" for the study's own tables.

    Raises: UserError where the folder cannot be written.
    """

    def __init__(self, folder: Path, part: str = "") -> None:
        self.folder, self.home = folder, parts.home(folder, part)
        try:
            (self.home / ".state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot write there ({error.strerror}); set results=...") from error
        self.part = part
        self.lock = Lock(self.home / ".state" / "records.lock")
        self.own = {name: Table(self.home / FILES[name], name) for name in RESULT_TABLES}
        self.elsewhere: dict[Path, dict[str, Table]] = {}
        self.redone, self.reopened = Redone(), reopened(folder)

    def done(self, among: Collection[str] | None = None) -> set[str]:
        """Ids of the trials that have a result on record, whoever wrote it.

        A failed row is no result, and neither is one that was opened again.

        Args:
            among: these trials alone, which takes no longer however many others there are; all where it is not given.
        """
        with self._locked():
            return set(self._results(among))

    def failed(self) -> frozenset[str]:
        """Marks of the failed rows that there are now. `ended` gets them, so that their trials are tried again."""
        with self._locked():
            return frozenset(mark for table in self._looked("trials") for mark in table.failures.values())

    def ended(self, before: Collection[str] = (), among: Collection[str] | None = None) -> set[str]:
        """Ids of the trials that need no training by this command: they are done, or have failed under it.

        Args:
            before: marks of the failed rows that there were when the command began.
            among: these trials alone; all where it is not given.
        """
        with self._locked():
            failures = [_chosen(table.failures, among) for table in self._looked("trials")]
            failed = {trial for one in failures for trial, mark in one.items() if mark not in before}
            return failed.union(self._results(among))

    def reopen(self, trials: Iterable[str]) -> set[str]:
        """Have `trials` trained again although they have a result, which stays valid until there is a new one.

        Returns: the ids of those that had a result.
        """
        with self._locked():
            results = self._results(set(trials))
            self.reopened.refresh(mend=True)
            self.reopened.append({"trial": trial, "row": row.mark} for trial, row in sorted(results.items()))
        return set(results)

    def count_as_search(self, trials: Collection[str]) -> None:
        """Write the rows again that were trained near a winner, as rows of the search, which supersede them.

        What a grid asks for belongs to its search, whichever phase trained it first. Fresh seeds stay what they are,
        for they are results.

        Args:
            trials: ids of the trials that a grid asks for.
        """
        with self._locked():
            others = {trial: row.mark for trial, row in self._results(trials).items() if row.phase == "refine"}
            if not others:
                return
            again = {}
            for table in self._looked("trials"):
                for _, line in Rows(table.path, table.name):
                    cells = split(line) or [""] * len(TRIALS)
                    if others.get(cells[TRIAL]) == mark(line):
                        again[cells[TRIAL]] = joined([*cells[:PHASE], "search", *cells[PHASE + 1 :]])
            self.own["trials"].append_lines(b"".join(again.values()))

    def last(self) -> dict[str, Last]:
        """The row of trials.csv that counts for each trial, in short."""
        with self._locked():
            return self._last()

    def counts(self, table: str) -> dict[str, Sequence[int]]:
        """`counts_of` what is written of a table."""
        with self._locked():
            return counts_of(self._looked(table))

    def has_curves(self, trials: Iterable[str], epochs: Collection[int]) -> bool:
        """Whether curves.csv has a row of each of these trials for each of these `epochs`, counted from 1."""
        with self._locked():
            tables = self._looked("curves")
            return all(self._has(tables, trial, epochs) for trial in trials)

    def _has(self, tables: list[Table], trial: str, epochs: Collection[int]) -> bool:
        lost = set(epochs).difference(merged(table.seen.get(trial, ()) for table in tables))
        if lost and sum(trial in table.seen for table in tables) > 1:
            # A job's rows that are merged stand in two files, and may seem to be later than they are.
            lost -= {int(count) for _, count in Redone().current(tables, trial)}
        return not lost

    def append_trials(self, rows: Iterable[Row]) -> None:
        """Add rows of trials.csv. Rows of trials that are done are left out, and so is one that is there already.

        Args:
            rows: cells by column; a column that is not there gets an empty cell.

        Raises: UserError where the disk does not take them; the file is then as it was.
        """
        with self._locked():
            rows = list(rows)
            results = self._results([str(row["trial"]) for row in rows])
            fresh = [row for row in rows if str(row["trial"]) not in results]
            own = self.own["trials"]
            lines = [own.line(row) for row in fresh]
            own.append_lines(b"".join(line for line in dict.fromkeys(lines) if mark(line) not in own.marks))
            self.redone.forget(str(row["trial"]) for row in fresh)

    def append_curves(self, rows: Iterable[Row]) -> None:
        """Add rows of curves.csv."""
        self._append("curves", rows)

    def append_cycles(self, rows: Iterable[Row]) -> None:
        """Add rows of cycles.csv."""
        self._append("cycles", rows)

    def append_dynamics(self, rows: Iterable[Row]) -> None:
        """Add rows of dynamics.csv."""
        self._append("dynamics", rows)

    def _append(self, name: str, rows: Iterable[Row]) -> None:
        """Add rows, but those that repeat what is there in all but the time that it took."""
        with self._locked():
            self.own[name].append(self.redone.fresh(self._looked(name), rows))

    def _last(self, among: Collection[str] | None = None) -> dict[str, Last]:
        study, *jobs = self._looked("trials")
        return last_rows(study, jobs, among)

    def _results(self, among: Collection[str] | None = None) -> dict[str, Last]:
        """The rows that are results, without those that are open again."""
        self.reopened.refresh(mend=False)
        opened = self.reopened.seen
        last = self._last(among)
        return {t: row for t, row in last.items() if row.status != "failed" and f"{t},{row.mark}" not in opened}

    def _locked(self) -> Lock:
        """The lock. UserError where the part's folder is gone, which taking its lock would make anew."""
        if self.part and not self.home.exists():
            raise UserError(f"{self.home}: is gone (the study was begun again, or moved); this job ends")
        return self.lock

    def _looked(self, name: str) -> list[Table]:
        """The table as far as it is written, in the study's file, in those of jobs, and last in that of this job.

        The caller holds the lock.
        """
        # The parts first, the study last: a row that is merged between the two looks is then seen in one of them.
        places = [place for place in parts.of(self.folder) if place != self.home]
        if self.home != self.folder:
            places.append(self.folder)
        for gone in self.elsewhere.keys() - set(places):
            del self.elsewhere[gone]
        others = []
        for place in places:
            bad: Literal["refuse", "say"] = "refuse" if place == self.folder else "say"
            tables = self.elsewhere.setdefault(place, {n: Table(place / FILES[n], n, bad) for n in RESULT_TABLES})
            try:
                tables[name].refresh(mend=False)
            except (UserError, OSError) as error:
                if bad == "refuse":
                    raise
                note(f"{error}; it is passed over")
            others.append(tables[name])
        self.own[name].refresh(mend=True)
        return [others[-1], *others[:-1], self.own[name]] if self.part else [self.own[name], *others]
