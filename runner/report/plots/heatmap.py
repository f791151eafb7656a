"""Heat maps of a search, the decoupled optimizer beside its L2 twin, as in the paper's Figures 1 and 2.

`heatmap(block)` gives the figure, or None where there is no grid; with `overlays(block)` the paper's circles too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from runner.analysis.blocks import Block
from runner.analysis.maps import Map, best_cells, maps
from runner.analysis.measures import short
from runner.analysis.overlay import Overlay, overlays
from runner.analysis.select import cells, seed_count
from runner.report.plots import style
from runner.report.plots.colours import COLOURS, Colours
from runner.report.plots.paper_cells import legend, paper_marks, sentences
from runner.report.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Won = Mapping[str, Mapping[tuple[float, float], int]]
PRINTED = 8  # values are printed in maps of at most 8 x 8 cells


def quantity(block: Block) -> str:
    """'Mean validation error over 2 search seeds' or 'Validation error, one seed'."""
    name = block.measure.select_quantity
    n = seed_count(block)
    return f"{name.capitalize()}, one seed" if n in ("0", "1") else f"Mean {name} over {n} search seeds"


def heatmap(block: Block, over: Mapping[str, Overlay] | None = None, won: Won | None = None) -> Figure | None:
    """Rows of panels by family, shared colours. None unless some arm has two learning rates or two decays.

    over: the paper's Figure 2 by arm, drawn as diamonds (`runner.analysis.overlay.overlays`).
    won: in how many replicates each cell (lr, wd) is the arm's best, by arm (`BlockResults.won`).
    """
    panels = [map_ for map_ in maps(block) if len(map_.cells) > 1]
    if not panels:
        return None
    families = list(dict.fromkeys(map_.family for map_ in panels))
    lines = [[map_ for map_ in panels if map_.family == family] for family in families]
    across = max(len(line) for line in lines)
    widest, tallest = max(len(map_.wds) for map_ in panels), max(len(map_.lrs) for map_ in panels)
    inch = 0.58 if widest <= PRINTED and tallest <= PRINTED else 0.42  # a cell's side
    width = max(5.5, 1.6 + across * max(3.2, inch * widest + 0.9))
    height = 1.3 + len(families) * max(1.8, inch * tallest + 0.8)
    said = _caption(block, panels, any((won or {}).values()))
    if over:
        said = "; ".join([said, *sentences(block, over)])
        height += 0.5 + 0.01 * len(said) / width  # the caption's lines and the legend
    figure = style.figure(block, quantity(block), width, height)
    wide = [max(len(line[k].wds) for line in lines if k < len(line)) for k in range(across)]
    grid = figure.subplots(len(families), across, squeeze=False, width_ratios=wide)
    colours = Colours.of([map_.cells for map_ in panels], not block.measure.is_error)
    norm, won = colours.norm, won or {}
    for row, line in zip(grid, lines, strict=True):
        for axes, map_ in zip(row, line, strict=False):
            _draw(axes, map_, norm, numbers=not over)  # a diamond would hide them
            _winners(axes, map_, won.get(map_.arm, {}))
            if over and map_.arm in over:
                places = [over[map_.arm].place(cell) for cell in over[map_.arm].paper_cells]
                paper_marks(axes, [(x + _gap(map_) if x > 0 else x, y) for x, y in places])
        for axes in row[len(line) :]:
            axes.set_axis_off()
    colours.bar(figure, grid, block.measure)
    style.caption(figure, said)
    if over:
        legend(figure, block)
    return figure


def _gap(map_: Map) -> float:
    """Sets the column wd = 0 apart: it has no place on a logarithmic axis."""
    return 0.18 if map_.wds[0] == 0 and len(map_.wds) > 1 else 0.0


def _draw(axes: Axes, map_: Map, norm: Normalize, numbers: bool) -> None:
    from matplotlib import patches

    lrs, wds, gap = map_.lrs, map_.wds, _gap(map_)
    at_x = {wd: k + (gap if k else 0) for k, wd in enumerate(wds)}
    at_y = {lr: k for k, lr in enumerate(lrs)}
    printed = numbers and len(lrs) <= PRINTED and len(wds) <= PRINTED
    # Two decimals where one would show most of the cells as equal.
    decimals = 2 if float(norm.vmax or 0) < 1.5 * float(norm.vmin or 0) else 1
    for cell in map_.cells.to_dict("records"):
        _draw_cell(axes, at_x[cell["wd"]], at_y[cell["lr"]], cell, norm, decimals if printed else None)
    for rank, cell in enumerate(best_cells(map_).to_dict("records")):
        centre = (at_x[cell["wd"]], at_y[cell["lr"]])
        # A white ring below the coloured one, so that it is seen on dark cells too; the best cell's is thicker.
        for width, colour in ((3.4, "white"), (1.6, "#C00000" if rank == 0 else "black")):
            thick = width * (1.5 if rank == 0 else 1)
            axes.add_patch(patches.Circle(centre, 0.41, fill=False, linewidth=thick, edgecolor=colour))
    axes.set_xlim(-0.55, len(wds) - 0.45 + gap)
    axes.set_ylim(-0.55, len(lrs) - 0.45)
    axes.set_aspect("equal")
    rotation = 45 if len(wds) > 6 else 0
    axes.set_xticks([at_x[wd] for wd in wds], [short(wd, 2) for wd in wds], rotation=rotation, fontsize=8)
    axes.set_yticks(range(len(lrs)), [short(lr, 2) for lr in lrs], fontsize=8)
    axes.tick_params(length=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(map_.arm, fontsize=11)
    axes.set_xlabel(style.wd_axis(map_.convention, narrow=len(wds) < 8), fontsize=9)
    axes.set_ylabel("learning rate", fontsize=9)


def _draw_cell(axes: Axes, x: float, y: float, cell: Mapping[Any, Any], norm: Normalize, decimals: int | None) -> None:
    """A square in the colour of the score, hatched where a run diverged, crossed out where no run has a number.

    decimals: of the score that is printed in it; None for none.
    """
    from matplotlib import colormaps, patches

    score = float(cell["score"])
    bad = math.isnan(score)
    place = 0.0 if bad else norm(min(score, 1e300))  # An infinite score has no place on the colour map.
    colour = "#DDDDDD" if bad else colormaps[COLOURS](place)
    hatch = "////" if cell["diverged"] else None
    contrast = "#FFFFFF" if bad or place > 0.5 else "#444444"
    edge = contrast if hatch else colour  # The hatching has the colour of the edge.
    square = patches.Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor=edge, linewidth=0, hatch=hatch)
    axes.add_patch(square)
    if bad:
        rising, falling = [y - 0.2, y + 0.2], [y + 0.2, y - 0.2]
        axes.plot([x - 0.2, x + 0.2], rising, [x - 0.2, x + 0.2], falling, color="#777777", lw=1)
    elif decimals is not None and math.isfinite(score):
        text = short(score, 2) if score < 1 else f"{score:.{decimals if score < 10 else 0}f}"
        axes.text(
            x,
            y,
            text if cell["complete"] else f"({text})",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if norm(score) > 0.45 else "black",
            bbox={"boxstyle": "round,pad=0.15", "fc": colour, "ec": "none"} if hatch else None,
        )


def _winners(axes: Axes, map_: Map, won: Mapping[tuple[float, float], int]) -> None:
    """A count in the corner of each cell that is the best of a replicate; one of a finer grid lies between cells."""
    for (lr, wd), count in won.items():
        x, y = _between(wd, map_.wds) + (_gap(map_) if wd > 0 else 0), _between(lr, map_.lrs)
        frame = {"boxstyle": "circle,pad=0.25", "fc": "#C00000", "ec": "white", "lw": 0.8}
        axes.text(
            x + 0.33, y + 0.33, str(count), ha="center", va="center", fontsize=7, color="white", bbox=frame, zorder=6
        )


def _between(value: float, axis: Sequence[float]) -> float:
    """The place on an axis of cells, counted from 0, by the logarithm; 0 is a cell of its own."""
    positive = [x for x in axis if x > 0]
    first = len(axis) - len(positive)
    return first + float(np.interp(np.log(value), np.log(positive), range(len(positive)))) if value > 0 else 0.0


def _caption(block: Block, panels: Sequence[Map], won: bool) -> str:
    table = pd.concat([map_.cells for map_ in panels]).drop_duplicates("cell")
    counts = " / ".join(str(n) for n in dict.fromkeys(len(best_cells(map_)) for map_ in panels))
    parts = [f"circles: best cells of a map ({counts}), thick red: the best"]
    if won:
        count = block.rows["replicate"].nunique()
        parts = [f"{parts[0]} in the mean over {count} replicates", "red numbers: in how many of them it is the best"]
    if any(0 in map_.wds for map_ in panels):
        twins = len({map_.family for map_ in panels}) < len(panels)
        parts.append("column 0: no decay" + (", the same runs in both maps" if twins else ""))
    if table["diverged"].any():
        parts.append("hatched: a run diverged (counts as chance)")
    if table["score"].isna().any():
        parts.append("grey: failed or no numbers")
    part = int((~table["complete"] & table["score"].notna()).sum())
    if part:
        parts.append(f"in brackets: {part} cells without all seeds, not ranked")
    if (cells(block)["hyper"] != "").any():
        parts.append("best over the other hyperparameters")
    return "; ".join(parts)


PLOT = Plot(
    "heatmap",
    "Heat maps of the search",
    lambda data: heatmap(data.block, overlays(data.block), {arm: data.results.won(arm) for arm in data.block.arms}),
    "no grid of two or more cells",
)
