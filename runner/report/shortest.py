"""The shortest budget that reaches an error, for a study with runs of several lengths: `tables(budgets)`."""

from __future__ import annotations

from collections.abc import Sequence

from runner.analysis.measures import NOTHING, short
from runner.analysis.shortest import Budgets
from runner.report.table import Table

TITLE = "Shortest budget to an error"
NOTE = (
    "Epochs of a whole run, not a point on its curve: the fewest of the lengths tried of which the winner's mean is at "
    "most the level. It is exploratory: means stand without their intervals, and a length between those tried may do."
)
NOT_REACHED = "not reached"


def tables(found: Sequence[Budgets]) -> list[Table]:
    """One table for each group: a row for each arm and schedule, a column for each level, and which is first there."""
    return [_table(one) for one in found if one.levels]


def _table(one: Budgets) -> Table:
    unit = " %" if one.measure.is_error else ""
    rows = []
    for course in one.courses:
        epochs = [course.shortest(level) for level in one.levels]
        cells = [NOT_REACHED if length is None else str(length) for length in epochs]
        rows.append([course.arm, course.schedule, ", ".join(map(str, course.reached)), *cells])
    first = ["; ".join(f"{course.arm}, {course.schedule}" for course in one.first(level)) for level in one.levels]
    rows.append(["**first there**", NOTHING, NOTHING, *first])
    header = ["arm", "schedule", "lengths tried", *(f"≤ {short(level)}{unit}" for level in one.levels)]
    mark = f", {one.measure.remark}" if one.measure.remark else ""
    return Table(f"Epochs to a {one.measure.report_name}{mark}: {one.title}", header, rows, words=(1, 2))


def markdown(found: Sequence[Budgets]) -> str:
    """A section of generalization.md; '' where no arm has runs of several lengths."""
    shown = tables(found)
    if not shown:
        return ""
    parts = [f"## {TITLE}", *(f"{table.caption}\n\n{table.markdown()}" for table in shown), NOTE]
    return "\n" + "\n\n".join(parts) + "\n"
