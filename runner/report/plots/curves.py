"""Learning curves of each arm's winner: validation error and running training loss over epochs.

`learning_curves(results, curves)` gives the figure, or None where no curve has two points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runner.analysis.study_results import ArmResult, BlockResults
from runner.report.plots import style as figures
from runner.report.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def learning_curves(results: BlockResults, curves: pd.DataFrame) -> Figure | None:
    """Mean over seeds with the range from the smallest to the largest as a band, of the runs that are reported.

    curves: `read.read(folder, "curves")`. A diverged run's curve ends early: from there on the others' mean is
    dotted, for it no longer is the mean of all.
    """
    block = results.block
    wanted = [block.measure.select, "running_loss"]
    if not block.measure.on_test and not pd.to_numeric(curves[wanted[0]], errors="coerce").notna().any():
        return None
    reported = [result for result in results.arms if result.rows is not None]
    tables = {result.arm: _of(result, curves, wanted) for result in reported}
    tables = {arm: table for arm, table in tables.items() if len(table)}
    if all(table["epoch"].nunique() < 2 for table in tables.values()):
        return None
    shown = [name for name in wanted if any(table[name].notna().any() for table in tables.values())]
    if not shown:
        return None
    phases = {result.phase for result in reported}
    kind = "fresh seeds" if phases == {"final"} else "search seeds" if phases == {"search"} else "fresh or search seeds"
    figure = figures.figure(block, f"Learning curves of each arm's best cell, {kind}", 1.0 + 4.6 * len(shown), 4.4)
    style = figures.styles(block)
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for result in reported:
            if result.arm in tables:
                _draw(axes, tables[result.arm], name, result, style[result.arm][0])
        _axes(axes, block.measure.select_name if name == block.measure.select else "running training loss (nats)")
    several = any(result.n > 1 for result in reported)
    figures.caption(figure, "line: mean over n seeds, band: smallest to largest" if several else "one seed per arm")
    return figure


def _of(result: ArmResult, curves: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows of the result's runs with finite numbers or NaN."""
    assert result.rows is not None
    rows = curves[curves["trial"].isin(result.rows["trial"])]
    numbers = {name: pd.to_numeric(rows[name], errors="coerce") for name in ("epoch", *names)}
    table = rows[["trial"]].assign(**numbers).replace([np.inf, -np.inf], np.nan)
    return table[table["epoch"].notna()].drop_duplicates(["trial", "epoch"], keep="last")


def _draw(axes: Axes, table: pd.DataFrame, name: str, result: ArmResult, colour: str) -> None:
    known = table[table[name].notna()]
    if known.empty:
        return
    over = known.groupby("epoch")[name].agg(["mean", "min", "max", "count"])
    runs = known["trial"].nunique()
    whole = over[over["count"] == runs]
    label = f"{result.arm} (n = {runs}" + (f", {result.diverged} diverged)" if result.diverged else ")")
    dot = "." if len(whole) == 1 else None
    axes.plot(whole.index, whole["mean"], color=colour, linewidth=1.8, label=label, marker=dot)
    if runs > 1:
        axes.fill_between(whole.index, whole["min"], whole["max"], color=colour, alpha=0.18, linewidth=0)
    rest = over[over["count"] < runs]
    if len(rest):
        axes.plot(rest.index, rest["mean"], color=colour, linewidth=1.4, linestyle=":")


def _axes(axes: Axes, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = axes.dataLim.intervaly
    if low > 0 and high > 5 * low:
        axes.set_yscale("log")
        figures.plain_ticks(axes, "y")
    figures.tidy(axes)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel(name, fontsize=9)
    figures.legend(axes)


PLOT = Plot(
    "curves",
    "Learning curves of the winners",
    lambda data: learning_curves(data.results, data.curves),
    "no winner was validated more than once",
)
