"""Statements about stability, 14 and 19: how far seeds differ, and how many runs diverge or fail.

Too much decay is no instability: a run that it holds at the error of guessing does what it was told. So statement 14
counts runs that diverged, and statement 19 counts as failed also those that learned little without decay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from runner.analysis.measures import number
from runner.analysis.study_results import ArmResult, BlockResults
from runner.folklore.studies import NETWORKS, Studies, adamw, edge, missing, values
from runner.folklore.tested import differences, lower, points
from runner.folklore.verdict import FALSE, NOT_MEASURED, OPEN, Part, Verdict, stated

SPREAD = 0.25  # of the other arm's spread, within which two are alike
SHARE = 5.0  # percent of the runs, within which two are alike
GUESSING = 0.5  # times the error of guessing, above which a run has failed


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
        ours, theirs = (_share(_search(block, one.arm), _diverged) for one in (arm, l2))
        parts.append(_fewer(f"{network}, diverged runs", ours, theirs, "none in either arm"))
    return stated(
        14,
        "AdamW is more stable",
        "AdamW minus Adam + L2: spread of the test error over seeds; share of the search's runs that diverge",
        parts,
        "resnet and transformer: trials.csv",
    )


def warm_up(studies: Studies) -> Verdict:
    """Statement 19: the same rates without decay, with and without a warm-up."""
    blocks = studies["no-warmup"].blocks
    with_, without = (_plain([one for one in blocks if _warms_up(one) == warm]) for warm in (True, False))
    if with_ is None or without is None:
        part = Part("Transformer", "", NOT_MEASURED, missing("no-warmup"))
    elif set(with_["lr"]) != set(without["lr"]):
        part = Part("Transformer", "", NOT_MEASURED, "the two searches have other rates")
    else:
        rates = f"rates {number(with_['lr'].min())} to {number(with_['lr'].max())}"
        ours, theirs = (_share(rows, _failed) for rows in (with_, without))
        part = _fewer(f"Transformer, {rates}", ours, theirs, "none failed in either, so there was nothing to prevent")
    return stated(
        19,
        "Warm-up prevents early divergence",
        "at high rates without decay, share of runs that diverge or end above half the error of guessing, with warm-up "
        "minus without",
        [part],
        "no-warmup: trials.csv",
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


def _fewer(where: str, ours: dict[int, float], theirs: dict[int, float], none: str) -> Part:
    """Whether the first share is lower, by replicate in percent; `none` says what it means that both are 0."""
    gaps = differences(ours, theirs)
    if gaps and not any([*ours.values(), *theirs.values()]):
        return Part(where, "", NOT_MEASURED, none, len(gaps))
    tested = lower(gaps, SHARE)
    word, why = tested.word()
    if tested.n and not any(gaps):
        word, why = (FALSE, "the same in all replicates") if len(gaps) > 1 else (OPEN, why)
    means = (number(float(np.mean(list(one.values()))), 0) for one in (ours, theirs)) if tested.n else ()
    text = f"{' and '.join(means)} %, {points(tested, 1)}" if tested.n else ""
    return Part(where, text, word, why, tested.n)


def _warms_up(block: BlockResults) -> bool:
    settings = block.block.settings
    return any(float(settings.get(f"schedule.warmup_{unit}", 0)) > 0 for unit in ("steps", "epochs"))


def _search(block: BlockResults, arm: str) -> pd.DataFrame:
    """An arm's runs of the search, with their block's error of guessing; none for one replicate."""
    rows = block.block.rows
    guessing = 100 * (1 - 1 / block.block.classes) if block.block.classes else math.inf
    kept = rows[(rows["arm"] == arm) & (rows["phase"] == "search") & (rows["status"] != "failed")]
    return (kept if block.parts else kept.iloc[:0]).assign(guessing=guessing)


def _plain(blocks: Sequence[BlockResults]) -> pd.DataFrame | None:
    """The search of Adam without decay in the only block; None where there is none, or none such."""
    arm = blocks[0].no_decay("adam") if len(blocks) == 1 else None
    return _search(blocks[0], arm.arm) if arm else None


def _diverged(rows: pd.DataFrame) -> pd.Series:
    return rows["status"] == "diverged"


def _failed(rows: pd.DataFrame) -> pd.Series:
    error = pd.to_numeric(rows["val_error"], errors="coerce")
    return _diverged(rows) | (error > GUESSING * rows["guessing"])


def _share(rows: pd.DataFrame, happened: Callable[[pd.DataFrame], pd.Series]) -> dict[int, float]:
    """Percent of these runs to which it happened, by replicate."""
    shares = happened(rows).groupby(rows["replicate"]).mean()
    return {int(str(unit)): 100 * float(share) for unit, share in shares.items()}
