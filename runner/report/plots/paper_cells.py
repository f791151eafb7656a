"""The paper's best cells on a map of ours: `paper_marks` draws them, `legend` and `sentences` say what they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.analysis.blocks import Block
from runner.analysis.measures import number, short
from runner.analysis.overlay import Overlay
from runner.report.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DIAMOND: dict[str, Any] = {"marker": "D", "s": 42, "color": "#E6007E", "edgecolors": "white", "linewidths": 1.0}


def paper_marks(axes: Axes, points: Iterable[tuple[float, float]]) -> None:
    """Diamonds at the paper's best cells, on top of everything; the few outside the axes are not drawn."""
    where = np.array(list(points))
    limits = axes.get_xlim(), axes.get_ylim()
    axes.scatter(where[:, 0], where[:, 1], **_DIAMOND, zorder=5)
    axes.set(xlim=limits[0], ylim=limits[1])


def legend(figure: Figure, block: Block) -> None:
    """Whose best cells the rings and the diamonds are, and what each was chosen by; below the caption."""
    from matplotlib.lines import Line2D

    ring = Line2D([], [], linestyle="", marker="o", markersize=9, markerfacecolor="none", markeredgecolor="black")
    colours = {"markerfacecolor": _DIAMOND["color"], "markeredgecolor": _DIAMOND["edgecolors"]}
    diamond = Line2D([], [], linestyle="", marker=_DIAMOND["marker"], markersize=7, **colours)
    words = [f"ours, by {block.measure.select_quantity}", "the paper's Figure 2, by test error"]
    # Constrained layout makes room for the caption only, so the caption gets two empty lines for this one.
    figure.supxlabel(figure.get_supxlabel() + "\n \n ", fontsize=8, color=style.GREY)
    figure.legend([ring, diamond], words, loc="lower center", ncols=2, fontsize=9, frameon=False)


def sentences(block: Block, over: Mapping[str, Overlay]) -> list[str]:
    """What the caption of an overlaid map says, in words; [] without an overlay."""
    if not over:
        return []
    circles = block.measure.select_quantity
    lines = [
        f"diamonds: the paper's ten best cells, read off its Figure 2 (chosen on test error; our circles on {circles})"
    ]
    factors = sorted({overlay.factor for overlay in over.values() if overlay.factor != 1})
    if factors:
        l2 = any(overlay.map.convention == "l2" for overlay in over.values())
        lines.append(
            f"scaled run: their decoupled decays are drawn times {short(factors[0], 3)}, at equal lambda_norm"
            + ("; their L2 coefficients are drawn as they are" if l2 else "")
        )
    reasons = {overlay.why_not_judged for overlay in over.values()} - {""}
    counts = [
        f"{arm} {one.coincide} of {len(one.paper_cells)}" for arm, one in over.items() if one.coincide is not None
    ]
    if counts:
        lines.append(f"coincide: {', '.join(counts)}")
    lines += [f"cells that coincide: {reason}" for reason in sorted(reasons)]
    shifts = [
        f"{arm} {number(one.shift[0], 1, True)} in lr, {number(one.shift[1], 1, True)} in wd "
        f"(distance {number(math.hypot(*one.shift), 1)})"
        for arm, one in over.items()
    ]
    lines.append(f"centroid of ours minus theirs, octaves: {'; '.join(shifts)}")
    if any(wd == 0 for one in over.values() for _, wd in (*one.ours, *one.paper_cells)):
        lines.append("cells without decay are left out of the centroid's wd")
    outside = [
        f"{arm} {len(one.paper_cells) - one.inside}" for arm, one in over.items() if one.inside < len(one.paper_cells)
    ]
    if outside:
        lines.append(f"diamonds outside the grid: {', '.join(outside)}")
    return lines
