"""The lines of a records file, which may be older than this version or damaged: its header, and the cells of a row."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import TypeGuard

from runner.errors import UserError
from runner.records import identity, told
from runner.records.ranges import REQUIRED, WORDS, kind, wrong
from runner.records.schema import COLUMNS, COUNT, SCHEMA, TEXT, TRIALS

_TRIAL, _SETTINGS = TRIALS.index("trial"), TRIALS.index("settings")
_PLACES = tuple(map(TRIALS.index, told.TOLD))
BLOCK = 2**24  # bytes of a file that are read at a time


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
    there = text.strip().split(",")
    if len(there) >= oldest and there == list(columns[: len(there)]):
        return columns[: len(there)]
    if text.startswith("\ufeff" + columns[0]):
        raise UserError(
            f"{path}: begins with a byte-order mark, as a spreadsheet writes it; save it as UTF-8 without one"
        )
    lacking, more = ([name for name in one if name not in other] for one, other in ((columns, there), (there, columns)))
    if len(lacking) < len(columns) / 2 or (lacking and not more):
        # Most of it is ours: of another version, or what a spreadsheet made of it.
        differ = [f"it {verb} {_some(names)}" for verb, names in (("lacks", lacking), ("has", more)) if names]
        raise UserError(
            f"{path}: of another version than schema {SCHEMA} ({' and '.join(differ) or 'columns in another order'}); "
            "move the file away, or choose another study=..., and its trials are trained again"
        )
    pairs = enumerate(zip_longest(there, columns, fillvalue=""), 1)
    number, found, wanted = next((n, f, w) for n, (f, w) in pairs if f != w)
    raise UserError(
        f"{path}: not a records file of schema {SCHEMA} (column {number} is {found[:20]!a}, not '{wanted}'); "
        "choose another study=... or move the file away"
    )


def _some(names: Sequence[str]) -> str:
    first = f"{names[0][:20]!a}"
    return f"the column {first}" if len(names) == 1 else f"{len(names)} columns, the first is {first}"


def split(line: str) -> list[str] | None:
    """The cells of a line, without its newline; None where it is something else than text."""
    if '"' not in line:
        return line.removesuffix("\r").split(",") if "\r" not in line[:-1] and "\0" not in line else None
    try:
        found = next(csv.reader([line.removesuffix("\r")], strict=True), [])
    except csv.Error:
        return None
    return found if "\0" not in line else None


def is_row(found: Sequence[str] | None, width: int, oldest: int) -> TypeGuard[Sequence[str]]:
    """Whether the cells of a line are a row of a file with `width` columns: not cut, nor run together with another.

    It may have as few as `oldest`: a process of an older version that still runs goes on to write its shorter rows into
    a file that has become wider meanwhile. The cells that it does not write are empty ones.
    """
    return found is not None and oldest <= len(found) <= width


def cells(line: str, width: int) -> list[str] | None:
    """The cells of a row of `width` columns; None if it is none."""
    found = split(line)
    return found if found is not None and len(found) == width else None


def padded(line: bytes, missing: int) -> bytes:
    """A line with so many empty cells behind."""
    return line[:-1].rstrip(b"\r") + b"," * missing + b"\n" if missing else line


def is_plain(line: bytes) -> bool:
    """Whether counting commas is enough to know the cells of a line."""
    return b'"' not in line and b"\r" not in line and b"\0" not in line


def check_cells(path: Path, number: int, found: Sequence[str], columns: Sequence[str], table: str) -> None:
    """Refuse a row of `table` with a cell that is impossible in its column; `number` is its line, from 1.

    What names a row beside its words is counted, and must be written as a whole number: other readers go by that.
    """
    counted = COUNT[table]
    for at, name in _checked(table, len(columns)):
        cell = found[at]
        right = wrong(name, cell, table)
        if name == counted and not right and not is_count(cell):
            right = f"must be {kind(name, table).right}, written in digits"
        if right:
            raise UserError(
                f"{path}: line {number}: {name} is {cell[:30]!a}, {right}; mend that cell, or remove the line"
            )
    if table == "trials":
        trial, settings = found[_TRIAL], found[_SETTINGS]
        if not identity.names(trial, settings):
            raise UserError(
                f"{path}: line {number}: trial is {trial[:30]!a}, must be the id of its settings; mend that cell, "
                "or remove the line"
            )
        row = [found[at] for at in _PLACES]
        if column := told.contradiction(row, settings):
            cell = row[told.TOLD.index(column)]
            raise UserError(
                f"{path}: line {number}: {column} is {cell[:30]!a}, must be what its settings say; mend that cell, or "
                "remove the line"
            )


@lru_cache
def _checked(table: str, width: int) -> list[tuple[int, str]]:
    """The places and names of those of the first `width` columns that may not hold anything at all."""
    free = {name for name in TEXT if name not in WORDS and name not in REQUIRED[table]}
    return [(at, name) for at, name in enumerate(COLUMNS[table][:width]) if name not in free]


def is_whole(path: Path, number: int, line: bytes, columns: Sequence[str], table: str) -> bool:
    """Whether a last line lacks nothing but its newline, which an editor may leave out; else a kill has torn it."""
    found = cells(line.decode(errors="replace"), len(columns))
    try:
        if found is not None:
            check_cells(path, number, found, columns, table)
            return True
    except UserError:  # a number that is cut off
        pass
    return False


def is_count(cell: str) -> bool:
    """Whether it is a whole number from 0, and no longer than a number that is counted."""
    return cell.isascii() and cell.isdecimal() and len(cell) < 10
