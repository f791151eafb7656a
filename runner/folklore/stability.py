"""Statements about stability, 14 and 19: how far seeds differ, and how many runs of a search are lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from runner.analysis.study_results import ArmResult, BlockResults
from runner.folklore.studies import NETWORKS, Studies, adamw, edge, missing, values
from runner.folklore.tested import differences, lower, points
from runner.folklore.verdict import FALSE, NOT_MEASURED, OPEN, Part, Verdict, stated

SPREAD = 0.25  # of the other arm's spread, within which two are alike
SHARE = 5.0  # percent of a search's runs, within which two are alike
GUESSING = 0.5  # times the error of guessing


def more_stable(studies: Studies) -> Verdict:
    """Statement 14: AdamW against Adam + L2, at the best cells and over the whole search."""
    parts = []
    for name, network in NETWORKS.items():
        block = studies[name].main
        arm, l2 = adamw(block), block.l2("adam") if block else None
        if block is None or arm is None or l2 is None:
            parts.append(Part(network, "", NOT_MEASURED, missing(name)))
            continue
        parts.append(_spread(network, arm, l2))
        ours, theirs = (_lost(block, [one.arm]) for one in (arm, l2))
        parts.append(_fewer_lost(f"{network}, lost runs", ours, theirs))
    return stated(
        14,
        "AdamW is more stable",
        "AdamW minus Adam + L2: spread of the test error over seeds; share of the search's runs that diverge or end "
        "above half the error of guessing",
        parts,
        "resnet and transformer: trials.csv",
    )


def warm_up(studies: Studies) -> Verdict:
    """Statement 19: the same cells of AdamW with and without a warm-up."""
    with_, without = studies["transformer"].main, studies["no-warmup"].main
    if with_ is None or without is None:
        parts = [Part("Transformer", "", NOT_MEASURED, missing("transformer", "no-warmup"))]
    else:
        arms = [arm.arm for arm in without.arms]
        if _cells(with_, arms) == _cells(without, arms):
            parts = [_fewer_lost("Transformer", _lost(with_, arms), _lost(without, arms))]
        else:
            parts = [Part("Transformer", "", NOT_MEASURED, "the two searches have other cells")]
    return stated(
        19,
        "Warm-up prevents early divergence",
        "share of AdamW's search that diverges or ends above half the error of guessing, with warm-up minus without",
        parts,
        "transformer and no-warmup: trials.csv",
    )


def _spread(network: str, arm: ArmResult, l2: ArmResult) -> Part:
    """Standard deviations over the fresh seeds of a replicate, in points."""
    where = f"{network}, spread"
    ours, theirs = _deviations(arm), _deviations(l2)
    margin = SPREAD * float(np.mean(list(theirs.values()))) if theirs else math.nan
    tested = lower(differences(ours, theirs), margin)
    word, why = tested.word(edge([l2]), edge([arm]))
    if word == NOT_MEASURED:
        return Part(where, "", word, "no replicate has several fresh seeds of both")
    return Part(where, points(tested), word, why, tested.n)


def _deviations(arm: ArmResult) -> dict[int, float]:
    if arm.rows is None or not values(arm, "test_error"):
        return {}
    found = arm.rows.groupby("replicate")["test_error"].std().dropna()
    return {int(str(unit)): float(spread) for unit, spread in found.items()}


def _fewer_lost(where: str, ours: dict[int, float], theirs: dict[int, float]) -> Part:
    gaps = differences(ours, theirs)
    if gaps and not any([*ours.values(), *theirs.values()]):
        return Part(where, "none was lost in either", NOT_MEASURED, "nothing to prevent", len(gaps))
    tested = lower(gaps, SHARE)
    word, why = tested.word()
    if tested.n and not any(gaps):
        word, why = (FALSE, "the same in all replicates") if len(gaps) > 1 else (OPEN, why)
    return Part(where, points(tested, 1) if tested.n else "", word, why, tested.n)


def _cells(block: BlockResults, arms: Sequence[str]) -> set[tuple[float, float]]:
    rows = block.block.rows
    rows = rows[rows["arm"].isin(arms) & (rows["phase"] == "search")]
    return set(zip(rows["lr"], rows["wd"], strict=True))


def _lost(block: BlockResults, arms: Sequence[str]) -> dict[int, float]:
    """Percent of the search's runs of these arms that were lost, by replicate; {} for one replicate."""
    rows = block.block.rows
    rows = rows[rows["arm"].isin(arms) & (rows["phase"] == "search") & (rows["status"] != "failed")]
    if not block.parts or rows.empty:
        return {}
    guessing = 100 * (1 - 1 / block.block.classes) if block.block.classes else math.inf
    error = pd.to_numeric(rows["val_error"], errors="coerce")
    lost = (rows["status"] == "diverged") | (error > GUESSING * guessing)
    return {int(str(unit)): 100 * float(share) for unit, share in lost.groupby(rows["replicate"]).mean().items()}
