"""One column of a table: its name, what its cells may hold, and what they mean. schema.py declares all of them.

A number that parses can still be impossible, such as 1.5 epochs or an error of -3 %. `Column.wrong(cell)` finds it
where rows are read, so that no table, plot or search behind it meets one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

MANY = 10**15  # of anything that is counted; whole numbers up to here are exact as floats
_LONG = 400  # characters. No number that this program writes has so many, and float() of millions takes seconds.


class Text(NamedTuple):
    """Any text, or one of `choices`."""

    choices: tuple[str, ...] = ()


class Range(NamedTuple):
    """The numbers from `least` to `most`.

    Attributes:
        least, most: the bounds, both allowed.
        right: what is allowed, in words, for messages and for results/columns.md.
        whole: whole numbers alone.
        nan: `nan` too, for what was measured and is not a number.
        overflows: a larger number is stored as an empty cell.
    """

    least: float
    most: float
    right: str
    whole: bool = False
    nan: bool = False
    overflows: bool = False


Kind = Text | Range


def whole(least: int, most: int = MANY) -> Range:
    """Whole numbers. A limit that nobody comes near is not named: it would only make messages longer."""
    text = f"a whole number from {least}"
    return Range(least, most, text if most == MANY else f"{text} to {most}", whole=True)


@dataclass(frozen=True, eq=False)
class Column:
    """All that the program knows of a column.

    Attributes:
        name: as in the file's header.
        kind: what its cells may hold. An empty cell is what was not measured, or does not apply.
        meaning: in Markdown, for results/columns.md.
        key: it is one of those that name a row, and never empty. The text among them are words; the number, if there
            is one, is counted: a second row of the same name begins a new attempt from that count on.
        required: it is never empty.
        setting: the setting whose value it shows; a cell that says something else than the row's settings is refused.
        place: it gives a trial its place among the blocks, arms and cells of a study; a row that lacks it is in no
            table of a report.
        varies: it differs between two runs of the same command. All others must repeat.
        added: by a version after 0.1.0. Older files lack it, and their rows have an empty cell.
    """

    name: str
    kind: Kind
    meaning: str
    key: bool = False
    required: bool = False
    setting: str = ""
    place: bool = False
    varies: bool = False
    added: bool = False

    @property
    def is_text(self) -> bool:
        """Whether its cells are text, which is read as it stands."""
        return isinstance(self.kind, Text)

    @property
    def filled(self) -> bool:
        """Whether each row must have a cell of it."""
        return self.key or self.required

    @property
    def free(self) -> bool:
        """Whether any cell is right."""
        return self.kind == Text() and not self.filled

    def wrong(self, cell: str) -> str:
        """What a cell must be and is not; "" where nothing is wrong."""
        return _wrong(self, cell)

    def storable(self, value: object) -> object:
        """A value as it may be written: one that overflows is none."""
        kind = self.kind
        overflows = isinstance(kind, Range) and kind.overflows and isinstance(value, float) and not value <= kind.most
        return None if overflows else value


@lru_cache(maxsize=2**14)  # most cells of a row repeat those of the row before
def _wrong(column: Column, cell: str) -> str:
    kind = column.kind
    if not cell:
        return "must not be empty" if column.filled else ""
    if isinstance(kind, Text):
        return f"must be one of {', '.join(kind.choices)}" if kind.choices and cell not in kind.choices else ""
    try:
        value = float(cell) if len(cell) < _LONG and "_" not in cell and cell.isascii() else None
    except ValueError:
        value = None
    if value is None:
        return f"must be {kind.right}, and is no number that can be read"
    if value != value:
        return "" if kind.nan and cell == "nan" else f"must be {kind.right}"
    if not kind.least <= value <= kind.most or (kind.whole and not value.is_integer()):
        return f"must be {kind.right}"
    if column.key and not is_count(cell):  # a file's scan reads it without the checks, and must be right all the same
        return f"must be {kind.right}, written in digits"
    return ""


def is_count(cell: str) -> bool:
    """Whether it is a whole number from 0, and no longer than a number that is counted."""
    return cell.isascii() and cell.isdecimal() and len(cell) < 10
