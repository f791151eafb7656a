"""What a trial that is trained again need not write again: `Redone().fresh(tables, rows)`.

A trial goes on from a saved state, or begins anew, and comes to epochs that are on record. What is equal to the row
that counts, apart from the columns of time, is left out; what is not is appended, and supersedes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runner.records.lines import split
from runner.records.schema import TIMING
from runner.records.table import Row, Table, cell

Rows = dict[tuple[str, ...], list[str]]  # cells of the rows that count, by their words and count


class Redone:
    """Which rows of trials that are trained again repeat what is on record.

    It remembers the rows of such a trial until its last has been written.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Rows] = {}

    def fresh(self, tables: Sequence[Table], rows: Iterable[Row]) -> list[Row]:
        """Those of `rows` that are to be appended to the last of `tables`, which together make one."""
        trials: dict[str, list[Row]] = {}
        for row in rows:
            trials.setdefault(str(row["trial"]), []).append(row)
        fresh: list[Row] = []
        for trial, some in trials.items():
            if (tables[0].name, trial) in self.known or any(table.has(row) for table in tables for row in some):
                current = self.current(tables, trial)
                texts = [[cell(row.get(name)) for name in tables[0].columns] for row in some]
                # All rows of an epoch, such as those of its layers, are of one attempt.
                if all(_untimed(tables[0], text) == current.get(_key(tables[0], text)) for text in texts):
                    continue
                for text in texts:
                    _supersede(current, _key(tables[0], text), _untimed(tables[0], text))
            fresh += some
        return fresh

    def current(self, tables: Sequence[Table], trial: str) -> Rows:
        """The rows of a trial that count; the tables stand in the order in which they were written."""
        table = tables[0]
        if (table.name, trial) not in self.known:
            rows: Rows = {}
            seen: set[bytes] = set()
            for other in tables:
                # A row that is merged stands in two files.
                lines = [line for line in other.lines_of([trial]) if line not in seen]
                seen.update(lines)
                for line in lines:
                    row = split(line)
                    if row is not None:
                        _supersede(rows, _key(table, row), _untimed(table, row))
            self.known[table.name, trial] = rows
        return self.known[table.name, trial]

    def forget(self, trials: Iterable[str]) -> None:
        """The last row of these trials has been written."""
        over = set(trials)
        self.known = {key: rows for key, rows in self.known.items() if key[1] not in over}


def _key(table: Table, row: Sequence[str]) -> tuple[str, ...]:
    """The words and the count that name a row."""
    return (*(row[i] for i in table.key_columns), row[table.count_column])


def _untimed(table: Table, row: Sequence[str]) -> list[str]:
    """The cells that two runs of the same trial have in common."""
    return [text for name, text in zip(table.columns, row, strict=True) if name not in TIMING]


def _supersede(rows: Rows, name: tuple[str, ...], row: list[str]) -> None:
    """Add a row. Where its name is there a new attempt begins: all rows from its count on are removed."""
    if name in rows:
        for other in [o for o in rows if o[:-1] == name[:-1] and int(o[-1]) >= int(name[-1])]:
            del rows[other]
    rows[name] = row
