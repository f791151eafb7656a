"""The decoupled arms' searches in the other unit of weight decay: paper units for torch's convention and back.

`unit_map(block, 'wd_paper')` gives the figure, or None where it would say nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runner.analysis.blocks import Block
from runner.analysis.maps import Map, best_cells, maps
from runner.analysis.overlay import Overlay, overlays
from runner.report.plots import style
from runner.report.plots.colours import COLOURS, Colours
from runner.report.plots.heatmap import quantity
from runner.report.plots.paper_cells import legend, paper_marks
from runner.report.plots.plot import Plot, PlotData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

# column -> (its convention, conventions that are worth drawing in it)
UNITS = {"wd_paper": ("paper", ("torch", "normalized")), "wd_torch": ("torch", ("paper", "normalized"))}


def unit_map(block: Block, column: str, over: Mapping[str, Overlay] | None = None) -> Figure | None:
    """Cells as points over (`column`, lr) on logarithmic axes, coloured and circled as in the heat map.

    Decay per step in paper units is lr x wd of torch's convention: what is a column in one is a diagonal in
    the other. wd = 0 has no place on the axis and stands apart, left of it. over: as for `heatmap`.
    """
    unit, conventions = UNITS[column]
    panels = [map_ for map_ in maps(block) if map_.convention in conventions and len(map_.cells) > 1]
    panels = [map_ for map_ in panels if _placed(map_, column).shape[0] > 1]
    if not panels:
        return None
    figure = style.figure(block, f"{quantity(block)}, in {unit} units", 1.6 + 4.6 * len(panels), 4.8)
    grid = figure.subplots(1, len(panels), squeeze=False)
    colours = Colours.of([map_.cells for map_ in panels], not block.measure.is_error)
    shown = False
    for axes, map_ in zip(grid[0], panels, strict=True):
        _draw(axes, map_, column, colours.norm)
        axes.set_xlabel(style.wd_axis(unit, narrow=True), fontsize=9)
        if over and map_.arm in over:
            apart = _apart(map_, column)
            cells = over[map_.arm].paper_cells
            paper_marks(axes, [((wd if unit == "paper" else wd / lr) or apart, lr) for lr, wd in cells])
            shown = True
    colours.bar(figure, grid, block.measure)
    counts = " / ".join(str(n) for n in dict.fromkeys(len(best_cells(map_)) for map_ in panels))
    crossed = "; crosses: a run diverged" if any(_drawn(map_, column)["diverged"].any() for map_ in panels) else ""
    diamonds = "; diamonds: the paper's, as in the heat map" if shown else ""
    zero = "; left of the line: no decay" if any(0 in map_.wds for map_ in panels) else ""
    style.caption(
        figure, f"cells of the heat map; rings: best cells ({counts}), thick red: the best{zero}{crossed}{diamonds}"
    )
    if shown:
        legend(figure, block)
    return figure


def _placed(map_: Map, column: str) -> pd.DataFrame:
    """The cells that have a place on the axis."""
    return map_.cells[(map_.cells[column] > 0) & np.isfinite(map_.cells["score"])]


def _apart(map_: Map, column: str) -> float:
    """Where cells without decay stand, left of all others."""
    values = _placed(map_, column)[column]
    return float(values.min() / max(3.0, (values.max() / values.min()) ** 0.16))


def _drawn(map_: Map, column: str) -> pd.DataFrame:
    """All cells that are drawn, those without decay in a place of their own."""
    zero = map_.cells[(map_.cells["wd"] == 0) & np.isfinite(map_.cells["score"])]
    return pd.concat([zero.assign(**{column: _apart(map_, column)}), _placed(map_, column)])


def _draw(axes: Axes, map_: Map, column: str, norm: Normalize) -> None:
    table = _drawn(map_, column)
    axes.scatter(table[column], table["lr"], c=table["score"], norm=norm, cmap=COLOURS, s=130, marker="s", linewidths=0)
    hit = table[table["diverged"] > 0]
    axes.scatter(hit[column], hit["lr"], s=40, marker="x", color="white", linewidths=1.2)
    order = [cell for cell in best_cells(map_)["cell"] if cell in set(table["cell"])]
    best = table.set_index("cell").loc[order]
    axes.scatter(best[column], best["lr"], s=230, facecolors="none", edgecolors="black", linewidths=1.5)
    top = best.head(1)
    axes.scatter(top[column], top["lr"], s=230, facecolors="none", edgecolors="#C00000", linewidths=2.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for values, limits in ((table[column], axes.set_xlim), (table["lr"], axes.set_ylim)):
        margin = max(1.5, (values.max() / values.min()) ** 0.08)
        limits(values.min() / margin, values.max() * margin)
    style.tidy(axes)
    apart, begin = _apart(map_, column), float(_placed(map_, column)[column].min())
    style.plain_ticks(axes, "x", (apart, begin) if (table["wd"] == 0).any() else None)
    style.plain_ticks(axes, "y")
    axes.set_ylabel("learning rate", fontsize=9)
    axes.set_title(map_.arm, fontsize=11)


def _plot(column: str, data: PlotData) -> Figure | None:
    return unit_map(data.block, column, overlays(data.block))


PLOTS = tuple(
    Plot(f"heatmap_{unit}_units", f"The decoupled searches in {unit} units", partial(_plot, column))
    for column, (unit, _) in UNITS.items()
)
