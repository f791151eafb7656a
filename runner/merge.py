"""Rows of a launcher's jobs, from their part files into the study's own tables: `Merger(folder).merge()`."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import parts
from runner.append import set_aside
from runner.columns import COLUMNS
from runner.errors import UserError
from runner.lines import cells
from runner.plan import StoredPlan
from runner.records import Records
from runner.table import Table

EVERY = 10.0  # seconds between merges while jobs run


class Merger:
    """What a command does with the parts of a study; it remembers how far it has come in each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.records = folder, Records(folder)
        self.tables: dict[Path, dict[str, Table]] = {}

    def merge(self) -> None:
        """Append what the parts have and the study's tables have not; remove the parts of jobs that have ended."""
        for part in parts.of(self.folder):
            over = parts.has_ended(part)  # before it is read: what it writes after that look stays for the next
            if over:
                self.tables.pop(part, None)  # what is removed is first read whole
            tables = self.tables.setdefault(part, {n: Table(part / f"{n}.csv", n) for n in COLUMNS})
            # Trials first: the curves that are read after a trial's row are all that it has.
            lines = {name: _lines(tables[name]) for name in ("trials", "curves", "cycles", "dynamics")}
            with self.records.lock:
                StoredPlan(self.folder, self.records.lock).take(part / "plan.csv")
                for name in reversed(lines):
                    self._append(name, lines[name])
            if over:
                shutil.rmtree(part, ignore_errors=True)
                del self.tables[part]

    def _append(self, name: str, lines: list[bytes]) -> None:
        own = self.records.own[name]
        own.refresh(mend=True)
        fresh = []
        for line in lines:
            row = cells(line[:-1].decode(errors="replace"), len(own.columns))
            assert row is not None, "Table.fresh yields rows alone"
            if not own.has(dict(zip(own.columns, row, strict=True))):
                fresh.append(line)
        own.append_lines(b"".join(fresh))


def _lines(table: Table) -> list[bytes]:
    """What a job has written since the last look; a file that is no table is put aside, and said so."""
    try:
        return list(table.fresh())
    except (UserError, OSError) as error:
        old = set_aside(table.path)
        table.forget()
        print(f"note: {error}; it is now {old.name}, and the trials that it had are trained again", flush=True)
        return []


@contextmanager
def merging(folder: Path) -> Iterator[None]:
    """Merge the rows of jobs while they run, and once more when they have ended."""
    over = threading.Event()

    def repeat() -> None:
        merger = Merger(folder)
        while not over.wait(EVERY):
            try:
                merger.merge()
            except (UserError, OSError) as error:  # a full disk: the parts keep the rows, and the last merge says so
                print(f"note: {error}", flush=True)
                return

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        Merger(folder).merge()
