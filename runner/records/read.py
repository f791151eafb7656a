"""The tables of a study as pandas has them: `read(folder, "curves")`."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Collection
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UserError
from runner.records import parts
from runner.records.checks import check_cells, impossible
from runner.records.column import Range
from runner.records.lines import Rows, header, split
from runner.records.packed import packed, present
from runner.records.schema import COLUMNS, TABLES, names
from runner.records.superseding import current, lived

if TYPE_CHECKING:
    import pandas as pd

BLOCK = 2**16  # lines that pandas gets at a time


def exists(folder: Path, table: str = "trials") -> bool:
    """Whether anything of it has been written, here or in a part."""
    return any(present(place / f"{table}.csv") for place in (folder, *parts.of(folder)))


def read(folder: Path, table: str = "trials", only: Collection[str] | None = None) -> pd.DataFrame:
    """A table of a study as a DataFrame; empty cells and `nan` both become NaN.

    Rows of jobs that still run are among them. Damaged lines, and repeated ones, are left out, and said so.

    Args:
        folder: of the study.
        table: `trials`, `curves`, `cycles` or `dynamics`.
        only: ids of the trials whose rows are wanted, which takes little memory however long the file is.

    Raises: UserError where there is no such study, or a row that cannot be.
    """
    import pandas as pd

    folder = Path(folder)
    if not exists(folder, table):
        if table == "trials":
            raise UserError(f"{folder / table}.csv: no such file; give a study's folder, such as results/digits-resnet")
        if table != "curves":  # of missing curves the reading of trials.csv has told
            _look_for_rows(folder, table, _parsed(b"", table), only)
        return pd.DataFrame(columns=COLUMNS[table])
    # The parts first, the study last: a row that is merged between the two reads is then seen in one of them at least.
    jobs = [_part(place / f"{table}.csv", table, only) for place in parts.of(folder)]
    path = folder / f"{table}.csv"
    own = _file(path, table, only)
    if path.exists() and packed(path).exists():
        note(f"{packed(path)}: is not read, for {path.name} is there too")
    frame, twice = current(table, own, jobs)
    if twice:
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
        return _parsed(b"", table)


def _file(path: Path, table: str, only: Collection[str] | None, strict: bool = True) -> pd.DataFrame:
    """The rows of one file. One with an impossible cell is refused, or left out where it is not `strict`."""
    import pandas as pd

    trusted = _vouched(path)
    rows = Rows(path, table, _of(only, table))
    lines = (line for _, line in rows)
    frames = [_parsed(b"", table)]
    while block := b"".join(islice(lines, BLOCK)):
        frame = _parsed(block, table)
        if not trusted and impossible(frame, table):
            frame = _parsed(_possible(path, table, only, strict), table)
            if impossible(frame, table):
                raise UserError(f"{path}: holds something that is not a number where one must be; mend or remove it")
            frames = [frame]
            break
        frames.append(frame)
    if rows.damaged:
        note(f"{path}: {len(rows.damaged)} damaged lines are left out, the first is {rows.damaged[0]}")
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    frame = pd.concat(filled, ignore_index=True) if len(filled) > 1 else filled[0]
    return frame if only is None else frame[frame["trial"].isin(list(only))].reset_index(drop=True)


def _of(only: Collection[str] | None, table: str) -> Callable[[bytes], bool] | None:
    """What tells by a line that begins with a trial's id whether it is of one of these trials."""
    if only is None or COLUMNS[table][0] != "trial":
        return None
    ids = {trial.encode() for trial in only}
    return lambda line: line.partition(b",")[0] in ids


_checked: set[tuple[int, ...]] = set()


def vouch(file: os.stat_result) -> None:
    """Say that every row of a file of trials in this state has been checked: `read` need not check them again."""
    _checked.add(_state(file))


def _vouched(path: Path) -> bool:
    """Whether the rows of the file, as it is now, have been checked."""
    try:
        return _state(path.stat()) in _checked
    except OSError:  # reading the file will say why
        return False


def _state(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _parsed(rows: bytes, table: str) -> pd.DataFrame:
    """Whole lines, with all columns of the table, as a frame."""
    import pandas as pd

    columns = TABLES[table]
    kinds: dict[str, type] = {column.name: str for column in columns if column.is_text}
    # pandas has words for a missing value, such as "null", which may be the name of a machine: so none for text.
    nothing = {
        column.name: (["", "nan"] if column.kind.nan else [""]) if isinstance(column.kind, Range) else []
        for column in columns
    }
    # pandas 3.1 reads floats exactly by default and warns when asked to; before, it had to be asked.
    asked = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    exact: dict[str, Any] = asked
    text = io.BytesIO(header(table) + rows)
    frame = pd.read_csv(text, dtype=kinds, encoding_errors="replace", keep_default_na=False, na_values=nothing, **exact)
    return frame.fillna(dict.fromkeys(kinds, ""))


def _possible(path: Path, table: str, only: Collection[str] | None, strict: bool) -> bytes:
    """The rows without those that have an impossible cell, each of which is named, or refused if `strict`."""
    possible = []
    for number, line in Rows(path, table, _of(only, table)):
        try:
            check_cells(path, number, split(line) or [], table)
        except UserError as error:
            if strict:
                raise
            note(f"{error}; it is left out")
        else:
            possible.append(line)
    return b"".join(possible)


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
        what = "does not have all rows" if present(path) else "is missing, with the rows"
        meant = f" ({LEFT_OUT} says so)" if path.stem in left_out(folder) else ""
        note(f"{path}: {what} of {count} trials in trials.csv{meant}; {LEAVES[path.stem]}")


@functools.cache
def note(text: str) -> None:
    """Said once, however often a file is read."""
    print(f"note: {text}", flush=True)
