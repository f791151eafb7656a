"""What columns of trials.csv say of a trial that the row's `settings` say too: `contradiction(cells, settings)`.

Tables tell models, arms and cells apart by these columns, and ids hash the settings: a cell that was edited would give
a result to another trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from runner.records.identity import cut, framed, whole

# Each column, by the setting that it shows. The column `dataset` may show a label, which is no part of the settings.
SHOWN = {
    "optimizer": "optimizer",
    "wd_convention": "wd_convention",
    "lr": "lr",
    "wd": "wd",
    "seed": "seed",
    "model": "model",
    "batch_size": "batch_size",
    "epochs": "epochs",
    "schedule": "schedule",
    "beta1": "optimizer.beta1",
    "beta2": "optimizer.beta2",
    "eps": "optimizer.eps",
    "momentum": "optimizer.momentum",
    "decay_params": "optimizer.decay_params",
    "precision": "precision",
}
TOLD = tuple(SHOWN)
_ON_AXES = tuple((name, TOLD.index(name)) for name in ("lr", "seed", "wd"))


def contradiction(cells: Sequence[Any], settings: str) -> str:
    """The first of the `TOLD` columns whose cell says something else than the row's settings; "" where none does.

    Args:
        cells: one for each of `TOLD`, as text or as pandas has it. An empty one contradicts nothing.
        settings: of the row, as JSON; where they cannot be read nobody can say.
    """
    frame, keys, values = cut(settings)
    rest = list(cells)
    for name, at in _ON_AXES:
        rest[at] = ""
        if name in keys and not _equal(cells[at], _number(values[keys.index(name)])):
            return name
    return _of_frame(tuple(rest), frame, keys)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:  # a list, or null: of no version of this program
        return text


def _equal(cell: Any, value: Any) -> bool:
    """A table has a large seed as a float, which may be another one; so these are compared as floats."""
    if cell == "" or cell != cell:
        return True
    try:
        return bool(float(cell) == float(value) if isinstance(value, int | float) else cell == value)
    except ValueError:  # a word in place of a number
        return False


@lru_cache(maxsize=4096)
def _of_frame(cells: tuple[Any, ...], frame: tuple[str, ...], keys: tuple[str, ...]) -> str:
    """`contradiction` of what all cells and seeds of a grid share."""
    flat = framed(frame, keys)
    flat = {} if flat is None else whole(flat)
    return next((name for name, cell in zip(TOLD, cells, strict=True) if not _fits(cell, flat, SHOWN[name])), "")


def _fits(cell: Any, flat: Mapping[str, Any], key: str) -> bool:
    return key not in flat or _equal(cell, flat[key])
