"""Claims about training itself, 13 to 15 of the list: generalization at equal training loss, when, and restarts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from runner.analysis.landscape import DRAWS
from runner.analysis.results import ArmResult
from runner.claims.best_cells import unit
from runner.claims.claim import ON_PAR, Claim, above, below, from_bootstrap, within
from runner.claims.scene import Arena, Scene, groups, obstacle

POINTS = 8  # cells that a cloud of points needs
EVALUATIONS = 3  # that a half of a run needs for a mean over it


def claims(scene: Scene) -> Iterator[Claim]:
    """For all blocks with both twins of Adam; restarts for those that were trained with and without."""
    for arena in scene.arenas:
        l2, decoupled = arena.l2("adam"), arena.decoupled("adam")
        if l2 is None or not decoupled:
            continue
        if min(l2.cells, decoupled[0].cells) >= POINTS:
            yield _same_loss(arena, l2, decoupled[0])
        if arena.block.settings["schedule"] == "cosine" and max(l2.cells, decoupled[0].cells) > 1:
            yield from _late(scene, arena, l2, decoupled[0])
    for group in groups(scene, "schedule"):
        by_name = {arena.block.settings["schedule"]: arena for arena in group}
        if {"cosine", "restarts"} <= by_name.keys():
            for family in ("adam", "sgd"):
                yield from _restarts(scene, by_name["restarts"], by_name["cosine"], family)


def _same_loss(arena: Arena, l2: ArmResult, w: ArmResult) -> Claim:
    """Claim 13: the distance between two clouds of cells, test error over log training loss, by least squares.

    Each point is a cell's mean over seeds. One parabola for both arms and an offset for AdamW's; only cells up to
    twice the best test error and within the training losses that both arms reach. Nothing is selected, so test is
    used freely.
    """
    name = arena.block.measure.report
    rows = arena.block.rows
    rows = rows[(rows["status"] == "ok") & rows["arm"].isin([l2.arm, w.arm]) & (rows["train_loss"] > 0)]
    cells = rows.groupby(["arm", "cell"])[["train_loss", name]].mean().reset_index()
    cells = cells[cells[name] <= 2 * cells[name].min()] if len(cells) else cells
    x = [np.log10(cells.loc[cells["arm"] == arm, "train_loss"].to_numpy()) for arm in (l2.arm, w.arm)]
    y = [cells.loc[cells["arm"] == arm, name].to_numpy() for arm in (l2.arm, w.arm)]
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
        "13",
        f"At equal training loss {w.arm} has the lower test error",
        "Figure 3, bottom right",
        f"{arena.block.measure.report_name} at equal training loss, {w.arm} minus {l2.arm} ({unit(arena)})",
        evidence,
        "below 0 (by eye)",
        arena.scope,
        why,
    )


def _offset(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    """How much higher the second cloud lies than the first."""
    loss, error = np.concatenate(x), np.concatenate(y)
    second = np.repeat([0.0, 1.0], [len(one) for one in x])
    loss = loss - loss.mean()
    design = np.stack([np.ones_like(loss), loss, loss**2, second], axis=1)
    return float(np.linalg.lstsq(design, error, rcond=None)[0][3])


def _late(scene: Scene, arena: Arena, l2: ArmResult, w: ArmResult) -> Iterator[Claim]:
    """Claim 14: validation error of the two winners, paired by seed, averaged over each half of the run."""
    column = arena.block.measure.select
    mine, other = (_by_epoch(scene.curves, result, column) for result in (w, l2))
    half = float(arena.block.settings["epochs"]) / 2
    common = mine.columns.intersection(other.columns)
    gap = (mine[common] - other[common]).dropna(how="all") if len(common) else pd.DataFrame()
    first, second = (gap[gap.index <= half], gap[gap.index > half]) if len(gap) else (gap, gap)
    why = obstacle([(arena, w), (arena, l2)])
    if not why and (least := min(len(first), len(second))) < EVALUATIONS:
        why = f"evaluations in a half of the run: {least}; {EVALUATIONS} are needed (eval_every)"
    what = f"{arena.block.measure.select_name}, {w.arm} minus {l2.arm}"
    margin = "" if arena.block.measure.is_error else "no margin is known for losses"
    yield Claim(
        "14",
        f"{w.arm} and {l2.arm} are alike in the first half of the run",
        "Figure 3, top",
        f"{what}, mean over the first half ({unit(arena)}; equal within {ON_PAR})",
        within(first.mean()),
        "about 0 (curves coincide)",
        arena.scope,
        why or margin,
    )
    yield Claim(
        "14",
        f"{w.arm} is ahead of {l2.arm} in the second half",
        "Figure 3, top",
        f"{what}, mean over the second half ({unit(arena)})",
        below(second.mean()),
        "below 0 (by eye)",
        arena.scope,
        why,
    )


def _by_epoch(curves: pd.DataFrame, result: ArmResult, column: str) -> pd.DataFrame:
    """[epoch, seed] of a curve's column for the runs that are reported."""
    if result.rows is None or curves.empty:
        return pd.DataFrame()
    seeds = dict(zip(result.rows["trial"], result.rows["seed"], strict=True))
    mine = curves[curves["trial"].isin(list(seeds))]
    return mine.assign(seed=mine["trial"].map(seeds)).pivot_table(index="epoch", columns="seed", values=column)


