"""Claims about training itself, 13 to 15 of the list: generalization at equal training loss, when, and restarts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from runner.analysis import paper
from runner.analysis.arms import family_name
from runner.analysis.blocks import Block, replicates
from runner.analysis.landscape import DRAWS
from runner.analysis.measures import number
from runner.analysis.study_results import ArmResult, BlockResults, StudyResults
from runner.claims.claim import Claim
from runner.claims.comparison import obstacle
from runner.claims.curves import by_run, by_unit, of_reported, unit_of
from runner.claims.evidence import above, below, from_bootstrap, no_higher, within
from runner.claims.few import ONE_REPLICATE, few, percent_of, percents

POINTS = 8  # cells that a cloud of points needs
EVALUATIONS = 10  # that a half of a run needs for a mean over it: one in every twentieth of the run
LATE = 0.5  # share of the ceiling: later than the geometric mean of the first cycle and the whole run


def claims(study: StudyResults) -> Iterator[Claim]:
    """For all blocks with both twins of Adam; restarts for those that were trained with and without."""
    for results in study.blocks:
        if twins := results.twins():
            cells = [arm.cells for arm in twins]
            if min(cells) >= POINTS:
                yield _same_loss(results, *twins)
            if results.block.settings["schedule"] == "cosine" and max(cells) > 1:
                yield from _late(study, results, *twins)
    for group in study.groups("schedule"):
        by_name = {results.block.settings["schedule"]: results for results in group}
        if {"cosine", "restarts"} <= by_name.keys():
            for family in ("adam", "sgd"):
                yield from _restarts(study, by_name["restarts"], by_name["cosine"], family)


def _same_loss(results: BlockResults, l2: ArmResult, decoupled: ArmResult) -> Claim:
    """Claim 13: the distance between two clouds of cells, test error over log training loss, by least squares.

    Each point is a cell's mean over seeds. One parabola for both arms and an offset for AdamW's; only cells up to
    twice the best test error and within the training losses that both arms reach. Nothing is selected, so test is
    used freely. Its noise is that over replicates; with one, which decides nothing, that of a bootstrap over cells.
    """
    labels = (l2.arm, decoupled.arm)
    found = [_clouds(results.block, labels, part) for part in replicates(results.block).values()]
    fewest = min(len(one) for x, _ in found for one in x)
    why, evidence = "", None
    if fewest < POINTS:
        why = f"{fewest} cells of an arm lie within the training losses that both reach; {POINTS} are needed"
    elif len(found) > 1:
        evidence = below(_relative_offset(*clouds) for clouds in found)
        why = few(len(found), "replicates", results.protocol)
    else:
        ((x, y),) = found
        random = np.random.default_rng(0)
        draws = [[random.integers(len(one), size=len(one)) for one in x] for _ in range(DRAWS)]
        drawn = np.array(
            [_relative_offset(*([one[i] for one, i in zip(both, d, strict=True)] for both in (x, y))) for d in draws]
        )
        evidence = from_bootstrap(_relative_offset(x, y), drawn, sum(map(len, x)), -math.inf, 0.0)
        why = ONE_REPLICATE
    return Claim(
        "equal-loss",
        f"At equal training loss {decoupled.arm} has the lower test error",
        f"{results.block.measure.report_quantity} at equal training loss, {percents(decoupled.arm, l2.arm)}",
        evidence,
        (results,),
        why,
    )


Cloud = tuple[list[np.ndarray], list[np.ndarray]]


def _clouds(block: Block, labels: Sequence[str], part: Block) -> Cloud:
    """log10 of the training losses and the test errors of each arm's good cells, in one replicate of a block."""
    name, rows = block.measure.report, part.rows
    rows = rows[(rows["status"] == "ok") & rows["arm"].isin(labels) & (rows["train_loss"] > 0)]
    cells = rows.groupby(["arm", "cell"])[["train_loss", name]].mean().reset_index()
    cells = cells[cells[name] <= 2 * cells[name].min()] if len(cells) else cells
    x = [np.log10(cells.loc[cells["arm"] == label, "train_loss"].to_numpy()) for label in labels]
    y = [cells.loc[cells["arm"] == label, name].to_numpy() for label in labels]
    if all(len(one) for one in x):
        low, high = max(one.min() for one in x), min(one.max() for one in x)
        kept = [(one >= low) & (one <= high) for one in x]
        x, y = ([one[k] for one, k in zip(both, kept, strict=True)] for both in (x, y))
    return x, y


