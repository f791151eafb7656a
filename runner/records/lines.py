"""The lines of a table's file, which may be older than this version, or damaged: `Rows(path, table)` yields its rows.

A line is a row where it has the cells of its file, not cut and not run together with another. Most lines are told by
counting commas; only one with quotes, or something else that is odd, is taken apart.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from runner.errors import UserError
from runner.records.checks import check_cells
from runner.records.packed import opened
from runner.records.schema import COLUMNS, OLDEST, SCHEMA, names


def check_header(path: Path, line: bytes, columns: Sequence[str], oldest: int) -> Sequence[str]:
    """The columns that a file has, by its first line: `columns`, or the first of them in a file of an older version.

    Args:
        path: of the file, for the message.
        line: its first line, with its newline.
        columns: of the table today.
        oldest: how many of them the oldest version wrote. What was added since then stands behind these.

    Returns: the columns; none where there is no header yet, or one whose writer was killed half-way.

    Raises: UserError for a file that no version wrote, or a later one, rather than mix two layouts in it.
    """
    header = ",".join(columns)
    text = line.decode(errors="replace")
    if not text.endswith("\n") and header.startswith(text):
        return ()
    names = text.strip().split(",")
    if len(names) >= oldest and names == list(columns[: len(names)]):
        return columns[: len(names)]
    if text.startswith("\ufeff" + columns[0]):
        raise UserError(
            f"{path}: begins with a byte-order mark, as a spreadsheet writes it; save it as UTF-8 without one"
        )
    lacking, more = ([name for name in one if name not in other] for one, other in ((columns, names), (names, columns)))
    if len(lacking) < len(columns) / 2 or (lacking and not more):
        # Most columns are ours: another version wrote the file, or a spreadsheet has changed it.
        differ = [f"it {verb} {_some(some)}" for verb, some in (("lacks", lacking), ("has", more)) if some]
        raise UserError(
            f"{path}: of another version than schema {SCHEMA} ({' and '.join(differ) or 'columns in another order'}); "
            "move the file away, or choose another study=..., and its trials are trained again"
        )
    pairs = enumerate(zip_longest(names, columns, fillvalue=""), 1)
    number, name, wanted = next((n, name, right) for n, (name, right) in pairs if name != right)
    raise UserError(
        f"{path}: not a records file of schema {SCHEMA} (column {number} is {name[:20]!a}, not '{wanted}'); "
        "choose another study=... or move the file away"
    )


def _some(names: Sequence[str]) -> str:
    first = f"{names[0][:20]!a}"
    return f"the column {first}" if len(names) == 1 else f"{len(names)} columns, the first is {first}"


def header(table: str) -> bytes:
    """The first line of a table's file."""
    return ",".join(COLUMNS[table]).encode() + b"\n"


def split(line: bytes) -> list[str] | None:
    """The cells of a line, with or without its newline; None where it is something else than text."""
    text = line.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace")
    if "\0" in text or ('"' not in text and "\r" in text):
        return None
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return None


def joined(cells: Sequence[str]) -> bytes:
    """The line of these cells, with its newline."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode(errors="replace")  # the name of a machine or file need not be UTF-8


def is_plain(line: bytes) -> bool:
    """Whether counting commas is enough to know the cells of a line."""
    return b'"' not in line and b"\r" not in line and b"\0" not in line


def padded(line: bytes, missing: int) -> bytes:
    """A line with so many empty cells behind."""
    return line[:-1].rstrip(b"\r") + b"," * missing + b"\n" if missing else line


def is_whole(path: Path, number: int, line: bytes, width: int, table: str) -> bool:
    """Whether a last line lacks nothing but its newline, which an editor may leave out; else a kill has torn it.

    Where the last cell names the row nobody can tell: the name may be cut.
    """
    cells = split(line)
    if cells is None or len(cells) != width or COLUMNS[table][-1] in names(table):
        return False
    try:
        check_cells(path, number, [*cells, *[""] * (len(COLUMNS[table]) - width)], table)
    except UserError:  # such as a number that is cut off
        return False
    return True


class Rows:
    """The rows of a file, from first to last, each with its number and a cell for each column of today.

    A file of an older version has fewer columns. A process of that version which still runs goes on to append its
    shorter rows after the file has become wider, so a row may have as few cells as the oldest version wrote.

    Args:
        path: of the file, which may be packed (packed.py); where there is none there are no rows.
        table: its name in the schema.
        wanted: tells by a line whether its row is asked for; all are if it is not given.

    Attributes:
        damaged: the numbers of the lines that were left out because they are no rows, once those behind are read.

    Raises: UserError while it is read, for a file that no version wrote or that the system does not let be read.
    """

    def __init__(self, path: Path, table: str, wanted: Callable[[bytes], object] | None = None) -> None:
        self.path, self.table, self.wanted = path, table, wanted
        self.damaged: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        try:
            with opened(self.path) as file:
                yield from self._rows(file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror}); mend it or move it away") from error

    def _rows(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        columns, oldest, wanted = COLUMNS[self.table], OLDEST[self.table], self.wanted
        width, full = len(check_header(self.path, file.readline(), columns, oldest)), len(columns)
        for number, line in enumerate(file, 2):
            if not line.endswith(b"\n"):
                if not is_whole(self.path, number, line, width, self.table):
                    return
                line += b"\n"
            if wanted is not None and not wanted(line):
                continue
            # This is `is_plain` without the call: a study can have millions of lines.
            plain = b'"' not in line and b"\r" not in line and b"\0" not in line
            count = line.count(b",") + 1 if plain else len(split(line) or ())
            if count == full == width:
                yield number, line
            elif oldest <= count <= width:
                yield number, padded(line, full - count)
            else:
                self.damaged.append(number)
