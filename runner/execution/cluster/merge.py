"""Rows of a launcher's jobs, from their part files into the study's own tables: `Merger(folder).merge()`."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import UserError
from runner.records import parts
from runner.records.lines import split
from runner.records.read import note
from runner.records.records import Records
from runner.records.schema import FILES, RESULT_TABLES
from runner.records.superseding import mark
from runner.records.table import Table
from runner.system.files import set_aside
from runner.trials.plan import StoredPlan

EVERY = 10.0  # seconds between merges while jobs run
_OURS = {*FILES.values(), ".state", parts.ENDED}


class Merger:
    """What a command does with the parts of the study in `folder`; it remembers how far it has come in each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.records = folder, Records(folder)
        self.tables: dict[Path, dict[str, Table]] = {}

    def merge(self) -> None:
        """Append what the parts have and the study's tables have not; remove the parts of jobs that have ended.

        A part that cannot be read now stays for the next time. One with something in it that is no row of ours is kept
        beside the others under another name, where nobody reads it, when its good rows are merged.
        """
        for part in parts.of(self.folder):
            over = parts.has_ended(part)  # asked first: what a job writes while its part is read is left for later
            if over:
                self.tables.pop(part, None)  # what will be removed is read from its beginning once more
            try:
                whole = self._merge(part, over)
            except OSError as error:
                self.tables.pop(part, None)  # what was read of it is not merged, so it must be read again
                note(f"{part}: cannot be read ({error.strerror or error}); it stays, and is merged by a later command")
                continue
            except BaseException:
                self.tables.pop(part, None)
                raise
            if over:
                del self.tables[part]
                if whole and all(path.name in _OURS for path in part.iterdir()):
                    shutil.rmtree(part, ignore_errors=True)
                else:
                    print(
                        f"note: {part}: its rows are merged; what else is in it stays in {set_aside(part).name}",
                        flush=True,
                    )

    def _merge(self, part: Path, over: bool) -> bool:
        """Whether all that is in the part's tables is merged now."""
        anew = part not in self.tables
        tables = self.tables.setdefault(part, {n: Table(part / FILES[n], n, on_bad_row="say") for n in RESULT_TABLES})
        strange = False
        lines: dict[str, list[bytes]] = {}
        # Trials first: a job writes a trial's row last, so the curves that are read after it are complete.
        for name in RESULT_TABLES:
            try:
                lines[name] = list(tables[name].new_lines(mend=over))
            except UserError as error:  # a file that is no table of ours
                note(f"{error}; it is passed over")
                lines[name], strange = [], True
        with self.records.lock:
            StoredPlan(self.folder, self.records.lock).take(part / FILES["plan"])
            for name in reversed(lines):
                self._append(name, lines[name], anew)
        return not strange and not any(table.damaged for table in tables.values())

    def _append(self, name: str, lines: list[bytes], anew: bool) -> None:
        """Append the lines that are not there; `anew`: they may have been merged before, by whomever."""
        own = self.records.own[name]
        own.refresh(mend=True)
        if name == "trials":
            own.append_lines(b"".join(line for line in lines if mark(line) not in own.marks))
            return
        rows = [dict(zip(own.columns, split(line) or [], strict=True)) for line in lines]
        doubtful = {row["trial"] for row in rows if own.has(row) or (anew and own.seen.get(own.key(row)))}
        known = {line.rstrip(b",") for line in own.lines_of(doubtful)} if doubtful else set()
        fresh = [
            line
            for line, row in zip(lines, rows, strict=True)
            if row["trial"] not in doubtful or line.rstrip(b"\r\n,") not in known
        ]
        own.append_lines(b"".join(fresh))


@contextmanager
def merging(folder: Path) -> Iterator[None]:
    """Merge the rows of jobs into the study in `folder` while they run, and once more when they have ended."""
    over = threading.Event()

    def repeat() -> None:
        merger = Merger(folder)
        while not over.wait(EVERY):
            try:
                merger.merge()
            except (UserError, OSError) as error:  # such as a full disk; the parts keep the rows for the last merge
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
