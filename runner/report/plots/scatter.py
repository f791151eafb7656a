"""Generalization, not only optimization: test error against final training loss, one point per trial.

`scatter(block)` gives the figure, or None where nothing was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from runner.analysis.blocks import Block
from runner.report.plots import style as figures
from runner.report.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scatter(block: Block) -> Figure | None:
    """Figure 3, bottom right, of the paper: at equal training loss, whose test error is lower?

    All trials, of the search and fresh ones; diverged and failed ones are counted below the axes. The training
    loss is the clean one (eval mode, no augmentation, no penalty) after the last epoch.
    """
    name = block.measure.report
    rows = block.rows
    measured = np.isfinite(rows["train_loss"]) & np.isfinite(rows[name]) & (rows["status"] == "ok")
    points = rows[measured]
    if points.empty:
        return None
    figure = figures.figure(block, f"{block.measure.report_name.capitalize()} against training loss", 7.2, 4.8)
    axes = figure.subplots()
    style = figures.styles(block)
    for arm in block.arms:
        of_arm = points[points["arm"] == arm]
        if len(of_arm):
            colour, marker = style[arm]
            axes.scatter(
                of_arm["train_loss"],
                of_arm[name],
                s=26,
                color=colour,
                marker=marker,
                alpha=0.65,
                linewidths=0,
                label=f"{arm} (n = {len(of_arm)})",
            )
    for which, values, scale, decades in (
        ("x", points["train_loss"], axes.set_xscale, 2),
        ("y", points[name], axes.set_yscale, 1),
    ):
        if values.min() > 0 and values.max() / values.min() > 10**decades:
            scale("log")
            figures.plain_ticks(axes, which)
    figures.tidy(axes)
    axes.set_xlabel("final training loss (nats; clean: eval mode, no augmentation, no penalty)", fontsize=9)
    axes.set_ylabel(block.measure.report_name, fontsize=9)
    figures.legend(axes, 6.2)
    parts = [f"one point per trial, n = {len(points)} of {len(rows)}"]
    for status in ("diverged", "failed"):
        count = int((rows["status"] == status).sum())
        if count:
            parts.append(f"{count} {status} left out")
    rest = int((~measured & (rows["status"] == "ok")).sum())
    if rest:
        parts.append(f"{rest} without a finite number left out")
    figures.caption(figure, "; ".join(parts))
    return figure


PLOT = Plot(
    "scatter", "Test error against training loss", lambda data: scatter(data.block), "no trial with both numbers"
)