def _relative_offset(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    """How much higher the second cloud lies than the first, in percent of the first one's mean."""
    return 100 * _offset(x, y) / float(y[0].mean())


def _offset(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    """How much higher the second cloud lies than the first."""
    loss, error = np.concatenate(x), np.concatenate(y)
    second = np.repeat([0.0, 1.0], [len(one) for one in x])
    loss = loss - loss.mean()
    design = np.stack([np.ones_like(loss), loss, loss**2, second], axis=1)
    return float(np.linalg.lstsq(design, error, rcond=None)[0][3])


def _late(study: StudyResults, results: BlockResults, l2: ArmResult, decoupled: ArmResult) -> Iterator[Claim]:
    """Claim 14: validation error of the two winners, paired by replicate, averaged over each half of the run.

    Nothing where a half has too few evaluations for a mean over it.
    """
    measure = results.block.measure
    curve, l2_curve = (by_unit(by_run(study.curves, arm, measure.select), arm) for arm in (decoupled, l2))
    middle = float(results.block.settings["epochs"]) / 2
    common, epochs = curve.columns.intersection(l2_curve.columns), curve.index.intersection(l2_curve.index)
    halves = [epochs[epochs <= middle], epochs[epochs > middle]]
    if min(len(half) for half in halves) < EVALUATIONS:
        return  # these are no curves: the study does not speak to it
    gaps = [percent_of(_means(curve, half, common), _means(l2_curve, half, common)) for half in halves]
    pairs = [(results, decoupled), (results, l2)]
    why = obstacle(pairs, inner=True) or few(len(common), "replicates with both curves", results.protocol)
    margin = results.protocol.equal_within
    what = f"{measure.select_quantity}, mean over the {{}} half, {percents(decoupled.arm, l2.arm)}"
    yield Claim(
        "alike-early",
        f"{decoupled.arm} and {l2.arm} are alike in the first half of the run",
        f"{what.format('first')} (equal within {margin:g} %)",
        within(gaps[0], margin),
        (results,),
        why,
    )
    yield Claim(
        "ahead-late",
        f"{decoupled.arm} is ahead of {l2.arm} in the second half",
        what.format("second"),
        below(gaps[1]),
        (results,),
        why,
    )


def _means(curve: pd.DataFrame, epochs: pd.Index, units: pd.Index) -> dict[int, float]:
    return {int(unit): float(curve.loc[epochs, unit].mean(skipna=False)) for unit in units}


class _Race(NamedTuple):
    """A run with restarts beside one without; each by replicate, the mean over its seeds.

    `sooner`: log2 of the epochs that the one without needs to have the error of the first cycle's end, over those of
    that cycle, as a share of the ceiling, log2 of `times`: its whole length over the first cycle's. A run that has not
    reached the error at its end would need longer, and counts with its length. `last` and `plain` are their errors at
    the end. All are empty where the first cycle is the whole run.
    """

    sooner: dict[int, float]
    last: dict[int, float]
    plain: dict[int, float]
    times: float


def _race(ends: pd.DataFrame, curve: pd.DataFrame, units: Mapping[int, int], length: float) -> _Race:
    """The race of runs with restarts and runs without that have the same seeds.

    Args:
        ends: [epoch, seed] the errors at the ends of the cycles.
        curve: [epoch, seed] those of the runs without.
        units: the replicate of each seed.
        length: of the latter in epochs.
    """
    first = float(ends.index[0]) if len(ends) else math.nan
    runs, times = [], length / first
    for seed in ends.columns.intersection(curve.columns) if times > 1 else ():
        reached = curve.index[curve[seed] <= ends[seed].iloc[0]]
        early = math.log2((reached[0] if len(reached) else length) / first) / math.log2(times)
        runs.append((units[int(str(seed))], early, ends[seed].iloc[-1], curve[seed].iloc[-1]))
    means = pd.DataFrame(runs, columns=["unit", "sooner", "last", "plain"], dtype=float).groupby("unit").mean()
    sooner, last, plain = (
        {int(u): float(v) for u, v in zip(means.index, means[column], strict=True)} for column in means
    )
    return _Race(sooner, last, plain, times)


def _restarts(study: StudyResults, warm: BlockResults, cold: BlockResults, family: str) -> Iterator[Claim]:
    """Claim 15: how much sooner the first cycle reaches its error, and whether the last cycle's is as good."""
    measure = warm.block.measure
    restarts, single = (paper.FIGURE_4_CIFAR10[f"{family_name(family)}{end}"] for end in ("WR", "W"))
    behind = 100 * (restarts[1500] / single[1800] - 1)
    sooner = math.log2(paper.RESTARTS_SOONER) / math.log2(1800 / 100)
    pairs = [(a, b) for a in warm.decoupled(family) for b in cold.decoupled(family) if a.arm == b.arm]
    for restarted, plain in pairs:
        cycles = of_reported(study.cycles, restarted)
        # Nothing is selected here: test where every epoch has it (eval_all=true).
        tested = len(cycles) > 0 and bool(cycles[measure.report].notna().all())
        tested = tested and len(by_run(study.curves, plain, measure.report)) > 1
        column = measure.report if tested else measure.select
        quantity = measure.report_quantity if tested else measure.select_quantity
        ends, curve = by_run(study.cycles, restarted, column), by_run(study.curves, plain, column)
        race = _race(ends, curve, unit_of(restarted), float(cold.block.settings["epochs"]))
        why = obstacle([(warm, restarted), (cold, plain)], searched=False, inner=True)
        if not why and race.times <= 1:
            why = "the first cycle is the whole run"
        why = why or few(len(race.sooner), "replicates with both curves", warm.protocol)
        name = f"{warm.block.arm_of[restarted.arm].base}R"
        yield Claim(
            "restarts-sooner",
            f"{name} has after its first cycle what {plain.arm} has only much later",
            f"log2 of the epochs that {plain.arm} needs to have {name}'s first {quantity}, over those of the first "
            f"cycle, as a share of the ceiling, which is the whole run (above {LATE:g})",
            above(race.sooner.values(), LATE),
            (warm,),
            why,
            f"the ceiling is {number(race.times, 1)} times the first cycle",
            family=family,
            papers=f"{number(sooner)} (up to {paper.RESTARTS_SOONER} times sooner, of 18 that it could be)",
        )
        margin = warm.protocol.equal_within
        yield Claim(
            "restarts-end",
            f"{name}'s last cycle ends as good as {plain.arm}",
            f"{quantity}, {name}'s last cycle minus {plain.arm}'s end, percent of {plain.arm}'s (not higher by "
            f"{margin:g} %)",
            no_higher(percent_of(race.last, race.plain), margin),
            (warm,),
            why,
            family=family,
            papers=f"{behind:+.1f} %" + (" at 1500 and 1800 epochs" if family == "adam" else ""),
        )
