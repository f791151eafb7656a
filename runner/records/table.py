"""One CSV file that only grows: `Table(path, "curves").append(rows)` adds the rows that are not there yet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from runner.errors import UserError
from runner.records.lines import BLOCK, check_cells, check_header, is_count, is_row, is_whole, padded, split
from runner.records.ranges import storable
from runner.records.read import note, vouch
from runner.records.schema import COLUMNS, COUNT, OLDEST, WORDS
from runner.records.superseding import Last, superseding
from runner.system.files import append, replace

Row = Mapping[str, object]
FAR = 2**20  # no table counts so far: a damaged line does
MANY = 2**16  # bytes that are better read in blocks


def cell(value: object) -> str:
    """One CSV cell: None is empty (not measured), floats in the shortest form that reads back exactly."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return str(value).translate({0: " ", 10: " ", 13: " "})  # a row is one line


class Table:
    """A file of the table `name`, and which rows of it this process has seen.

    `seen`: the words that name a row, joined by commas, to the set of its counts, as bits of an integer. A second row
    of a name begins a new attempt, and takes the place of all rows from its count on. `last`: for trials.csv, the row
    that counts for each trial; `marks`: of all its rows; `failures`: of each trial's last row that says that it failed.
    `damaged`: lines that are no rows and, unless `strict`, rows with an impossible cell, which are left out.
    """

    def __init__(self, path: Path, name: str, strict: bool = True) -> None:
        self.path, self.name, self.strict = path, name, strict
        self.columns, self.count, self.oldest = COLUMNS[name], COUNT[name], OLDEST[name]
        self.words = [self.columns.index(word) for word in WORDS[name]]
        self.at = self.columns.index(self.count) if self.count else -1
        self.quick = [*self.words, self.at] == [0, 1]  # what names a row stands at its beginning
        self.forget()

    def forget(self) -> None:
        """See the file from its beginning again."""
        self.offset = self.lines = self.damaged = 0
        self.width = len(self.columns)  # columns of the file: fewer where an older version began it
        self.identity = (0, 0)  # of the file, which `_widen` replaces
        self.seen: dict[str, int] = {}
        self.last: dict[str, Last] = {}
        self.marks: set[str] = set()
        self.failures: dict[str, str] = {}

    def key(self, row: Row) -> str:
        """The words that name a row of the table."""
        return ",".join(str(row[self.columns[i]]) for i in self.words)

    def has(self, row: Row) -> bool:
        """Whether the row of this name has been seen; a row of the table, or a part of one that names it."""
        count = int(str(row[self.count])) if self.count else 0
        return bool(self.seen.get(self.key(row), 0) >> count & 1)

    def lines_of(self, trials: Collection[str]) -> list[bytes]:
        """All rows of these trials as they stand in the file, with all the columns of today and no newline."""
        from runner.records.blocks import whole_lines

        blocks = (lines.padded(len(self.columns)) for lines in whole_lines(self.path, self.name, trials))
        return [line.rstrip(b"\r") for block in blocks for line in block.split(b"\n") if line]

    def refresh(self, mend: bool) -> None:
        """See what has been appended since the last look.

        `mend`: this process may write the file, and holds its lock; a torn last line is removed.
        """
        if self.quick and self._size() - self.offset > MANY and (file := self._begun(mend)):
            from runner.records.blocks import skim

            with file:
                while len(block := file.read(BLOCK)) == BLOCK or block.endswith(b"\n"):
                    lines = block[: block.rfind(b"\n") + 1]
                    if not lines or (found := skim(lines, self.width)) is None:
                        break
                    for name, bits in found:
                        self._count(name, bits)
                    self.offset += len(lines)
                    self.lines += lines.count(b"\n")
                    file.seek(self.offset)
        for _ in self.fresh(mend):
            pass

    def fresh(self, mend: bool = False) -> Iterator[bytes]:
        """`refresh`, and the whole lines that it sees, each with all the columns of today."""
        if not (file := self._begun(mend)):
            return
        with file:
            before, whole = os.fstat(file.fileno()), self.lines == 1
            for line in file:
                row = split(line.rstrip(b"\n").decode(errors="replace"))
                if not line.endswith(b"\n"):
                    if not mend:
                        return
                    if not is_whole(self.path, self.lines + 1, line, self.columns[: self.width], self.name):
                        self._cut(self.offset)
                        return
                    append(self.path, b"\n")
                    line += b"\n"
                    file.seek(0, os.SEEK_END)  # nothing is behind it
                good = is_row(row, self.width, self.oldest) and self._see(row, line)
                self.damaged += not good
                self.lines += 1
                self.offset += len(line)
                if good and row is not None:
                    yield padded(line, len(self.columns) - len(row))
            if whole and self.strict and not self.count:
                after = os.fstat(file.fileno())
                if after.st_size == self.offset and after.st_mtime_ns == before.st_mtime_ns:
                    vouch(after)  # to look at its rows takes as long as to read them

    def _begun(self, mend: bool) -> BinaryIO | None:
        """The file behind what has been seen of it, if there is one with a header."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            self.forget()
            return None
        status = os.fstat(file.fileno())
        # Another process has put a wider file in its place; or somebody has copied an earlier one over it.
        if self.identity != (status.st_dev, status.st_ino) or status.st_size < self.offset:
            self.forget()
        if self.offset == 0:
            header = file.readline()
            try:
                columns = check_header(self.path, header, self.columns, self.oldest)
            except UserError:
                file.close()
                raise
            if not header.endswith(b"\n"):
                file.close()
                if header and mend:
                    self._cut(0)
                return None
            self.offset, self.lines, self.width = file.tell(), 1, len(columns)
            self.identity = (status.st_dev, status.st_ino)
        file.seek(self.offset)
        return file

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:  # which opening it will say
            return 0

    def _see(self, row: Sequence[str], line: bytes) -> bool:
        """Whether it is a row that may be."""
        try:
            # A number of the study's own curves is checked where it is read; one of a job before it is merged.
            if not self.count or not self.strict or not is_count(row[self.at]):
                check_cells(self.path, self.lines + 1, row, self.columns[: len(row)], self.name)
        except UserError as error:
            if self.strict:
                raise
            note(f"{error}; it is left out")
            return False
        name = ",".join(row[i] for i in self.words)
        self._count(name, _bit(row[self.at] if self.count else "0"))
        if not self.count:
            new, old = Last.of(row, line), self.last.get(name)
            self.marks.add(new.mark)
            if new.status == "failed":
                self.failures[name] = new.mark
            if old is None or old.superseded_by(new):
                self.last[name] = new
        return True

    def _count(self, name: str, bits: int) -> None:
        """A run of rows; what was there from its first count on belongs to an earlier attempt."""
        self.seen[name] = superseding(self.seen.get(name, 0), bits)

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
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([cell(storable(n, row.get(n))) for n in self.columns])
        return text.getvalue().encode(errors="replace")  # a name need not be text

    def append_lines(self, lines: bytes) -> None:
        """`append`, of rows as they stand in another file of this table, with all its columns."""
        if lines:
            if self.width < len(self.columns):
                self._widen()
            append(self.path, (b"" if self.offset else self._header()) + lines)
            self.refresh(mend=True)

    def _header(self) -> bytes:
        return ",".join(self.columns).encode() + b"\n"

    def _widen(self) -> None:
        """Put a file with the columns of today in the place of an older one; the caller holds the lock.

        Every row keeps its cells, byte for byte, and gets an empty one for each column that was added since. Readers
        see the one file or the other, and a kill leaves the old one. Damaged lines are left out, and then the old file
        stays beside the new one under another name.
        """
        damaged = 0

        def lines() -> Iterator[bytes]:
            nonlocal damaged
            yield self._header()
            with self.path.open("rb") as file:
                file.readline()
                for line in file:
                    row = split(line[:-1].decode(errors="replace"))
                    if is_row(row, self.width, self.oldest):
                        yield padded(line, len(self.columns) - len(row))
                    else:
                        damaged += 1

        old = replace(self.path, lines(), keep=lambda: damaged > 0)
        note = f"; {damaged} damaged lines are left out, and the file as it was is {old.name}" if old else ""
        new = ", ".join(self.columns[self.width :])
        print(
            f"note: {self.path}: an older version wrote it; it now has {new} too, and keeps its rows{note}", flush=True
        )
        self.forget()
        self.refresh(mend=True)


def _bit(count: bytes | str) -> int:
    number = int(count)
    return 1 << number if number < FAR else 0
