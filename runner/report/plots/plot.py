"""One plot of a block: a `Plot` says how it is named and drawn, from the `PlotData` of a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from runner.analysis.blocks import Block
from runner.analysis.study_results import BlockResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class PlotData:
    """What a block's plots are drawn from: its results, and the rows of curves.csv and dynamics.csv of the study."""

    results: BlockResults
    curves: pd.DataFrame
    dynamics: pd.DataFrame

    @property
    def block(self) -> Block:
        return self.results.block


@dataclass(frozen=True)
class Plot:
    """A plot that every block may have.

    Args:
        stem: the name of its file, without .png and without what tells blocks apart.
        caption: what the reports call it.
        draw: makes the figure, or gives None where the block has nothing to show.
        reason: said where there is nothing to show; '' where that is usual and nobody misses it.
        first: it answers the question, so report.html begins with it.
    """

    stem: str
    caption: str
    draw: Callable[[PlotData], Figure | None]
    reason: str = ""
    first: bool = False
