"""The dictionary of columns, from their declarations: `python -m runner.records.dictionary > results/columns.md`."""

from __future__ import annotations

from runner.records.column import Column, Range
from runner.records.schema import FILES, TABLES

_HEAD = """\
# What the columns mean

The files of a study, column by column. An empty cell was not measured, or does not apply; `nan` was measured and is not
a number. Floats read back exactly. This page is made from the declarations in
[runner/records/schema.py](../runner/records/schema.py).
"""
# What one row of a table is, and what is to be known of all of them.
_TITLES = {
    "trials": "one row per finished trial",
    "curves": "one row per trial and evaluated epoch",
    "cycles": "one row per trial and finished restart cycle",
    "dynamics": "with `diagnostics=true`, one row per trial, evaluated epoch and layer",
    "plan": "one row per planned trial",
    "shards": "one row per trial that was given to a job of a launcher",
    "reopened": "one row per result that a command began to train again",
}
_NOTES = {
    "trials": "Errors are those of the last epoch. Where a trial was trained again the later result counts.",
    "curves": """\
Where the file is missing a command trains the study's trials again, unless `left_out.txt` names it: the study was then
passed on without it ([folklore/resnet](folklore/resnet), [budgets-cpu](budgets-cpu),
[scale-free-cpu](scale-free-cpu)).""",
    "dynamics": "About the last step of the epoch. Layer `all` is the whole network.",
    "plan": """\
Which trials share a stack; written before these are trained. Where a trial stands twice the later row counts: its first
stack was too large for the memory.""",
    "reopened": "The result stays valid until a later row supersedes it.",
}


def page() -> str:
    """The text of results/columns.md."""
    return "\n".join([_HEAD, *(_section(table) for table in TABLES)])


def _section(table: str) -> str:
    """A table's heading, what is to be known of its rows, and its columns."""
    note = f"{_NOTES[table]}\n\n" if table in _NOTES else ""
    rows = "".join(f"| `{c.name}` | {_holds(c)} | {c.meaning} |\n" for c in TABLES[table])
    return f"## {FILES[table]}: {_TITLES[table]}\n\n{note}| column | holds | meaning |\n|---|---|---|\n{rows}"


def _holds(column: Column) -> str:
    """What a cell may be, in words."""
    if isinstance(column.kind, Range):
        return column.kind.right
    return ", ".join(f"`{choice}`" for choice in column.kind.choices) or "text"


if __name__ == "__main__":
    print(page(), end="")
