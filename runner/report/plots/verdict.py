"""The answer as a picture: each arm's error with its interval, and the paired differences with the verdicts.

`verdict_plot(results)` gives the figure, or None where there is nothing to compare.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from runner.analysis.measures import SIDES, number, short, telling
from runner.analysis.statistics import LEVEL, Estimate
from runner.analysis.study_results import ArmResult, BlockResults
from runner.report.estimates import half, percent
from runner.report.plots import style as figures
from runner.report.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.6  # inches: beside the words on a wide page, and readable where a narrow one shows it smaller
ROW = 0.52
_LABEL = 24  # characters of a line of an arm's name
_GOLDEN = 0.618034  # multiples of it, modulo 1, are spread evenly however many there are


def verdict_plot(results: BlockResults) -> Figure | None:
    """Arms as rows: a dot for each replicate (each seed where there is one replicate), the mean and its interval.

    A second panel has each dot's difference to the reference, with the interval that it is judged by and, where there
    are replicates, the band that is called equal. None unless there are two dots.
    """
    name = results.block.measure.report
    arms = [arm for arm in results.arms if any(map(math.isfinite, arm.by_unit(name).values()))]
    if sum(len(arm.by_unit(name)) for arm in arms) < 2:
        return None
    compared = [arm for arm in arms if arm.difference is not None and arm.difference.difference.n]
    rows = [len(arms), *([len(compared)] if compared else [])]
    height = 1.45 + sum(0.75 + ROW * count for count in rows)
    title = results.block.measure.report_quantity.capitalize()
    figure = figures.figure(results.block, f"{title} of each arm's best cell", WIDTH, height)
    grid = figure.subplots(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
    _errors(grid[0], results, arms)
    if compared:
        _differences(grid[1], results, compared)
    figures.caption(figure, caption(results, arms, compared))
    return figure


def _errors(axes: Axes, results: BlockResults, arms: Sequence[ArmResult]) -> None:
    measure = results.block.measure
    colours = figures.styles(results.block)
    every = [value for arm in arms for value in _finite(arm.by_unit(measure.report).values())]
    wide = min(every) > 0 and max(every) > 5 * min(every)
    if wide:
        axes.set_xscale("log")
    _limits(axes, every, [arm.values[measure.report] for arm in arms], wide)
    for row, arm in enumerate(arms):
        value = arm.values[measure.report]
        _row(axes, row, list(arm.by_unit(measure.report).values()), value, *colours[arm.arm])
        text = f"{number(value.mean, measure.digits)}{half(value, measure.digits)}"
        _beside(axes, row, text)
    _rows(axes, [arm.arm for arm in arms])
    axes.set_xlabel(measure.report_name, fontsize=9)
    if wide:
        figures.plain_ticks(axes, "x")


def _differences(axes: Axes, results: BlockResults, arms: Sequence[ArmResult]) -> None:
    from matplotlib.patches import Rectangle

    name, colours = results.block.measure.report, figures.styles(results.block)
    by_name = {arm.arm: arm for arm in results.arms}
    references = dict.fromkeys(arm.reference for arm in arms)
    apart = {arm.arm: _paired(arm, by_name[arm.reference], name) for arm in arms}
    found = [arm.difference.difference for arm in arms if arm.difference]
    _limits(axes, [0.0, *(value for values in apart.values() for value in _finite(values))], found)
    axes.axvline(0, color=figures.GREY, linewidth=1)
    for row, (arm, value) in enumerate(zip(arms, found, strict=True)):
        margin = results.protocol.equal_within / 100 * by_name[arm.reference].values[name].mean
        if arm.replicates and math.isfinite(margin):
            band = Rectangle((-margin, row - 0.5), 2 * margin, 1, color="#DDDDDD", linewidth=0, zorder=0)
            axes.add_patch(band)
        _row(axes, row, apart[arm.arm], value, *colours[arm.arm])
        digits = results.block.measure.digits
        digits = telling(value.mean, digits) if arm.verdict_word in SIDES else digits
        _beside(axes, row, f"{number(value.mean, digits, True)}{half(value, digits)}\n{arm.verdict_word}")
    one = len(references) == 1
    _rows(axes, [arm.arm if one else f"{arm.arm}\nminus {arm.reference}" for arm in arms])
    to = f" to {next(iter(references))}" if one else ""
    axes.set_xlabel(f"difference{to} ({results.unit})", fontsize=9)


def _paired(arm: ArmResult, other: ArmResult, name: str) -> list[float]:
    mine, its = arm.by_unit(name), other.by_unit(name)
    return [mine[unit] - its[unit] for unit in sorted(mine.keys() & its.keys())]


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _row(axes: Axes, row: int, values: Sequence[float], mean: Estimate, colour: str, marker: str) -> None:
    """The dots below the mean and its interval, spread so that equal ones are told apart."""
    heights = [row + 0.16 + 0.3 * ((k * _GOLDEN) % 1 - 0.5) for k in range(len(values))]
    axes.scatter(values, heights, s=16, color=colour, alpha=0.5, linewidths=0)
    if not math.isfinite(mean.mean):
        return
    above = row - 0.22
    if math.isfinite(mean.low) and math.isfinite(mean.high):
        axes.plot([mean.low, mean.high], [above, above], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot([mean.mean], [above], color=colour, marker=marker, markersize=6, markeredgewidth=0)


def _limits(axes: Axes, values: Sequence[float], intervals: Sequence[Estimate], wide: bool = False) -> None:
    """All dots, and of the intervals as much as leaves the dots a third of the axis: those of two seeds are wide."""
    low, high = min(values), max(values)
    ends = [end for one in intervals for end in (one.low, one.high, one.mean) if math.isfinite(end)]
    if wide:
        axes.set_xlim(low / 1.15, 1.15 * high)
        return
    span = (high - low) or max([abs(end - low) for end in ends], default=0.0) or 0.1 * abs(low) or 1.0
    low, high = max(min([low, *ends]), low - span), min(max([high, *ends]), high + span)
    axes.set_xlim(low - 0.05 * span, high + 0.05 * span)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_ylim(len(names) - 0.45, -0.55)
    labels = ["\n".join(part for line in name.split("\n") for part in textwrap.wrap(line, _LABEL)) for name in names]
    axes.set_yticks(range(len(names)), labels, parse_math=False)
    figures.tidy(axes)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0, labelsize=9)


def _beside(axes: Axes, row: int, text: str) -> None:
    """Numbers right of the axes, where no dot is. None is bold: which is the smallest may be undecided."""
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)


def caption(results: BlockResults, arms: Sequence[ArmResult], compared: Sequence[ArmResult]) -> str:
    """What dots, lines and bands are. Seeds of one cell in one split are no replicates, which it says."""
    protocol = results.protocol
    several = any(arm.replicates for arm in arms)
    fresh = "fresh " if all(arm.phase == "final" for arm in arms) else ""
    if not several:
        dots = f"dots: {fresh}seeds of one cell in one split, so no verdict about optimizers"
        return f"{dots}; lines: mean and 95 % interval over seeds"
    parts = [f"dots: replicates, each the mean over its {fresh}seeds; lines: mean and 95 % interval over replicates"]
    if compared and (protocol.looks or protocol.level != LEVEL):
        what = "confidence sequence" if protocol.looks else "interval"
        parts.append(f"differences: {percent(protocol.level)} {what}")
    if compared:
        parts.append(f"grey: within {short(protocol.equal_within)} % of the reference, called equal")
    return "; ".join(parts)


PLOT = Plot(
    "verdict",
    "Each arm's error, and the differences",
    lambda data: verdict_plot(data.results),
    first=True,
)
