"""Statements about speed, 9 and 13: epochs to a target within a run. 12 is in `runner.folklore.shortest_run`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from runner.analysis.measures import number
from runner.analysis.study_results import ArmResult, BlockResults
from runner.folklore.studies import NETWORKS, Studies, adamw, edge, epochs, family, missing, values
from runner.folklore.tested import best_of, differences, lower, points, taken, usual
from runner.folklore.verdict import FALSE, NOT_MEASURED, TRUE, Part, Verdict, stated

MARGIN = 0.1  # of the other arm's epochs
LESS = 0.99  # times the other's memory, and less, is less


def cheaper(studies: Studies, checks: Mapping[str, float]) -> Verdict:
    """Statement 9: fewer epochs and less memory, as a blog's table for ResNet-50 has it."""
    parts = []
    for name, network in NETWORKS.items():
        block = studies[name].main
        l2 = block.l2("adam") if block else None
        parts.append(_sooner(network, block, [l2] if l2 else [], missing(name)))
    for name, network in NETWORKS.items():
        ratio = checks[f"{name}_adamw_peak"] / checks[f"{name}_adam_peak"]
        parts.append(Part(f"{network}, memory", f"{number(ratio)} times", TRUE if ratio < LESS else FALSE))
    return stated(
        9,
        "ResNet-50 on ImageNet: Adam 76.2 % top-1, 120 epochs to converge, 10.3 GB; AdamW 77.1 %, 90 epochs, 9.8 GB",
        "that AdamW needs fewer epochs to the target and less memory in a training step than Adam + L2",
        parts,
        "resnet and transformer: trials.csv, epochs_to_target; checks.csv: *_peak",
    )


def converges(studies: Studies) -> Verdict:
    """Statement 13: AdamW against the fastest of SGD's arms, which is chosen on the other replicates."""
    parts = []
    for name, network in NETWORKS.items():
        block = studies[name].main
        parts.append(_sooner(network, block, family(block, "sgd") if block else [], missing(name)))
    return stated(
        13,
        "AdamW converges faster than SGD",
        "epochs to the target, AdamW minus the fastest of SGD + L2, SGDW and SGD, each at its best cell",
        parts,
        "resnet and transformer: trials.csv, epochs_to_target",
    )


def _sooner(network: str, block: BlockResults | None, rivals: Sequence[ArmResult], command: str) -> Part:
    """Whether AdamW reaches the target in fewer epochs than the fastest rival."""
    arm = adamw(block)
    if block is None or arm is None or not values(arm, "test_error") or not rivals:
        return Part(network, "", NOT_MEASURED, command)
    counted = {one.arm: needed(block, one) for one in rivals}
    names = best_of(counted)
    best = taken(counted, names)
    where = f"{network}, against {usual(names)}" if names and len(rivals) > 1 else network
    rival = next((one for one in rivals if one.arm == usual(names)), rivals[0])
    ours, theirs = reached(arm), reached(rival)
    if max(ours, theirs) < 0.5:
        text = f"{number(100 * ours, 0)} and {number(100 * theirs, 0)} % of the runs reached the target"
        return Part(where, text, NOT_MEASURED)
    margin = MARGIN * float(np.mean(list(best.values()))) if best else math.nan
    tested = lower(differences(needed(block, arm), best), margin)
    # A run that did not reach it took longer than it was counted.
    not_true = edge(rivals) or ("most of AdamW's runs did not reach it" if ours < 0.5 else "")
    not_false = edge([arm]) or ("most of the rival's runs did not reach it" if theirs < 0.5 else "")
    word, why = tested.word(not_true, not_false)
    return Part(where, points(tested, 1, "epochs"), word, why, tested.n)


def needed(block: BlockResults, arm: ArmResult) -> dict[int, float]:
    """Mean epochs to target by replicate; a run that never reached it took one epoch more than it had."""
    if arm.rows is None or not values(arm, "test_error"):
        return {}
    needed = pd.to_numeric(arm.rows["epochs_to_target"], errors="coerce").fillna(epochs(block) + 1)
    means = needed.groupby(arm.rows["replicate"]).mean()
    return {int(str(unit)): float(mean) for unit, mean in means.items()}


def reached(arm: ArmResult) -> float:
    """The share of its runs that reached the target."""
    return float(arm.rows["epochs_to_target"].notna().mean()) if arm.rows is not None and len(arm.rows) else 0.0
