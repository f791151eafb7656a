"""What a tuning budget buys: the expected error of the best of k random cells against k, a line for each arm.

`tuning_curves(block)` gives the figure, or None where no arm has two cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from runner.analysis.blocks import Block
from runner.analysis.tuning import Curve, tuning
from runner.report.plots import style as figures
from runner.report.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def tuning_curves(block: Block) -> Figure | None:
    """Lines with 95 % bands over a logarithmic axis of k; the error's axis is logarithmic where it spans much."""
    curves = [curve for curve in tuning(block) if np.isfinite(curve.mean).any()]
    if not curves:
        return None
    title = f"{block.measure.report_quantity.capitalize()} of the best of k random cells, expected"
    figure = figures.figure(block, title, 7.2, 4.6)
    axes, style = figure.subplots(), figures.styles(block)
    for curve in curves:
        _draw(axes, curve, *style[curve.arm])
    _axes(axes, curves, block.measure.report_name)
    figures.caption(figure, caption(curves))
    return figure


def caption(curves: list[Curve]) -> str:
    """What the lines and their bands mean."""
    several = max(curve.seeds for curve in curves) > 1
    error = "its error over its other search seeds" if several else "the error of the chosen run itself"
    if max(len(curve.replicates) for curve in curves) > 1:
        band = "over replicates"
    else:
        band = "for other cells and seeds of the same split" if several else "for other cells"
    return f"each cell trained with one seed, the best chosen by validation; line: {error}; band: 95 %, {band}"


def _draw(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    mean, k = np.where(np.isfinite(curve.mean), curve.mean, np.nan), np.arange(1, len(curve.mean) + 1)
    doublings = [int(i) - 1 for i in 2 ** np.arange(int(np.log2(len(k))) + 1)]
    label = f"{curve.arm} ({len(k)} cells)"
    axes.plot(k, mean, color=colour, marker=marker, markevery=doublings, markersize=5, linewidth=1.8, label=label)
    axes.fill_between(k, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)


def _axes(axes: Axes, curves: list[Curve], name: str) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    means = np.concatenate([curve.mean[np.isfinite(curve.mean)] for curve in curves])
    most = max(len(curve.mean) for curve in curves)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(2 ** np.arange(int(np.log2(most)) + 1))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    low, high = float(means.min()), float(means.max())
    if low > 0 and high > 2 * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.25, high * 1.25)  # A band that reaches further is cut off, so that the lines stay apart.
        figures.plain_ticks(axes, "y")
    figures.tidy(axes)
    axes.set_xlabel("k: cells tried", fontsize=9)
    axes.set_ylabel(name, fontsize=9)
    axes.legend(bbox_to_anchor=(1.01, 1), loc="upper left", fontsize=8, frameon=False)


PLOT = Plot(
    "tuning",
    "What a tuning budget buys",
    lambda data: tuning_curves(data.block),
)
