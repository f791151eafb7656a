"""The tables of a study as pandas has them: `read(folder, "curves")`."""

from __future__ import annotations

import functools
import io
import math
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UserError
from runner.records import identity, parts, told
from runner.records.lines import check_cells, is_row, is_whole, padded, split
from runner.records.ranges import impossible, kind
from runner.records.schema import COLUMNS, OLDEST, TEXT, names
from runner.records.superseding import current, lived

if TYPE_CHECKING:
    import pandas as pd


def exists(folder: Path, table: str = "trials") -> bool:
    """Whether anything of it has been written, here or in a part."""
    return any((place / f"{table}.csv").exists() for place in (folder, *parts.of(folder)))


def read(folder: Path, table: str = "trials", only: Collection[str] | None = None) -> pd.DataFrame:
    """`trials`, `curves`, `cycles` or `dynamics` of a study as a DataFrame; empty cells and `nan` both become NaN.

    Rows of jobs that still run are among them. `only`: the trials whose rows are wanted, which takes little memory
    however long the file is. Damaged lines, and repeated ones, are left out, and said so. Raises UserError where there
    is no such study.
    """
    import pandas as pd

    folder = Path(folder)
    if not exists(folder, table):
        if table == "trials":
            raise UserError(f"{folder / table}.csv: no such file; give a study's folder, such as results/digits-resnet")
        if table != "curves":  # which reading the trials has said
            _look_for_rows(folder, table, _parsed(b"", COLUMNS[table], table), only)
        return pd.DataFrame(columns=COLUMNS[table])
    # The parts first, the study last: what is merged meanwhile is then seen in one of them.
    jobs = [_part(place / f"{table}.csv", table, only) for place in parts.of(folder)]
    own = _file(folder / f"{table}.csv", table, only)
    frame, twice = current(table, own, jobs)
    if twice:
        path = folder / f"{table}.csv"
        note(f"{path}: {twice} lines repeat the {' '.join(names(table))} of an earlier one; left out")
    if table in ("curves", "dynamics") and exists(folder):
        frame = lived(frame, read(folder))
    _look_for_rows(folder, table, frame, only)
    return frame


def _part(path: Path, table: str, only: Collection[str] | None) -> pd.DataFrame:
    """The rows of a job's file; one that is no table is passed over, for it is not the study's."""
    try:
        return _file(path, table, only, strict=False)
    except UserError as error:
        note(f"{error}; it is passed over")
        return _parsed(b"", COLUMNS[table], table)


def _file(path: Path, table: str, only: Collection[str] | None, strict: bool = True) -> pd.DataFrame:
    """The rows of one file. One with an impossible cell is refused, or left out where it is not `strict`."""
    import pandas as pd

    from runner.records.blocks import whole_lines

    columns = COLUMNS[table]
    checked = _vouched(path)
    damaged: list[int] = []
    frames: list[pd.DataFrame] = []
    there: Sequence[str] = columns
    for lines in whole_lines(path, table, only):
        damaged += lines.damaged
        there = lines.columns
        rows = lines.rows
        frame = _parsed(rows, there, table)
        if not checked and (impossible(frame, table, there) or not _named(frame, table)):
            rows = _possible(path, table, only, strict)
            frames, there = [_parsed(rows, columns, table)], columns
            if impossible(frames[0], table, columns):
                raise UserError(f"{path}: holds something that is not a number where one must be; mend or remove it")
            break
        if rows or not frames:
            frames.append(frame)
    if damaged:
        note(f"{path}: {len(damaged)} damaged lines are left out, the first is {damaged[0]}")
    filled = [frame for frame in frames if len(frame)] or [_parsed(b"", columns, table)]
    frame = pd.concat(filled, ignore_index=True) if len(filled) > 1 else filled[0]
    return frame.assign(**{name: "" if name in TEXT else math.nan for name in columns[len(there) :]})


_checked: set[tuple[int, ...]] = set()


def vouch(file: os.stat_result) -> None:
    """Every row of a file of trials in this state may be, as somebody has seen: `read` need not look at them again."""
    _checked.add(_state(file))


def _vouched(path: Path) -> bool:
    try:
        return _state(path.stat()) in _checked
    except OSError:  # which reading it will say
        return False


def _state(found: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _named(frame: pd.DataFrame, table: str) -> bool:
    """Whether the ids of trials.csv are those of its rows' settings, and other cells say nothing else than these."""
    if table != "trials":
        return True
    cells = (frame[name].astype(object).where(frame[name].notna(), "") for name in told.TOLD)
    return all(map(identity.names, frame["trial"], frame["settings"])) and not any(
        map(told.contradiction, zip(*cells, strict=True), frame["settings"])
    )


def _parsed(rows: bytes, columns: Collection[str], table: str) -> pd.DataFrame:
    import pandas as pd

    kinds: dict[str, type] = {name: str for name in columns if name in TEXT}
    # A machine called "null" is none of pandas' words for nothing.
    nothing = {name: [] if name in TEXT else ["", "nan"] if kind(name, table).nan else [""] for name in columns}
    # pandas 3.1 reads floats exactly by default and warns when asked to; before, it had to be asked.
    asked = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    exact: dict[str, Any] = asked
    text = io.BytesIO(b"".join([",".join(columns).encode(), b"\n", rows]))
    frame = pd.read_csv(text, dtype=kinds, encoding_errors="replace", keep_default_na=False, na_values=nothing, **exact)
    return frame.fillna({name: "" for name in columns if name in TEXT})


def _possible(path: Path, table: str, only: Collection[str] | None, strict: bool) -> bytes:
    """The rows without those that have an impossible cell, each of which is named, or refused if `strict`."""
    columns, found = COLUMNS[table], []
    with path.open("rb") as file:
        width = file.readline().count(b",") + 1
        for number, line in enumerate(file, 2):
            if not line.endswith(b"\n") and not is_whole(path, number, line, columns[:width], table):
                break
            row = split(line.rstrip(b"\n").decode(errors="replace"))
            if not is_row(row, width, OLDEST[table]) or (only is not None and row[columns.index("trial")] not in only):
                continue
            try:
                check_cells(path, number, row, columns[: len(row)], table)
            except UserError as error:
                if strict:
                    raise
                note(f"{error}; it is left out")
            else:
                found.append(padded(line.rstrip(b"\r\n") + b"\n", len(columns) - len(row)))
    return b"".join(found)


def _look_for_rows(folder: Path, table: str, frame: pd.DataFrame, only: Collection[str] | None) -> None:
    """A trial that has ended well has rows in other tables too, unless these were damaged: then say so."""
    from runner.records.commands import agreed
    from runner.records.lacking import LEAVES, LEFT_OUT, lacking, left_out

    path, count = folder / f"{table}.csv", 0
    if table == "trials" and not exists(folder, "curves"):
        path, count = folder / "curves.csv", int((frame["status"] == "ok").sum())
    elif table != "trials" and exists(folder):
        trials = read(folder)
        trials = trials if only is None else trials[trials["trial"].isin(list(only))]
        count = lacking(table, frame, trials, table == "dynamics" and agreed(folder, "diagnostics", True))
    if count:
        what = "does not have all rows" if path.exists() else "is missing, with the rows"
        meant = f" ({LEFT_OUT} says so)" if path.stem in left_out(folder) else ""
        note(f"{path}: {what} of {count} trials in trials.csv{meant}; {LEAVES[path.stem]}")


@functools.cache
def note(text: str) -> None:
    """Said once, however often a file is read."""
    print(f"note: {text}", flush=True)
