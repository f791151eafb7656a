"""One CSV file that only grows: `Table(path, "curves")` has `append(rows)`, `new_lines()` what others did."""

from __future__ import annotations

import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

from runner.errors import UserError
from runner.records.checks import check_cells
from runner.records.lines import Rows, check_header, header, is_plain, is_whole, joined, padded, split
from runner.records.packed import opened, packed, unpack
from runner.records.read import note, vouch
from runner.records.schema import COLUMNS, COUNTED, OLDEST, TABLES, WORDS
from runner.records.superseding import Last, supersede
from runner.records.widen import widen
from runner.system.files import append, set_aside

Row = Mapping[str, object]
# A file with another header in the place of one of these is set aside: what is said of it, and what happens then.
FOREIGN = {
    "plan": ("not a plan of stacks", "the trials are planned anew"),
    "shards": ("not a list of launches", "a new one begins here"),
    "reopened": ("not a list of trials to train again", "a new one begins here"),
}


def cell(value: object) -> str:
    """One CSV cell: None is empty (not measured), floats in the shortest form that reads back exactly."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return str(value).translate({0: " ", 10: " ", 13: " "})  # a row must be one line


class Table:
    """A file of the table `name`, and which rows of it this process has seen.

    Args:
        path: of the file, which need not exist.
        name: of the table in the schema.
        on_bad_row: what becomes of a row with an impossible cell. "refuse": UserError. "say": it is left out, and
            said so. "skip": it is left out, and so is all of a file with another header, which a process that may write
            puts aside.

    Attributes:
        seen: the cells that name a row, joined by commas, to the epochs or cycles of its rows, ascending (`supersede`).
        last: of trials.csv, the row that counts for each trial.
        marks: of trials.csv, those of all rows.
        failures: of trials.csv, the mark of each trial's last row which says that it failed.
        damaged: how many lines were left out.
    """

    def __init__(self, path: Path, name: str, on_bad_row: Literal["refuse", "say", "skip"] = "refuse") -> None:
        self.path, self.name, self.on_bad_row = path, name, on_bad_row
        self.columns, self.counted, self.oldest = COLUMNS[name], COUNTED[name], OLDEST[name]
        self.key_columns = [self.columns.index(word) for word in WORDS[name]]
        self.count_column = self.columns.index(self.counted) if self.counted else -1
        self.key_width = max(self.count_column, *self.key_columns) + 1  # the columns up to the last that names a row
        self.forget()

    def forget(self) -> None:
        """See the file from its beginning again."""
        self.offset = self.lines = self.damaged = 0
        self.width = len(self.columns)  # columns of the file: fewer where an older version began it
        self.identity = (0, 0)  # of the file, which `widen` replaces
        self.seen: dict[str, array[int]] = {}
        self.last: dict[str, Last] = {}
        self.marks: set[str] = set()
        self.failures: dict[str, str] = {}

    def key(self, row: Row) -> str:
        """The cells that name a row, joined by commas."""
        return ",".join(str(row[self.columns[i]]) for i in self.key_columns)

    def has(self, row: Row) -> bool:
        """Whether the row of this name has been seen; a row of a table with counts, or a part of one that names it."""
        return int(str(row[self.counted])) in self.seen.get(self.key(row), ())

    def lines_of(self, trials: Collection[str]) -> list[bytes]:
        """All rows of these trials as they stand in the file, with all the columns of today and no newline.

        Of a table whose first column is the trial's id.
        """
        ids = {trial.encode() for trial in trials}
        rows = Rows(self.path, self.name, lambda line: line.partition(b",")[0] in ids)
        return [line.rstrip(b"\r\n") for _, line in rows]

    def rows(self, mend: bool = False) -> list[list[str]]:
        """The cells of the rows that `new_lines` yields."""
        return [split(line) or [] for line in self.new_lines(mend)]

    def refresh(self, mend: bool) -> None:
        """See what has been appended since the last look.

        `mend`: this process may write the file, and holds its lock; a torn last line is removed.
        """
        for _ in self.new_lines(mend):
            pass

    def new_lines(self, mend: bool = False) -> Iterator[bytes]:
        """`refresh`, and the whole lines that it sees, each with all the columns of today."""
        if not (file := self._begun(mend)):
            return
        with file:
            before, whole = self._status(file), self.lines == 1
            for line in file:
                if not line.endswith(b"\n"):
                    if not mend:
                        return
                    if unpack(self.path):
                        yield from self.new_lines(mend)
                        return
                    if not is_whole(self.path, self.lines + 1, line, self.width, self.name):
                        self._cut(self.offset)
                        return
                    append(self.path, b"\n")
                    line += b"\n"
                    file.seek(0, os.SEEK_END)  # past the newline that was just appended
                row = self._plain_row(line) or self._checked_row(line)
                self.lines += 1
                self.offset += len(line)
                if row is None:
                    self.damaged += 1
                else:
                    yield row
            if whole and self.name == "trials" and self.on_bad_row == "refuse":
                after = self._status(file)
                if after.st_size == self.offset and after.st_mtime_ns == before.st_mtime_ns:
                    vouch(after)  # so that reading the file does not check all rows again, which takes as long

    def _begun(self, mend: bool) -> BinaryIO | None:
        """The file behind what has been seen of it, if there is one with a header."""
        try:
            file = opened(self.path)
        except OSError as error:
            # What only helps to plan and to launch counts as absent where it cannot be read.
            absent = isinstance(error, FileNotFoundError | NotADirectoryError)
            if not absent and (mend or self.on_bad_row != "skip"):
                raise
            self.forget()
            return None
        status = self._status(file)
        # Another process has put a wider file in its place, or somebody has copied an earlier one over it.
        if self.identity != (status.st_dev, status.st_ino) or file.seek(0, os.SEEK_END) < self.offset:
            self.forget()
            file.seek(0)
        if self.offset == 0:
            first = file.readline()
            try:
                columns = check_header(self.path, first, self.columns, self.oldest)
            except UserError:
                file.close()
                if self.on_bad_row != "skip":
                    raise
                if mend:
                    what, then = FOREIGN[self.name]
                    print(f"note: {self.path}: {what}; it is now {set_aside(self.path).name}, and {then}", flush=True)
                return None
            if not first.endswith(b"\n"):
                file.close()
                if first and mend:
                    self._cut(0)
                return None
            self.offset, self.lines, self.width = file.tell(), 1, len(columns)
            self.identity = (status.st_dev, status.st_ino)
        file.seek(self.offset)
        return file

    def _status(self, file: BinaryIO) -> os.stat_result:
        """Of the file behind what `opened` has given; a packed one is read from memory."""
        return packed(self.path).stat() if isinstance(file, BytesIO) else os.fstat(file.fileno())

    def _plain_row(self, line: bytes) -> bytes | None:
        """`_checked_row` for nearly all rows of a large file: their cells are looked at when they are read."""
        if not self.counted or self.on_bad_row != "refuse" or not is_plain(line) or line.count(b",") + 1 != self.width:
            return None
        cells = line.split(b",", self.key_width)
        count = cells[self.count_column]
        if not count.isdigit() or len(count) > 9:
            return None
        name = (
            b",".join([cells[i] for i in self.key_columns]) if len(self.key_columns) > 1 else cells[self.key_columns[0]]
        )
        self._count(name.decode(errors="replace"), int(count))
        return padded(line, len(self.columns) - self.width)

    def _checked_row(self, line: bytes) -> bytes | None:
        """A line with all the columns of today, when it has been counted; None where it is no row that may be."""
        cells = split(line)
        if cells is None or not self.oldest <= len(cells) <= self.width:
            return None
        missing = len(self.columns) - len(cells)
        try:
            check_cells(self.path, self.lines + 1, [*cells, *[""] * missing], self.name)
        except UserError as error:
            if self.on_bad_row == "refuse":
                raise
            if self.on_bad_row == "say":
                note(f"{error}; it is left out")
            return None
        name = ",".join(cells[i] for i in self.key_columns)
        if self.counted:
            self._count(name, int(cells[self.count_column]))
        else:
            self.seen[name] = array("i")
        if self.name == "trials":
            new, old = Last.of(cells, line), self.last.get(name)
            self.marks.add(new.mark)
            if new.status == "failed":
                self.failures[name] = new.mark
            if old is None or old.superseded_by(new):
                self.last[name] = new
        return padded(line, missing)

    def _count(self, name: str, count: int) -> None:
        counts = self.seen.get(name)
        if counts is None:
            self.seen[name] = array("i", [count])
        elif count > counts[-1]:
            counts.append(count)
        else:
            supersede(counts, count)

    def _cut(self, size: int) -> None:
        """Remove a torn last line: a write that was killed half-way and so never became a record."""
        os.truncate(self.path, size)
        print(f"note: {self.path}: removed a torn last line (a run was killed while it wrote)", flush=True)

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows; the caller holds the file's lock, has refreshed it, and leaves out what is there."""
        self.append_lines(b"".join(self.line(row) for row in rows))

    def line(self, row: Row) -> bytes:
        """A row as it stands in the file."""
        unknown = set(row) - set(self.columns)
        if unknown:
            raise KeyError(f"{self.path.name} has no column {sorted(unknown)}")
        return joined([cell(column.storable(row.get(column.name))) for column in TABLES[self.name]])

    def append_lines(self, lines: bytes) -> None:
        """`append`, of rows as they stand in another file of this table, with all its columns."""
        if lines:
            if unpack(self.path):
                self.refresh(mend=True)
            if self.width < len(self.columns):
                widen(self.path, self.name, self.width)
                self.refresh(mend=True)
            append(self.path, (b"" if self.offset else header(self.name)) + lines)
            self.refresh(mend=True)
