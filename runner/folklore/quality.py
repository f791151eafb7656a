"""Statements about how good the result is: 8, 11, 15, 17, 18 and 20, by the fresh runs of each arm's winner."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from runner.analysis.study_results import ArmResult, BlockResults
from runner.folklore.studies import NETWORKS, Studies, adamw, edge, family, missing, values
from runner.folklore.tested import Tested, Values, best_of, differences, lower, no_worse, points, taken, times, usual
from runner.folklore.verdict import NOT_MEASURED, Part, Verdict, stated

MARGIN = 0.05  # of the other arm's error or loss
ERROR = "test_error"
Test = Callable[[Iterable[float], float], Tested]


def generalizes(studies: Studies) -> Verdict:
    """Statement 8: AdamW's error against that of Adam + L2."""
    parts = []
    for name, network in NETWORKS.items():
        block = studies[name].main
        arm, l2 = adamw(block), block.l2("adam") if block else None
        parts.append(_part(network, values(arm, ERROR), values(l2, ERROR), lower, [arm], [l2], missing(name)))
    return stated(
        8,
        "AdamW generalizes better than Adam, especially for Transformers (BERT, ViT); Adam + L2 suits small tasks",
        "test error, AdamW minus Adam + L2; true: lower on both networks",
        parts,
        "resnet and transformer: generalization.csv",
    )


def no_switching(studies: Studies) -> Verdict:
    """Statement 11: AdamW against the best of SGD's arms, which is chosen on the other replicates."""
    parts = []
    for name, network in NETWORKS.items():
        block = studies[name].main
        arm, rivals = adamw(block), family(block, "sgd") if block else []
        errors = {one.arm: values(one, ERROR) for one in rivals}
        names = best_of(errors)
        where = f"{network}, against {usual(names)}" if names else network
        part = _part(where, values(arm, ERROR), taken(errors, names), no_worse, [arm], rivals, missing(name))
        parts.append(part)
    return stated(
        11,
        "With AdamW one need no longer switch between SGD and Adam",
        f"test error, AdamW minus the best of SGD + L2, SGDW and SGD; true: not worse by {100 * MARGIN:g} %",
        parts,
        "resnet and transformer: generalization.csv",
    )


def ramp(studies: Studies) -> Verdict:
    """Statement 20: AdamW with a decay that ramps up against AdamW without."""
    block = studies["ramp"].main
    arms = block.decoupled("adam") if block else []
    with_, without = ([arm for arm in arms if ("beta2_ramp" in arm.arm) == ramped] for ramped in (True, False))
    one, other = next(iter(with_), None), next(iter(without), None)
    part = _part("ResNet", values(one, ERROR), values(other, ERROR), lower, [one], [other], missing("ramp"))
    return stated(
        20,
        "The decay should ramp up, lambda_t = lambda_0 sqrt(1 - beta2^t)",
        "test error of AdamW, with the ramp minus without; true: lower",
        [part],
        "ramp: generalization.csv",
    )


def rules(studies: Studies) -> list[Verdict]:
    """Statements 17 and 18: AdamW whose decay is by a rule and whose rate is tuned, against AdamW with both tuned."""
    tuned_block = studies["resnet"].main
    tuned = adamw(tuned_block)
    said = ((17, "lr x wd of about 1e-4", "rule-product"), (18, "wd = 0.1 / batch size", "rule-batch"))
    found = []
    for index, rule, name in said:
        block = studies[name].main
        one = adamw(block)
        alike = bool(block and tuned_block and _same_task(block, tuned_block))
        ruled = values(one, ERROR) if alike else {}
        # The rule gives each rate one decay, which is on no edge.
        own = [one] if one and "lr" in one.edge else []
        part = _part("ResNet", ruled, values(tuned, ERROR), no_worse, own, [tuned], missing(name, "resnet"))
        measured = f"test error of AdamW, decay by the rule minus tuned; true: not worse by {100 * MARGIN:g} %"
        behind = f"{name} and resnet: generalization.csv"
        found.append(stated(index, f"A good decay: {rule}", measured, [part], behind))
    return found


def training_loss(studies: Studies) -> Verdict:
    """Statement 15: AdamW's training loss over that of Adam + L2, each at the cell that validates best."""
    parts = []
    for name, network in NETWORKS.items():
        block = studies[name].main
        arm, l2 = adamw(block), block.l2("adam") if block else None
        logs = [_logs(values(one, "train_loss")) for one in (arm, l2)]
        tested = lower(differences(*logs), math.log2(1 + MARGIN))
        word, why = tested.word(edge([l2] if l2 else []), edge([arm] if arm else []))
        text = times(tested) if tested.n else ""
        parts.append(Part(network, text, word, why or (missing(name) if not tested.n else ""), tested.n))
    return stated(
        15,
        "AdamW has the lower training loss",
        "training loss, AdamW over Adam + L2; true: lower on both networks",
        parts,
        "resnet and transformer: generalization.csv",
    )


def _part(
    where: str,
    ours: Values,
    theirs: Values,
    test: Test,
    arms: Sequence[ArmResult | None],
    rivals: Sequence[ArmResult | None],
    command: str,
) -> Part:
    """A difference of errors in points.

    Args:
        where: what it was measured on.
        ours, theirs: errors by replicate; the first minus the second is tested.
        test: `lower` or `no_worse`, with a margin relative to the mean of `theirs`.
        arms: may be better than measured where they are on an edge, so then nothing is called false.
        rivals: likewise, and then nothing is called true.
        command: makes what is missing.
    """
    gaps = differences(ours, theirs)
    margin = MARGIN * float(np.mean(list(theirs.values()))) if theirs else math.nan
    tested = test(gaps, margin)
    word, why = tested.word(edge([arm for arm in rivals if arm]), edge([arm for arm in arms if arm]))
    if word == NOT_MEASURED:
        return Part(where, "", word, command)
    return Part(where, points(tested), word, why, tested.n)


def _logs(losses: Values) -> dict[int, float]:
    return {unit: math.log2(loss) if loss > 0 else math.nan for unit, loss in losses.items()}


def _same_task(a: BlockResults, b: BlockResults) -> bool:
    """Whether replicates of the same number have the same split, schedule and length."""
    return all(
        a.block.settings.get(key) == b.block.settings.get(key)
        for key in ("model", "dataset", "dataset.hash", "epochs", "schedule", "batch_size")
    )
