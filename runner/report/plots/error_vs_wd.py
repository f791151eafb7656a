"""How much decay helps: the error at the best learning rate, against wd, one panel per unit of wd.

`error_vs_wd(block)` gives the figure, or None without a search over wd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runner.analysis.arms import family_name
from runner.analysis.blocks import Block
from runner.analysis.select import cells
from runner.report.plots import style as figures
from runner.report.plots.heatmap import quantity
from runner.report.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def best_over_lr(block: Block) -> pd.DataFrame:
    """The best complete cell of each (arm, wd): columns of `select.cells`. Units in one panel never mix."""
    table = cells(block)
    table = table[table["complete"] & np.isfinite(table["score"])]
    ordered = table.sort_values(["score_key", "tie_key", "lr"])
    return ordered.drop_duplicates(["arm", "wd"]).sort_values(["arm", "wd"])


def error_vs_wd(block: Block) -> Figure | None:
    """Figure 3, bottom left, of the paper, with the best lr for each wd; wd = 0 is a dashed line."""
    table = best_over_lr(block)
    decayed = table[table["wd"] > 0]
    counts = decayed.groupby("arm")["wd"].nunique()
    if not len(counts) or counts.max() < 2:
        return None
    conventions = set(decayed["wd_convention"])
    units = [unit for unit in dict.fromkeys([*figures.WD_AXIS, *sorted(conventions)]) if unit in conventions]
    width = 1.0 + 4.4 * len(units)
    figure = figures.figure(block, f"{quantity(block)}, at the best learning rate for each wd", width, 4.4)
    grid = figure.subplots(1, len(units), squeeze=False, sharey=True)[0]
    style = figures.styles(block)
    for axes, unit in zip(grid, units, strict=True):
        panel = decayed[decayed["wd_convention"] == unit]
        for arm in [arm for arm in block.arms if arm in set(panel["arm"])]:
            _arm(axes, arm, panel[panel["arm"] == arm], style)
        for row in table[(table["wd"] == 0) & table["family"].isin(panel["family"])].to_dict("records"):
            axes.axhline(
                row["score"],
                color=style[row["arm"]][0],
                linestyle="--",
                linewidth=1.4,
                label=f"{family_name(row['family'])}, wd = 0",
            )
        axes.set_xscale("log")
        figures.tidy(axes)
        figures.plain_ticks(axes, "x")
        axes.set_xlabel(figures.wd_axis(unit), fontsize=9)
        figures.legend(axes)
    scores = table["score"]
    if scores.min() > 0 and scores.max() > 4 * scores.min():
        grid[0].set_yscale("log")
        figures.plain_ticks(grid[0], "y")
    grid[0].set_ylabel(block.measure.select_name, fontsize=9)
    figures.caption(
        figure, "each point is the best cell over lr, so a minimum over many runs: lower than fresh runs would be"
    )
    return figure


def _arm(axes: Axes, arm: str, rows: pd.DataFrame, style: dict[str, tuple[str, str]]) -> None:
    colour, marker = style[arm]
    axes.plot(rows["wd"], rows["score"], color=colour, marker=marker, markersize=6, linewidth=1.8, label=arm)


PLOT = Plot(
    "error_vs_wd",
    "Best error for each weight decay",
    lambda data: error_vs_wd(data.block),
    "no arm with two weight decays",
)
