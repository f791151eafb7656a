"""The swept values of a command line: how many trials they make, and those of lr, wd and seed as plain numbers.

Hydra reads a long list through a parser of its own, a hundred times as slowly as it is made: `seed=range(0,20000)` is
counted and expanded here, and comes into the composed configuration behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep, Transformer

from runner.config.settings import AXES
from runner.errors import UserError

MOST = 200_000  # trials of a command; planning them takes a minute, and their report is read by nobody
LONG = 100  # values of an axis


def counted(overrides: Sequence[Override]) -> int:
    """The trials that a sweep asks for, by its own values alone; UserError for too many, before they are expanded."""
    sizes = {o.get_key_element(): _size(o.value()) for o in overrides if o.is_sweep_override()}
    total = math.prod(sizes.values())
    if total > MOST:
        which = " x ".join(f"{count:,} of {key}" for key, count in sizes.items() if count > 1)
        raise too_many(total, which)
    return total


def too_many(total: int, which: str) -> UserError:
    """For what is asked for at once; it names the values."""
    return UserError(
        f"{which}: {total:,} trials are more than a command takes ({MOST:,}); give them in several commands"
    )


def _size(value: Any) -> int:
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if isinstance(value, RangeSweep) and None not in (value.start, value.stop) and value.step:
        return max(0, math.ceil((value.stop - value.start) / value.step))  # type: ignore[operator]
    return 1


def without_long_axes(
    overrides: Sequence[Override], parser: OverridesParser
) -> tuple[list[Override], dict[str, list[Any]]]:
    """The overrides, with one value in the place of each long list of swept numbers, and these lists by their key."""
    counted(overrides)
    kept: list[Override] = []
    long: dict[str, list[Any]] = {}
    for override in overrides:
        key = override.get_key_element()
        if key in AXES and override.is_sweep_override() and _size(override.value()) > LONG:
            values = list(override.sweep_iterator(transformer=Transformer.identity))
            if all(type(value) in (int, float) for value in values):
                long[key] = values
                override = parser.parse_overrides([f"{key}={values[0]}"])[0]
        kept.append(override)
    return kept, long
