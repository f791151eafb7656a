"""What is wrong with a row: `check_cells(...)` for one line, `impossible(frame, table)` for all rows at once.

Beside impossible cells that is an id that is not that of the row's settings, and a cell that says something else than
these. Tables tell models, arms and cells apart by such cells, and ids hash the settings: one that was edited would give
a result to another trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UserError
from runner.records import identity
from runner.records.column import Column, Range
from runner.records.schema import SHOWN, TABLES, TRIALS

if TYPE_CHECKING:
    import pandas as pd

_CHECKED = {
    table: [(at, column) for at, column in enumerate(columns) if not column.free] for table, columns in TABLES.items()
}
_TRIAL, _SETTINGS = TRIALS.index("trial"), TRIALS.index("settings")
TOLD = tuple(SHOWN)  # the columns that show a setting
_PLACES = tuple(map(TRIALS.index, TOLD))
_ON_AXES = tuple((name, TOLD.index(name)) for name in ("lr", "seed", "wd"))


def check_cells(path: Path, number: int, cells: Sequence[str], table: str) -> None:
    """Refuse a row that cannot be.

    Args:
        path: of the file, for the message.
        number: of the line, from 1.
        cells: of all the table's columns.
        table: its name in the schema.

    Raises: UserError, which names the file, the line and the column.
    """
    column, right = next(((c.name, right) for at, c in _CHECKED[table] if (right := c.wrong(cells[at]))), ("", ""))
    if table == "trials" and not column:
        settings = cells[_SETTINGS]
        if not identity.names(cells[_TRIAL], settings):
            column, right = "trial", "must be the id of its settings"
        elif column := contradiction([cells[at] for at in _PLACES], settings):
            right = "must be what its settings say"
    if column:
        cell = cells[[c.name for c in TABLES[table]].index(column)]
        raise UserError(
            f"{path}: line {number}: {column} is {cell[:30]!a}, {right}; mend that cell, or remove the line"
        )


def contradiction(cells: Sequence[Any], settings: str) -> str:
    """The first of the `TOLD` columns whose cell says something else than the row's settings; "" where none does.

    Args:
        cells: one for each of `TOLD`, as text or as pandas has it. An empty one contradicts nothing.
        settings: of the row, as JSON; where they cannot be read nobody can say.
    """
    frame, keys, values = identity.cut(settings)
    rest = list(cells)
    for name, at in _ON_AXES:
        rest[at] = ""
        if name in keys and not _equal(cells[at], _number(values[keys.index(name)])):
            return name
    return _of_frame(tuple(rest), frame, keys)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:  # a list or null, which no version of this program writes; it then equals no cell
        return text


def _equal(cell: Any, value: Any) -> bool:
    """Whether a cell shows a value. pandas has a large seed as a float, so numbers are compared as floats."""
    if cell == "" or cell != cell:
        return True
    try:
        return bool(float(cell) == float(value) if isinstance(value, int | float) else cell == value)
    except ValueError:  # the cell is a word where a number must be
        return False


@lru_cache(maxsize=4096)
def _of_frame(cells: tuple[Any, ...], frame: tuple[str, ...], keys: tuple[str, ...]) -> str:
    """`contradiction` of what all cells and seeds of a grid share."""
    settings = identity.framed(frame, keys)
    flat = {} if settings is None else identity.whole(settings)
    return next((name for name, cell in zip(TOLD, cells, strict=True) if not _fits(cell, flat, SHOWN[name])), "")


def _fits(cell: Any, flat: Mapping[str, Any], key: str) -> bool:
    return key not in flat or _equal(cell, flat[key])


def impossible(frame: pd.DataFrame, table: str) -> bool:
    """Whether any row of a table cannot be, as far as pandas can tell without the text of its cells.

    It takes a fraction of the time of `check_cells` for each row, which then says which row it is.
    """
    return any(_outside(frame[column.name], column) for column in TABLES[table]) or (
        table == "trials" and _contradictory(frame)
    )


def _contradictory(frame: pd.DataFrame) -> bool:
    """Whether an id is not that of its row's settings, or another cell says something else than these."""
    cells = (frame[name].astype(object).where(frame[name].notna(), "") for name in TOLD)
    return not all(map(identity.names, frame["trial"], frame["settings"])) or any(
        map(contradiction, zip(*cells, strict=True), frame["settings"])
    )


def _outside(values: pd.Series[Any], column: Column) -> bool:
    """Whether a column has a cell that may not be there."""
    import numpy as np

    kind = column.kind
    if not isinstance(kind, Range):
        wrong = ~values.isin(kind.choices) if kind.choices else values == ""
        return not column.free and bool(wrong.any())
    if values.empty:
        return False
    if values.dtype.kind not in "iuf":
        return True
    numbers = values.to_numpy()
    if numbers.dtype.kind == "f":
        empty = np.isnan(numbers)
        if column.filled and empty.any():
            return True
        numbers = numbers[~empty]
        if kind.whole and (numbers != np.floor(numbers)).any():
            return True
    return bool(len(numbers)) and not bool(kind.least <= numbers.min() and numbers.max() <= kind.most)
