"""Claims about training itself, 13 to 15 of the list: generalization at equal training loss, when, and restarts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from runner.analysis import paper
from runner.analysis.arms import family_name
from runner.analysis.landscape import DRAWS
from runner.analysis.study_results import ArmResult, BlockResults, StudyResults
from runner.claims.claim import ON_PAR, Claim, above, below, from_bootstrap, within
from runner.claims.comparison import obstacle

POINTS = 8  # cells that a cloud of points needs
EVALUATIONS = 3  # that a half of a run needs for a mean over it


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
    used freely.
    """
    name, labels = results.block.measure.report, [l2.arm, decoupled.arm]
    rows = results.block.rows
    rows = rows[(rows["status"] == "ok") & rows["arm"].isin(labels) & (rows["train_loss"] > 0)]
    cells = rows.groupby(["arm", "cell"])[["train_loss", name]].mean().reset_index()
    cells = cells[cells[name] <= 2 * cells[name].min()] if len(cells) else cells
    x = [np.log10(cells.loc[cells["arm"] == label, "train_loss"].to_numpy()) for label in labels]
    y = [cells.loc[cells["arm"] == label, name].to_numpy() for label in labels]
    if all(len(one) for one in x):
        low, high = max(one.min() for one in x), min(one.max() for one in x)
        kept = [(one >= low) & (one <= high) for one in x]
        x, y = ([one[k] for one, k in zip(both, kept, strict=True)] for both in (x, y))
    few = min(len(one) for one in x)
    why, evidence = "", None
    if few < POINTS:
        why = f"{few} cells of an arm lie within the training losses that both reach; {POINTS} are needed"
    else:
        random = np.random.default_rng(0)
        draws = [[random.integers(len(one), size=len(one)) for one in x] for _ in range(DRAWS)]
        drawn = np.array(
            [_offset(*([one[i] for one, i in zip(both, d, strict=True)] for both in (x, y))) for d in draws]
        )
        evidence = from_bootstrap(_offset(x, y), drawn, sum(map(len, x)), -math.inf, 0.0)
    return Claim(
        "equal-loss",
        f"At equal training loss {decoupled.arm} has the lower test error",
        f"{results.block.measure.report_name} at equal training loss, {decoupled.arm} minus {l2.arm} ({results.unit})",
        evidence,
        (results,),
        why,
    )


