"""All plots of a block: `draw_all(folder, data, ...)` draws and saves `PLOTS`, and leaves out what cannot be drawn.

To add a plot:
1. write a module in this folder with a function that makes a figure of a block or gives None, and
   `PLOT = Plot("stem", "Caption", lambda data: your_plot(data.block), "why there is none")` (`plots.plot`);
2. add `your_module.PLOT` to `PLOTS` below.
Its file, its place in generalization.md and report.html, and the removal of an outdated file follow from that line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from runner.report.plots import curves, dynamics, error_vs_wd, heatmap, scatter, tuning, unit_map, verdict
from runner.report.plots.drawing import pinned
from runner.report.plots.plot import Plot, PlotData
from runner.report.plots.style import is_ours, png, store

# In the order of the reports.
PLOTS: tuple[Plot, ...] = (
    verdict.PLOT,
    tuning.PLOT,
    heatmap.PLOT,
    *unit_map.PLOTS,
    error_vs_wd.PLOT,
    curves.PLOT,
    dynamics.PLOT,
    scatter.PLOT,
)


@dataclass(frozen=True)
class Drawn:
    """A PNG file, what the reports call it, and the id of the block that it shows; `first` as in its `Plot`."""

    path: Path
    caption: str
    block: str
    first: bool = False


@dataclass(frozen=True)
class Drawings:
    """What came of a study's plots: `made`; `skipped`, which had nothing to show; `failed`, which raised an error."""

    made: list[Drawn] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def draw_all(folder: Path, data: PlotData, ending: str, into: Drawings) -> None:
    """Draw a block into `folder`, and add what came of it to `into`.

    ending: tells the block's files from those of the study's other blocks (`names.endings`). Raises OSError where a
    file cannot be written. Whatever else goes wrong costs the one plot alone.
    """
    block = data.block
    where = f" ({block.label})" if block.label else ""
    remark = f", {block.measure.remark}" if block.measure.remark else ""
    for plot in PLOTS:
        name = f"{plot.stem}{ending}.png"
        try:
            with pinned():
                figure = plot.draw(data)
                image = png(figure) if figure is not None else None
        except Exception as error:  # Of matplotlib, its fonts, its caches: the tables are written all the same.
            text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            into.failed.append(f"{name} left out{where}: it cannot be drawn ({text})")
            continue
        if image is not None:
            path = store(image, folder / name)
            into.made.append(Drawn(path, f"{plot.caption}{where}{remark}", block.id, plot.first))
        elif plot.reason:
            into.skipped.append(f"{name} left out{where}: {plot.reason}")


def remove_stale(folder: Path, drawings: Drawings) -> None:
    """Remove plots of an earlier report that this one no longer makes: they would contradict the new table.

    Only files with a name that a plot of PLOTS gives are removed, and of those with an ending only what this program
    has drawn: somebody's own heatmap_draft.png stays. Names once ended in the six hex digits of a block.
    """
    # The longest first: heatmap_torch_units is no heatmap with an ending.
    stems = "|".join(sorted((re.escape(plot.stem) for plot in PLOTS), key=len, reverse=True))
    fresh = {drawn.path.name for drawn in drawings.made}
    for path in folder.glob("*.png"):
        name = re.fullmatch(rf"({stems})(-[0-9a-f]{{6}}|(?P<ending>_.+))?\.png", path.name)
        if name and path.name not in fresh and (not name["ending"] or is_ours(path)):
            path.unlink()
