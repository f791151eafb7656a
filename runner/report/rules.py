"""The regret of rules of thumb on each map of a block: `table(results)` for readers, and `notes(results)`."""

from __future__ import annotations

import math

from runner.analysis.measures import NOTHING, number, short
from runner.analysis.rules import GOOD, Regret, regrets
from runner.analysis.study_results import BlockResults
from runner.report.table import Table

OUTSIDE = "outside the grid"


def table(results: BlockResults) -> Table | None:
    """One row per map and rule; None where there is no map."""
    found, measure = regrets(results.block), results.block.measure
    rows = [_row(one, measure.digits) for one in found]
    header = ["arm", "rule", "its best lr", "wd there", measure.select_name, "above the map's best"]
    header += ["at all good rates, above the best", "good rates on the grid"]
    mark = f" ({measure.remark})" if measure.remark else ""
    return Table(f"Regret of rules of thumb{mark}", header, rows, words=(1,)) if rows else None


def _row(one: Regret, digits: int) -> list[str]:
    known = math.isfinite(one.lr)
    return [
        one.arm,
        f"{one.rule.name}: {one.rule.formula}",
        short(one.lr) if known else OUTSIDE,
        short(one.wd, 3) if known else NOTHING,
        number(one.score, digits),
        number(one.regret, digits, sign=True),
        number(one.good_regret, digits, sign=True),
        f"{len(one.good)} of {len(one.good) + one.outside}",
    ]


def notes(results: BlockResults) -> list[str]:
    """What the table's numbers are, in one line; none without a table."""
    found = regrets(results.block)
    if not found:
        return []
    seeds = max(one.seeds for one in found)
    return [
        f"Rules of thumb: the {results.block.measure.select_quantity} (mean over {seeds} "
        f"run{'s' if seeds > 1 else ''} of a cell) at the rule's decay, between two cells of a learning rate by a "
        "straight line in log2 of the decay, between none and the smallest in the decay itself. A good rate is one "
        f"whose best cell is at most {GOOD} times as bad as the map's. The map's best cell is the luckiest of many, a "
        "rule's is not: a regret within the noise of a cell is none."
    ]
