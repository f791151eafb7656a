"""The tuning-budget curves as tuning.csv, a table and a note: `frame(blocks)`, `table(results)` and `note(results)`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from runner.analysis.measures import NOTHING, number
from runner.analysis.study_results import BlockResults
from runner.analysis.tuning import Curve, tuning
from runner.report.table import Table

COLUMNS = "block block_label arm cells seeds replicates k error low high measure selected_by".split()


def frame(blocks: Sequence[BlockResults]) -> pd.DataFrame:
    """tuning.csv: a row for each block, arm and k, from 1 to the number of the arm's cells; empty without a curve.

    `error` is the expected test error in percent (test loss in nats, as `measure` says) of the best of k random cells,
    `low` to `high` its 95 % band; `seeds` and `replicates` are those that it is averaged over.
    """
    rows = []
    for results in blocks:
        block = results.block
        for curve in tuning(block):
            head = (block.id, block.label, curve.arm, len(curve.cells), curve.seeds, len(curve.replicates))
            values = zip(curve.mean, curve.low, curve.high, strict=True)
            tail = (block.measure.report, block.measure.select)
            rows += [(*head, k, *value, *tail) for k, value in enumerate(values, 1)]
    return pd.DataFrame(rows, columns=COLUMNS)


def table(results: BlockResults) -> Table | None:
    """Doublings of k, then all cells, against the arms; None where no arm has a curve."""
    curves, measure = tuning(results.block), results.block.measure
    if not curves:
        return None
    most = max(len(curve.cells) for curve in curves)
    budgets = [2**i for i in range(most.bit_length()) if 2**i < most]
    rows = [[str(k), *(_cell(curve, k, measure.digits) for curve in curves)] for k in budgets]
    rows.append(["all", *(_cell(curve, len(curve.cells), measure.digits) for curve in curves)])
    mark = f" ({measure.remark})" if measure.remark else ""
    return Table(
        f"What a tuning budget buys: expected {measure.report_name} of the best of k random cells [95 %]{mark}",
        ["k", *(f"{curve.arm} ({len(curve.cells)} cells)" for curve in curves)],
        rows,
    )


def _cell(curve: Curve, k: int, digits: int) -> str:
    if k > len(curve.cells):
        return NOTHING
    value, low, high = (float(numbers[k - 1]) for numbers in (curve.mean, curve.low, curve.high))
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]" if np.isfinite(value) else NOTHING


def note(results: BlockResults) -> list[str]:
    """How the curves are to be read; [] without one."""
    curves = tuning(results.block)
    if not curves:
        return []
    several = max(curve.seeds for curve in curves) > 1
    reports = "its other search seeds report" if several else "the chosen run reports itself (there is one search seed)"
    if any(len(curve.replicates) > 1 for curve in curves):
        band = "Student's t over replicates, of which the arms share the splits, so that differences vary less"
    else:
        seeds = " and other search seeds" if several else ""
        band = f"by a bootstrap, and covers other cells of the same window{seeds}, no other split"
    return [
        "Tuning budget: k of an arm's cells, drawn at random, are trained with one seed each; the smallest "
        f"{results.block.measure.select_quantity} chooses one of them (Dodge et al. 2019), and {reports}. The mean is "
        f"exact, over all draws; the 95 % band is {band}. What a curve says depends on the window of lr and wd that "
        "was searched.",
        *_partial(results, curves),
    ]


def _partial(results: BlockResults, curves: Sequence[Curve]) -> list[str]:
    """A sentence for each curve that does without some of its arm's cells or replicates, as runs are missing there."""
    lines, rows = [], results.block.rows[results.block.rows["phase"] == "search"]
    for curve in curves:
        own = rows[rows["arm"] == curve.arm]
        pairs = (("replicates", len(curve.replicates), "replicate"), ("cells", len(curve.cells), "cell"))
        short = [f"{n} of {own[column].nunique()} {what}" for what, n, column in pairs if n < own[column].nunique()]
        if short:
            lines.append(f"{curve.arm}'s tuning curve is over {' and '.join(short)}: the others lack runs.")
    return lines
