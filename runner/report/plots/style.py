"""What all plots share: colours and markers of the arms, names of axes, ticks, and saving without half-written files.

`figure(block, quantity, ...)` and `save(figure, path)`, or `png` and `store`, are the calls to know. Figures are made
without pyplot, so nothing is kept between plots.
"""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from runner.analysis.arms import L2, NO_DECAY, W
from runner.analysis.blocks import Block
from runner.analysis.measures import short
from runner.system.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
SOFTWARE = "adamw-runner"  # what a PNG says of its origin: not matplotlib with its version, which would change bytes
GREY = "#555555"
# Okabe & Ito's palette, which colour-blind readers can tell apart; markers repeat what the colours say.
_STYLES = {
    ("adam", NO_DECAY): ("#333333", "s"),
    ("adam", L2): ("#D55E00", "^"),
    ("adam", W): ("#0072B2", "o"),
    ("sgd", NO_DECAY): ("#888888", "D"),
    ("sgd", L2): ("#CC79A7", "v"),
    ("sgd", W): ("#009E73", "P"),
}
_SPARE = (("#E69F00", "X"), ("#56B4E9", "h"), ("#7A4FA3", "<"), ("#8C6D31", ">"), ("#B22222", "*"), ("#5F9EA0", "p"))
WD_AXIS = {
    "l2": "L2 coefficient",
    "torch": "weight decay (torch convention: per step lr × wd)",
    "paper": "weight decay per step (paper convention)",
    "normalized": "normalized weight decay",
}
WD_AXIS_SHORT = WD_AXIS | {"torch": "weight decay (torch: per step lr × wd)", "paper": "weight decay per step (paper)"}


def styles(block: Block) -> dict[str, tuple[str, str]]:
    """(colour, marker) per arm, the same in every plot of a block."""
    spare = itertools.cycle(_SPARE)
    chosen: dict[str, tuple[str, str]] = {}
    for label, arm in block.arm_of.items():
        usual = _STYLES.get((arm.family, arm.kind))  # The first of several arms of AdamW looks like AdamW.
        chosen[label] = usual if usual and usual not in chosen.values() else next(spare)
    return chosen


def wd_axis(convention: str, narrow: bool = False) -> str:
    """The label of a wd axis, with its unit."""
    return (WD_AXIS_SHORT if narrow else WD_AXIS).get(convention, f"weight decay ({convention} convention)")


def figure(block: Block, quantity: str, width: float, height: float) -> Figure:
    """An empty figure whose title names the quantity, the block and, without a validation split, its selection."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["font.family"] = "DejaVu Sans"  # inside matplotlib: the same picture everywhere
    made = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    head = f"{quantity} ({block.measure.remark})" if block.measure.remark else quantity
    limit = int(width * 11)
    lines = [*textwrap.wrap(head, limit), *textwrap.wrap(block.title, limit)]
    made.suptitle("\n".join(lines), fontsize=11, parse_math=False)  # of a data set's label, which is no TeX
    return made


def caption(figure: Figure, text: str) -> None:
    """A line below everything else, wrapped to the figure's width."""
    if text:
        lines = textwrap.wrap(text, int(figure.get_figwidth() * 14.5))
        figure.supxlabel("\n".join(lines), fontsize=8, color=GREY, parse_math=False)


def tidy(axes: Axes) -> None:
    axes.grid(True, which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend(axes: Axes, width: float = 4.4) -> None:
    """Above the axes, where no curve is, in as many columns as fit into `width` inches."""
    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return
    columns = max(1, min(len(labels), int(width / (0.45 + 0.06 * max(map(len, labels))))))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, fontsize=8, frameon=False, borderaxespad=0)


def legend_below(figure: Figure, colours: Mapping[str, str]) -> None:
    """The names of all lines of a colour, below the caption, for panels that have the same ones."""
    from matplotlib.lines import Line2D

    # Constrained layout makes room for the caption only, so the caption gets two empty lines for this one.
    figure.supxlabel(figure.get_supxlabel() + "\n \n ", fontsize=8, color=GREY, parse_math=False)
    lines = [Line2D([], [], color=colour, linewidth=2) for colour in colours.values()]
    figure.legend(lines, list(colours), loc="lower center", ncols=min(6, len(lines)), fontsize=9, frameon=False)


def plain_ticks(axes: Axes, which: str, zero: tuple[float, float] | None = None) -> None:
    """Numbers such as 2, 3, 5, 10 on a logarithmic axis that spans less than two decades.

    zero: for an x axis with points for 0 apart: where they are drawn, and where the others begin. A line divides them.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    decades = math.log10(high) - math.log10(low) if low > 0 else math.inf
    narrow = decades < 2
    axis.set_major_locator(LogLocator(10, subs=(1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if narrow else (1,)))
    axis.set_minor_locator(NullLocator() if narrow else LogLocator(10, subs=tuple(range(2, 10))))
    axis.set_minor_formatter(NullFormatter())
    at, begin = zero or (0.0, low)
    axis.set_major_formatter(FuncFormatter(lambda value, _: "0" if value == at else short(value, 3)))
    if zero:
        major, minor = (
            [at, *(v for v in locator.tick_values(low, high) if v >= 0.99 * begin and v <= high)]
            for locator in (axis.get_major_locator(), axis.get_minor_locator())
        )
        axis.set_major_locator(FixedLocator(major))
        axis.set_minor_locator(FixedLocator(minor[1:]))
        axes.axvline(math.sqrt(at * begin), color=GREY, linewidth=0.8, linestyle=":")


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG under a temporary name and rename it; equal data give equal bytes."""
    return store(png(figure), path)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, with at most 256 colours: a third of the bytes, and no difference that is seen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    engine = figure.get_layout_engine()
    if engine is not None:  # laid out once by hand: savefig would draw everything twice to the same end
        engine.execute(figure)
        figure.set_layout_engine("none")
    canvas, note, image = FigureCanvasAgg(figure), PngInfo(), io.BytesIO()
    canvas.draw()
    note.add_text("Software", SOFTWARE)
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
    drawn.quantize(256, dither=Image.Dither.NONE).save(
        image, "png", pnginfo=note, optimize=True, dpi=(figure.dpi, figure.dpi)
    )
    return image.getvalue()


def is_ours(path: Path) -> bool:
    """Whether this program has drawn a PNG file, as it says itself."""
    with path.open("rb") as file:
        return f"Software\0{SOFTWARE}".encode() in file.read(200)


def store(image: bytes, path: Path) -> Path:
    """Write a file, which is there whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(image)
    return path
