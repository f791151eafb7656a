"""What each column of the tables may hold: `wrong(column, cell, table)` says what would be right.

A number that parses can still be impossible, such as 1.5 epochs or an error of -3 %. It is found here, once, where rows
are read, so that no table, plot or search behind it meets one. Cells of text may hold anything, with three exceptions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.records.schema import COLUMNS, STATUSES, TEXT, names

if TYPE_CHECKING:
    import pandas as pd

PHASES = ("search", "final")
MANY = 10**15  # of anything that is counted; whole numbers up to here are exact as floats
_SEEDS = 2**63 - 1
_LONG = 400  # characters: no number that this program writes has so many


class Range(NamedTuple):
    """The numbers from `least` to `most`; `whole` ones alone, `nan` (measured and not a number) too."""

    least: float
    most: float
    right: str  # in words
    whole: bool = False
    nan: bool = False


def _whole(least: int, most: int = MANY) -> Range:
    # An upper limit that nobody comes near would only make the message longer.
    text = f"a whole number from {least}"
    return Range(least, most, text if most == MANY else f"{text} to {most}", whole=True)


_POSITIVE = Range(5e-324, 1e300, "a positive number, at most 1e300")
_FROM_0 = Range(0, 1e300, "a number from 0 to 1e300")
_SHARE = Range(0, 1, "a number from 0 to 1")
_LOSS = Range(0, math.inf, "a number from 0 or nan", nan=True)
_PERCENT = Range(0, 100, "a percentage from 0 to 100 or nan", nan=True)
_MEASURED = Range(-math.inf, math.inf, "a number or nan", nan=True)

_KINDS = {
    _POSITIVE: "lr",
    _FROM_0: "wd eps wd_torch wd_paper wd_norm wd_step seconds samples_per_second peak_mib",
    _SHARE: "beta1 beta2 momentum",
    _whole(1, 10**6): "epochs epoch cycle best_val_epoch epochs_to_target",
    _whole(1): "batch_size",
    _whole(0): "steps step params train_size val_size stack",
    _whole(0, _SEEDS): "seed",
    _LOSS: "train_loss val_loss test_loss running_loss update_norm",
    _PERCENT: "train_error val_error test_error test_top5_error",
    Range(-100, 100, "percentage points from -100 to 100 or nan", nan=True): "gap_error",
}
RANGES = {name: kind for kind, text in _KINDS.items() for name in text.split()}
# What diagnostics measure has no bounds that hold for every network.
RANGES |= {name: _MEASURED for table in COLUMNS.values() for name in table if name not in (*RANGES, *TEXT)}
_OTHERWISE = {("curves", "lr"): _FROM_0}  # a schedule may take the rate of a step to 0
_DERIVED = ("wd_torch", "wd_paper", "wd_norm", "wd_step")
WORDS = {"status": STATUSES, "phase": PHASES}
REQUIRED = {table: {*names(table)} for table in COLUMNS}
REQUIRED["trials"] |= {*WORDS}


def kind(column: str, table: str) -> Range:
    """The range of a column of numbers."""
    return _OTHERWISE.get((table, column)) or RANGES[column]


@lru_cache(maxsize=2**14)  # most cells of a row are those of the row before
def wrong(column: str, cell: str, table: str) -> str:
    """What a cell must be and is not; "" where nothing is wrong. An empty cell is a number that was not measured."""
    if not cell:
        return "must not be empty" if column in REQUIRED[table] else ""
    if column in TEXT:
        choices = WORDS.get(column)
        return f"must be one of {', '.join(choices)}" if choices and cell not in choices else ""
    allowed = kind(column, table)
    try:
        value = float(cell) if len(cell) < _LONG and "_" not in cell and cell.isascii() else None
    except ValueError:
        value = None
    if value is None:
        return f"must be {allowed.right}, and is no number that can be read"
    if value != value:
        return "" if allowed.nan and cell == "nan" else f"must be {allowed.right}"
    fits = allowed.least <= value <= allowed.most and (not allowed.whole or value.is_integer())
    return "" if fits else f"must be {allowed.right}"


def storable(column: str, value: object) -> object:
    """A value as it may be written: a decay that overflows in another convention's units has no number there."""
    return None if column in _DERIVED and isinstance(value, float) and not value <= _FROM_0.most else value


def impossible(frame: pd.DataFrame, table: str, columns: Sequence[str]) -> bool:
    """Whether a frame of these columns has a cell that may not be, as far as pandas can tell without the text."""
    for name in columns:
        values = frame[name]
        if name in TEXT:
            if (name in WORDS and not values.isin(WORDS[name]).all()) or (
                name in REQUIRED[table] and (values == "").any()
            ):
                return True
        elif len(values) and _outside(values, kind(name, table), name in REQUIRED[table]):
            return True
    return False


def _outside(values: pd.Series[Any], allowed: Range, required: bool) -> bool:
    import numpy as np

    if values.dtype.kind not in "iuf":
        return True
    numbers = values.to_numpy()
    if numbers.dtype.kind == "f":
        there = ~np.isnan(numbers)
        if required and not there.all():
            return True
        numbers = numbers[there]
        if allowed.whole and (numbers != np.floor(numbers)).any():
            return True
    return bool(len(numbers)) and not bool(allowed.least <= numbers.min() and numbers.max() <= allowed.most)
