"""What values of a setting are right, said beside its default: `epochs: int = field(default=20, metadata=whole(1, 9))`.

The functions here make the metadata of a dataclass field, to be joined by `|`. `check(settings, group)` then holds
every field against what it says, so that no other list names the settings and their ranges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, NamedTuple

from runner.errors import UserError


class Right(NamedTuple):
    """Which values of a field are right, and the words for them: they follow `KEY=VALUE: must be `."""

    holds: Callable[[Any], object]
    words: str


def right(holds: Callable[[Any], object], words: str) -> dict[str, Any]:
    """Metadata of a field whose values are right where `holds(value)`; None, for a field that may be None, always is.

    Args:
        holds: is given a value of the field's type, also nan and inf.
        words: what would be right, such as "a positive number".
    """
    return {"right": Right(holds, words)}


def whole(least: int, most: int) -> dict[str, Any]:
    """Metadata of a whole number from `least` to `most`, both included."""
    return right(lambda value: least <= value <= most, f"a whole number from {least} to {most}")


def one_of(choices: Iterable[str]) -> dict[str, Any]:
    """Metadata of a field that takes one of these names."""
    names = tuple(choices)
    return right(lambda value: value in names, f"one of {', '.join(names)}")


def before(value: object) -> dict[str, Any]:
    """Metadata of a setting that is younger than version 0.1.0: the value that means "as before it was there".

    The id of a trial leaves it out, so that ids on record stay what they are. It never changes, also when the default
    of the field does.
    """
    return {"before": value}


def whole_or(most: int, *words: object) -> dict[str, Any]:
    """Metadata of a whole number from 1 to `most`, or one of these words, the first of which is named in messages.

    The field holds 0 for a word. A typed 0 is refused: nobody who types it means the word.
    """
    return right(lambda value: 0 <= value <= most, f"a whole number from 1 to {most}, or {words[0]}") | {"zero": words}


MADE = {"made": True}  # metadata of what is made of other settings, and is no key of the command line
POSITIVE = right(lambda value: 0 < value < math.inf, "a positive number")
FROM_0 = right(lambda value: 0 <= value < math.inf, "a number from 0")
BELOW_1 = right(lambda value: 0 <= value < 1, "from 0 to below 1")


def check(settings: Any, group: str = "") -> None:
    """Hold each field of a dataclass against its metadata.

    Args:
        settings: an instance of the dataclass.
        group: the config group that its keys are typed below, "" for keys of the top level.

    Raises:
        UserError: for the first value that is not right; it says the key, the value and what would be right.
    """
    for f in fields(settings):
        value, wanted = getattr(settings, f.name), f.metadata.get("right")
        if wanted is not None and value is not None and not wanted.holds(value):
            key = f"{group}.{f.name}" if group else f.name
            raise UserError(f"{key}={value}: must be {wanted.words}")