def _offset(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    """How much higher the second cloud lies than the first."""
    loss, error = np.concatenate(x), np.concatenate(y)
    second = np.repeat([0.0, 1.0], [len(one) for one in x])
    loss = loss - loss.mean()
    design = np.stack([np.ones_like(loss), loss, loss**2, second], axis=1)
    return float(np.linalg.lstsq(design, error, rcond=None)[0][3])


def _late(study: StudyResults, results: BlockResults, l2: ArmResult, decoupled: ArmResult) -> Iterator[Claim]:
    """Claim 14: validation error of the two winners, paired by seed, averaged over each half of the run."""
    measure = results.block.measure
    curve, l2_curve = (_by_epoch(study.curves, arm, measure.select) for arm in (decoupled, l2))
    half = float(results.block.settings["epochs"]) / 2
    common = curve.columns.intersection(l2_curve.columns)
    gap = (curve[common] - l2_curve[common]).dropna(how="all") if len(common) else pd.DataFrame()
    first, second = (gap[gap.index <= half], gap[gap.index > half]) if len(gap) else (gap, gap)
    pairs = [(results, decoupled), (results, l2)]
    why = obstacle(pairs)
    if not why and (least := min(len(first), len(second))) < EVALUATIONS:
        why = f"evaluations in a half of the run: {least}; {EVALUATIONS} are needed (eval_every)"
    what = f"{measure.select_name}, {decoupled.arm} minus {l2.arm}"
    yield Claim(
        "alike-early",
        f"{decoupled.arm} and {l2.arm} are alike in the first half of the run",
        f"{what}, mean over the first half ({results.unit}; equal within {ON_PAR})",
        within(first.mean()),
        (results,),
        why or obstacle(pairs, margin=True),
    )
    yield Claim(
        "ahead-late",
        f"{decoupled.arm} is ahead of {l2.arm} in the second half",
        f"{what}, mean over the second half ({results.unit})",
        below(second.mean()),
        (results,),
        why,
    )


def _by_epoch(curves: pd.DataFrame, arm: ArmResult, column: str) -> pd.DataFrame:
    """[epoch, seed] of a curve's column for the runs that are reported."""
    rows = _of_reported(curves, arm)
    return rows.pivot_table(index="epoch", columns="seed", values=column) if len(rows) else pd.DataFrame()


def _of_reported(table: pd.DataFrame, arm: ArmResult) -> pd.DataFrame:
    """The rows of curves.csv or cycles.csv of the runs that are reported, with their seeds."""
    if arm.rows is None or table.empty:
        return pd.DataFrame()
    seeds = dict(zip(arm.rows["trial"], arm.rows["seed"], strict=True))
    rows = table[table["trial"].isin(list(seeds))]
    return rows.assign(seed=rows["trial"].map(seeds))


def _restarts(study: StudyResults, warm: BlockResults, cold: BlockResults, family: str) -> Iterator[Claim]:
    """Claim 15: how much sooner the first cycle reaches its error, and whether the last cycle's is as good."""
    measure = warm.block.measure
    restarts, single = (paper.FIGURE_4_CIFAR10[f"{family_name(family)}{end}"] for end in ("WR", "W"))
    behind = restarts[1500] - single[1800]
    pairs = [(a, b) for a in warm.decoupled(family) for b in cold.decoupled(family) if a.arm == b.arm]
    for restarted, plain in pairs:
        ends = _cycle_ends(study.cycles, restarted)
        # Nothing is selected here: test where every epoch has it (eval_all=true).
        tested = all(rows[measure.report].notna().all() for rows in ends.values())
        tested = tested and len(_by_epoch(study.curves, plain, measure.report)) > 1
        column, column_name = (measure.report, measure.report_name) if tested else (measure.select, measure.select_name)
        curve = _by_epoch(study.curves, plain, column)
        seeds = [seed for seed in ends if seed in curve.columns]
        factors, last = [], []
        for seed in seeds:
            line, cycle = curve[seed].dropna(), ends[seed]
            reached = line.index[line <= cycle[column].iloc[0]]
            # Never reached: at least as long as the whole run, which is a lower bound.
            factors.append(math.log2((reached[0] if len(reached) else line.index[-1]) / cycle["epoch"].iloc[0]))
            last.append(cycle[column].iloc[-1] - line.iloc[-1])
        arms = [(warm, restarted), (cold, plain)]
        name = f"{warm.block.arm_of[restarted.arm].base}R"
        yield Claim(
            "restarts-sooner",
            f"{name} has after its first cycle what {plain.arm} has only much later",
            f"log2 of the epochs that {plain.arm} needs to have {name}'s first {column_name}, relative",
            above(factors),
            (warm,),
            obstacle(arms, searched=False),
            family=family,
        )
        yield Claim(
            "restarts-end",
            f"{name}'s last cycle ends as good as {plain.arm}",
            f"{column_name}, {name}'s last cycle minus {plain.arm}'s end (equal within {ON_PAR})",
            within(last),
            (warm,),
            obstacle(arms, searched=False, margin=True),
            family=family,
            papers=f"{behind:+.2f} points" + (" at 1500 and 1800 epochs" if family == "adam" else ""),
        )


def _cycle_ends(cycles: pd.DataFrame, arm: ArmResult) -> dict[int, pd.DataFrame]:
    """By seed the ends of its cycles, the first cycle first."""
    rows = _of_reported(cycles, arm)
    by_trial = rows.sort_values("cycle").groupby("trial") if len(rows) else ()
    return {int(of_trial["seed"].iloc[0]): of_trial for _, of_trial in by_trial}
