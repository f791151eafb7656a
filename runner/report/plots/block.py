"""All plots of a block: `plots(folder, block, ...)` draws and saves them, and leaves out one that cannot be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from runner.analysis.arms import Block
from runner.analysis.results import ArmResult
from runner.report.plots.drawing import pinned
from runner.report.plots.style import png, store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[], "Figure | None"]


@dataclass(frozen=True)
class Plots:
    """`made` are (PNG file, caption); `skipped` says what had nothing to show, `failed` what could not be drawn."""

    made: list[tuple[Path, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def plots(
    folder: Path,
    block: Block,
    found: list[ArmResult],
    followed: tuple[pd.DataFrame, pd.DataFrame],
    several: bool,
    into: Plots,
) -> None:
    """Draw a block into `folder`, and add what came of it to `into`.

    followed: the study's curves and dynamics. several: the study has other blocks, so that files need the block's name.
    Raises OSError where a file cannot be written. Whatever else goes wrong costs the one plot alone.
    """
    suffix, where = (f"-{block.id}", f" ({block.label})") if several else ("", "")
    remark = f", {block.measure.remark}" if block.measure.remark else ""
    for name, caption, draw, reason in _figures(block, found, *followed):
        try:
            with pinned():
                figure = draw()
                image = png(figure) if figure is not None else None
        except Exception as error:  # of matplotlib, its fonts, its caches: the tables are there all the same
            told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            into.failed.append(f"{name}{suffix}.png left out{where}: it cannot be drawn ({told})")
            continue
        if image is not None:
            into.made.append((store(image, folder / f"{name}{suffix}.png"), f"{caption}{where}{remark}"))
        elif reason:
            into.skipped.append(f"{name}{suffix}.png left out{where}: {reason}")


def _figures(
    block: Block, found: list[ArmResult], curves: pd.DataFrame, dynamics: pd.DataFrame
) -> Iterator[tuple[str, str, Draw, str]]:
    """(name, caption, what draws it or finds nothing to draw, why there is none)."""
    from runner.analysis.overlay import overlays
    from runner.report.plots.curves import learning_curves
    from runner.report.plots.dynamics import mechanism
    from runner.report.plots.error_vs_wd import error_vs_wd
    from runner.report.plots.heatmap import heatmap
    from runner.report.plots.scatter import scatter
    from runner.report.plots.unit_map import UNITS, unit_map

    over = overlays(block)
    yield "heatmap", "Heat maps of the search", partial(heatmap, block, over), "no grid of two or more cells"
    for column, (unit, _) in UNITS.items():
        yield (
            f"heatmap_{unit}_units",
            f"The decoupled searches in {unit} units",
            partial(unit_map, block, column, over),
            "",
        )
    yield (
        "error_vs_wd",
        "Best error for each weight decay",
        partial(error_vs_wd, block),
        "no arm with two weight decays",
    )
    yield (
        "curves",
        "Learning curves of the winners",
        partial(learning_curves, block, found, curves),
        "no winner was validated more than once",
    )
    yield "mechanism", "What decay did to the weights", partial(mechanism, block, dynamics), ""
    yield "scatter", "Test error against training loss", partial(scatter, block), "no trial with both numbers"
