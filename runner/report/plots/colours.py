"""The colours of a map: `Colours.of(tables)` gives each cell of a search its place on the colour map, by rank.

On a linear scale a search of which few cells are good is one colour, and its basin is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runner.analysis.measures import Measure, short

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

COLOURS = "viridis_r"  # bright is good; equal steps also in grey and for colour-blind readers
STEPS = 8  # of the colour bar


@dataclass(frozen=True, eq=False)
class Colours:
    """`knots` are scores at equal distances on the colour map, ascending; all above the last share its colour."""

    knots: np.ndarray

    @classmethod
    def of(cls, tables: Sequence[pd.DataFrame], loss: bool = False) -> Colours:
        """Each colour for as many cells, from the best to where `colour_range` clips.

        Args:
            tables: of cells (`Map.cells`), which share the colours.
            loss: whether they are scored by a loss.
        """
        low, high = colour_range(tables, loss)
        scores = np.concatenate([table["score"].to_numpy(float) for table in tables])
        inside = scores[(scores >= low) & (scores <= high)]
        between = np.quantile(inside, np.arange(1, STEPS) / STEPS) if len(inside) else []
        return cls(np.unique([low, *between, high]))

    @property
    def norm(self) -> Normalize:
        """From scores to places on the colour map, from 0 to 1."""
        from matplotlib.colors import FuncNorm

        places = np.linspace(0, 1, len(self.knots))
        to, back = (lambda x: np.interp(x, self.knots, places)), (lambda y: np.interp(y, places, self.knots))
        return FuncNorm((to, back), float(self.knots[0]), float(self.knots[-1]))

    def bar(self, figure: Figure, grid: np.ndarray, measure: Measure) -> None:
        """The colour bar beside a grid of axes."""
        from matplotlib.cm import ScalarMappable

        bar = figure.colorbar(
            ScalarMappable(self.norm, COLOURS), ax=grid, extend="max", fraction=0.05, pad=0.02, aspect=28
        )
        bar.set_ticks(list(self.knots), labels=[short(float(knot), 3) for knot in self.knots])
        bar.minorticks_off()
        low, high = (short(float(knot), 3) for knot in self.knots[[0, -1]])
        label = f"{measure.select_name}, colours by rank\nfrom the best, {low}, clipped at {high}"
        bar.set_label(label, fontsize=9, labelpad=6)
        bar.ax.tick_params(labelsize=8)


def colour_range(tables: Sequence[pd.DataFrame], loss: bool = False) -> tuple[float, float]:
    """(best value, saturation): about twice the best, as 3 % to 7 % in the paper, but never less than two thirds of
    the cells, so that a search with few good cells still shows its shape; of a loss, two thirds of the cells."""
    scores = pd.concat([table["score"] for table in tables])
    values = np.sort(scores[np.isfinite(scores)].to_numpy())
    if not len(values):
        return 0.0, 1.0
    low = float(values[0])
    shown = float(np.quantile(values, 2 / 3))
    high = min(float(values[-1]), shown if loss else max(2 * low, shown))
    return low, high if high > low else low + max(abs(low), 1.0) * 0.1
