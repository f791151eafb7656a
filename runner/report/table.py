"""A table of text: `Table(caption, header, rows)`, as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Args:
        caption: what it shows; HTML has it above the table, Markdown leaves it to the heading.
        header: the name of each column.
        rows: one text per column; `**...**` marks strong words, and a line break is one in HTML.
        words: indices of further columns that hold words; all others hold numbers and are aligned to the right.
        key: indices of columns that HTML makes so narrow that they are seen beside the first on a small screen.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Collection[int] = ()
    key: Collection[int] = ()

    def is_number(self, column: int) -> bool:
        return column > 0 and column not in self.words

    def markdown(self) -> str:
        """A pipe table; cells have '/' for '|', which would end them."""
        marks = ["---:" if self.is_number(k) else "---" for k in range(len(self.header))]
        lines = (self.header, marks, *self.rows)
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)

    def html(self) -> Markup:
        """A table in a box that scrolls by itself; all text is escaped."""
        from runner.report.page.render import render

        return render("table.html.j2", table=self)