def _restarts(scene: Scene, warm: Arena, cold: Arena, family: str) -> Iterator[Claim]:
    """Claim 15: how much sooner the first cycle's error is there, and whether the last cycle's is as good."""
    pairs = [(a, b) for a in warm.decoupled(family) for b in cold.decoupled(family) if a.arm == b.arm]
    for restarted, plain in pairs:
        ends = _cycle_ends(scene.cycles, restarted)
        measure = warm.block.measure
        # Nothing is selected here: test where every epoch has it (eval_all=true).
        tested = all(rows[measure.report].notna().all() for rows in ends.values())
        tested = tested and len(_by_epoch(scene.curves, plain, measure.report)) > 1
        column, called = (measure.report, measure.report_name) if tested else (measure.select, measure.select_name)
        curve = _by_epoch(scene.curves, plain, column)
        seeds = [seed for seed in ends if seed in curve.columns]
        factors, last = [], []
        for seed in seeds:
            line, cycle = curve[seed].dropna(), ends[seed]
            reached = line.index[line <= cycle[column].iloc[0]]
            # Never reached: at least as long as the whole run, which is a lower bound.
            factors.append(math.log2((reached[0] if len(reached) else line.index[-1]) / cycle["epoch"].iloc[0]))
            last.append(cycle[column].iloc[-1] - line.iloc[-1])
        why = obstacle([(warm, restarted), (cold, plain)], searched=False)
        name = f"{restarted.arm.split(' (')[0]}R"
        yield Claim(
            "15",
            f"{name} has after its first cycle what {plain.arm} has only much later",
            "Figure 4",
            f"log2 of the epochs that {plain.arm} needs to have {name}'s first {called}, relative",
            above(factors),
            "up to log2(10) = 3.3",
            warm.scope,
            why,
        )
        yield Claim(
            "15",
            f"{name}'s last cycle ends as good as {plain.arm}",
            "Figure 4",
            f"{called}, {name}'s last cycle minus {plain.arm}'s end (equal within {ON_PAR})",
            within(last),
            "+0.17 points at 1500 and 1800 epochs" if family == "adam" else "+0.03 points",
            warm.scope,
            why or ("" if warm.block.measure.is_error else "no margin is known for losses"),
        )


def _cycle_ends(cycles: pd.DataFrame, result: ArmResult) -> dict[int, pd.DataFrame]:
    if result.rows is None or cycles.empty:
        return {}
    seeds = dict(zip(result.rows["trial"], result.rows["seed"], strict=True))
    mine = cycles[cycles["trial"].isin(list(seeds))].sort_values("cycle")
    return {int(seeds[trial]): rows for trial, rows in mine.groupby("trial")}
