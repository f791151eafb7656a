"""Claim 25 of the list: with few random trials a decoupled arm reaches a lower error than its L2 twin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from runner.analysis.blocks import Block
from runner.analysis.measures import NOTHING, number, short
from runner.analysis.select import NONE_BETTER
from runner.analysis.study_results import ArmResult, BlockResults, StudyResults
from runner.analysis.tuning import Curve, alike, over_log2, tuning
from runner.claims.claim import Claim, in_all_windows
from runner.claims.evidence import Evidence, below, from_bootstrap
from runner.claims.few import of_replicates

SHOWN = (1, 4, 16)  # budgets of which the remark gives the difference


def claims(study: StudyResults) -> Iterator[Claim]:
    """For every block, each decoupled arm against its L2 twin, where both have several cells."""
    for results in study.blocks:
        curves = _by_arm(results.block)
        for family in ("adam", "sgd"):
            for decoupled in results.decoupled(family):
                l2 = results.l2(family, beside=decoupled)
                if l2 is not None and {decoupled.arm, l2.arm} <= curves.keys():
                    yield _easier(results, decoupled, l2, curves[decoupled.arm], curves[l2.arm])


def _by_arm(block: Block) -> dict[str, Curve]:
    return {curve.arm: curve for curve in tuning(block)}


def _easier(results: BlockResults, decoupled: ArmResult, l2: ArmResult, curve: Curve, twin: Curve) -> Claim:
    digits, gaps = results.block.measure.digits, _gaps(curve, twin)
    cells = gaps.shape[1]
    alike_gaps = _elsewhere(results.block, decoupled.arm, l2.arm)
    elsewhere = float(over_log2(alike_gaps).mean()) if len(alike_gaps) else math.nan
    size = number(elsewhere, digits, True)
    shown = [k for k in SHOWN if k <= cells and len(gaps)]
    at = ", ".join(number(float(gaps[:, k - 1].mean()), digits, True) for k in shown)
    remarks = (
        f"for k = {', '.join(map(str, shown))}: {at}" if shown else "",
        f"in windows of the same size around each arm's best: {size}" if size != NOTHING else "",
        "with one seed the chosen run reports itself" if min(curve.seeds, twin.seeds) == 1 else "",
    )
    claim = Claim(
        "easier-to-tune",
        f"{decoupled.arm} is easier to tune than {l2.arm}",
        f"expected {results.block.measure.report_name} of the best of k random cells, mean over log2 k from 1 to "
        f"{cells}, {decoupled.arm} minus {l2.arm} ({results.unit})",
        None,
        (results,),
        _obstacle(results, (decoupled, l2), (curve, twin), elsewhere),
        "; ".join(remark for remark in remarks if remark),
        variant="" if l2.family == "adam" else l2.family.upper(),
        family=l2.family,
    )
    own, other = _evidence(gaps, curve, twin), below(over_log2(alike_gaps))
    return replace(claim, evidence=own) if own is None or other is None else in_all_windows(claim, own, [other])


def _gaps(curve: Curve, twin: Curve) -> np.ndarray:
    """[R, K]: curve minus twin in the R replicates that both have, for k = 1 to the smaller number of cells."""
    cells = min(len(curve.cells), len(twin.cells))
    a, b = (dict(zip(one.replicates, one.by_replicate[:, :cells], strict=True)) for one in (curve, twin))
    with np.errstate(invalid="ignore"):  # two infinite losses have no difference
        return np.array([a[r] - b[r] for r in a if r in b]).reshape(-1, cells)


def _elsewhere(block: Block, *arms: str) -> np.ndarray:
    """`_gaps` in windows of the same size around each arm's best cell; empty where they hold too little."""
    curves = _by_arm(alike(block, arms))
    return _gaps(*(curves[arm] for arm in arms)) if set(arms) <= curves.keys() else np.empty((0, 2))


def _evidence(gaps: np.ndarray, curve: Curve, twin: Curve) -> Evidence | None:
    """Student's t over replicates; of one the interval that its cells and seeds give."""
    values = over_log2(gaps)
    if len(values) != 1:
        return below(values)
    if not math.isfinite(values[0]) or not len(curve.drawn) or not len(twin.drawn):
        return None
    cells = gaps.shape[1]
    drawn = over_log2(curve.drawn[:, :cells] - twin.drawn[:, :cells])
    return from_bootstrap(float(values[0]), drawn, 1, -math.inf, 0.0)


def _obstacle(
    results: BlockResults,
    arms: tuple[ArmResult, ArmResult],
    curves: tuple[Curve, Curve],
    elsewhere: float,
) -> str:
    """What forbids a verdict: a curve is one of a window, so windows must be alike, and hold the bests."""
    if results.block.measure.on_test:
        return "selected on test"
    for name in ("lr", "wd"):
        spans = [_octaves([getattr(cell, name) for cell in curve.cells]) for curve in curves]
        if abs(spans[0] - spans[1]) > 0.05:
            both = ", ".join(f"{curve.arm} {short(span, 3)}" for curve, span in zip(curves, spans, strict=True))
            return f"the searches' windows differ (octaves of {name}: {both})"
    for arm in arms:
        if arm.edge and arm.edge != NONE_BETTER:
            return f"{arm.arm}'s best cell is on its grid's edge ({arm.edge})"
    if math.isnan(elsewhere):
        return "no windows of the same size around each arm's best can be compared"
    if len({curve.seeds > 1 for curve in curves}) > 1:
        return "one arm was searched with one seed, the other with several"
    return of_replicates(len(set(curves[0].replicates) & set(curves[1].replicates)), results.protocol)


def _octaves(values: list[float]) -> float:
    return math.log2(max(values) / min(values))
