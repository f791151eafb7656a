"""What each arm of a block reached: its winner's fresh-seed runs, and the paired difference to another arm.

`results(block)` is the call to know. With several replicates each has its own winners, and an arm's numbers are means
over replicates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from runner.analysis.blocks import Block, replicates
from runner.analysis.measures import short
from runner.analysis.protocol import ONE, Protocol
from runner.analysis.references import l2_of, named, references, without
from runner.analysis.select import NONE_BETTER, block_winners, cells, seeds_text
from runner.analysis.statistics import Estimate, detectable, estimate, paired, wilson
from runner.analysis.study_results import ArmResult, BlockResults
from runner.analysis.verdict import ALL_FAILED, OPTIMISTIC, verdict
from runner.analysis.whole import finished, lacking_search

MEASURED = (
    "val_error test_error test_top5_error val_loss test_loss train_loss train_error gap_loss gap_error "
    "epochs_to_target test_ece test_brier"
).split()


def results(block: Block, reference: str = "", protocol: Protocol = ONE) -> BlockResults:
    """One result per arm, in the order of `block.arms`, for all arms, with or without a winner.

    Args:
        block: rows that may be compared, of one or several replicates.
        reference: the arm that the others are compared with; `runner.analysis.references` says which is by default.
        protocol: how differences are judged.

    Raises:
        UserError: where there is no such arm.
    """
    against = references(block, reference)
    parts = {number: _arms(part, against) for number, part in finished(block).items()}
    several = len(replicates(block)) > 1
    if not several:
        arms = next(iter(parts.values()))
    else:
        pooled = _arms(block, against)
        lacking = lacking_search(block, list(parts))
        arms = [
            _over_replicates(arm, {k: one for k, of in parts.items() for one in of if one.arm == arm.arm})
            for arm in pooled
        ]
        arms = [replace(arm, lacking_search=lacking.get(arm.arm, ())) for arm in arms]
    if not (reference and named(list(block.arm_of.values()), reference)):
        arms, parts = _with_the_better(block, arms, parts, against)
    by_label = {result.arm: result for result in arms}
    compared = tuple(_compare(block, result, by_label[result.reference], protocol) for result in arms)
    return BlockResults(
        block,
        compared,
        protocol,
        {k: BlockResults(replicates(block)[k], tuple(arms)) for k, arms in parts.items()} if several else {},
    )


def _with_the_better(
    block: Block, arms: list[ArmResult], parts: dict[int, list[ArmResult]], against: Mapping[str, str]
) -> tuple[list[ArmResult], dict[int, list[ArmResult]]]:
    """The arms, compared with no decay where that is better than any L2 by the validation error over all replicates.

    It is the best that L2 offers then, with no decay beyond it: no grid could be extended to find a better one.
    """
    useless = {arm.arm for arm in arms if arm.edge == NONE_BETTER and arm.wd_convention == "l2"}
    plain = without(block, against, useless)

    def compared(arm: ArmResult) -> ArmResult:
        other = plain[arm.arm]
        if other == arm.reference:
            return arm
        return replace(arm, reference=other, instead="" if arm.arm in (other, arm.reference) else arm.reference)

    return [compared(arm) for arm in arms], {k: [compared(arm) for arm in of] for k, of in parts.items()}


def _arms(block: Block, against: Mapping[str, str]) -> list[ArmResult]:
    """The result of each arm of a block as if it were one replicate, not yet compared."""
    table = cells(block)
    best = {str(row["arm"]): row for row in block_winners(block)}
    return [_arm(block, arm, against[arm], table[table["arm"] == arm], best.get(arm)) for arm in block.arms]


def _over_replicates(pooled: ArmResult, parts: Mapping[int, ArmResult]) -> ArmResult:
    """An arm's result in each replicate as one.

    Args:
        pooled: of all rows as if they were of one replicate: its cell is the best in the mean over all.
        parts: of each replicate that has the arm, by number.
    """
    have = {number: part for number, part in parts.items() if part.rows is not None and part.n}
    if not have:
        return pooled
    rows = pd.concat([part.rows for part in have.values()])
    remarks = Counter(remark for part in have.values() for remark in part.remark.split("; ") if remark)
    every = len(parts)
    whole = replace(
        pooled,
        phase="final" if all(part.phase == "final" for part in have.values()) else "search",
        seeds=tuple(int(seed) for seed in rows["seed"]),
        replicates=tuple(have),
        diverged=sum(part.diverged for part in have.values()),
        failed=sum(part.failed for part in have.values()),
        sampling=(math.nan, math.nan),  # each replicate may have a test set of its own
        remark="; ".join(
            text if count == every else f"{text} (in {count} of {every} replicates)" for text, count in remarks.items()
        ),
        rows=rows,
    )
    return replace(whole, values={name: _of_units(whole, name) for name in MEASURED})


def _of_units(result: ArmResult, name: str) -> Estimate:
    """Over replicates; those without a number are left out only where that means something: epochs to a target."""
    values = list(result.by_unit(name).values())
    if name == "epochs_to_target" or all(map(math.isnan, values)):
        values = [value for value in values if not math.isnan(value)]
    return estimate(values)


def _arm(block: Block, arm: str, reference: str, table: pd.DataFrame, winner: Mapping[str, object] | None) -> ArmResult:
    rows = block.rows[block.rows["arm"] == arm]
    first = rows.iloc[0]
    result = ArmResult(
        arm=arm,
        reference=reference,
        family=str(first["family"]),
        optimizer=str(first["optimizer"]),
        wd_convention=str(first["wd_convention"]) if first["wd"] > 0 else "",
        trials=int(table["trials"].sum()),
        cells=len(table),
        complete_cells=int(table["complete"].sum()),
        search_diverged=int(table["diverged"].sum()),
        search_failed=int(table["failed"].sum()),
        l2=l2_of(block, arm),
    )
    # What other cells were searched with tells nothing about this one: a seed is used up by its own cell's search.
    searched = set(rows.loc[rows["phase"] != "final", ["cell", "seed"]].itertuples(index=False, name=None))
    used = np.array([pair in searched for pair in rows[["cell", "seed"]].itertuples(index=False, name=None)], bool)
    final = rows[(rows["phase"] == "final") & ~used]
    remarks = []
    if winner is None:
        if len(table) or final["cell"].nunique() != 1:
            return replace(result, remark=_no_winner(result, table))
        # Only final runs, of one cell: nothing was selected from these rows.
        chosen, edge, not_searched = final.iloc[0], "", "lr wd"
        remarks.append("no search rows: the cell was chosen elsewhere")
    else:
        chosen = rows[rows["trial"] == winner["trial"]].iloc[0]
        edge, not_searched = str(winner["edge"]), str(winner["not_searched"])
    spent = rows[(rows["phase"] == "final") & (rows["cell"] == chosen["cell"]) & used]
    if len(spent):
        remarks.append(f"final rows with seeds of the search ({seeds_text(spent['seed'])}) are left out")
    # Fresh seeds are the result; without them the search's own runs are shown, and marked as optimistic.
    fresh = final[final["cell"] == chosen["cell"]]
    if len(fresh) and not (fresh["status"] == "failed").all():
        reported, phase = fresh, "final"
    else:
        reported, phase = rows[(rows["phase"] != "final") & (rows["cell"] == chosen["cell"])], "search"
        remarks += [OPTIMISTIC] * (len(table) > 1)  # a single cell was not selected
        if len(fresh):
            remarks.append(ALL_FAILED)
    if kept := _kept(final[final["cell"] != chosen["cell"]]):
        remarks.append(kept)
    good = reported[reported["status"] != "failed"].drop_duplicates("seed", keep="last").sort_values("seed")
    values = {name: _estimate(good, name) for name in MEASURED}
    size = block.test_size if block.measure.is_error else None
    return replace(
        result,
        lr=float(chosen["lr"]),
        wd=float(chosen["wd"]),
        hyper=str(chosen["hyper"]),
        edge=edge,
        not_searched=not_searched,
        phase=phase,
        seeds=tuple(int(seed) for seed in good["seed"]),
        diverged=int((good["status"] == "diverged").sum()),
        failed=int((reported["status"] == "failed").sum()),
        values=values,
        sampling=wilson(values["test_error"].mean, size) if size else (math.nan, math.nan),
        remark="; ".join(remarks),
        rows=good,
    )


def _kept(others: pd.DataFrame) -> str:
    """Marks fresh rows of cells that are not the winner: a former one, or one that tells the noise of a map."""
    points = [
        f"lr {short(lr)}, wd {short(wd)}" for lr, wd in dict.fromkeys(zip(others["lr"], others["wd"], strict=True))
    ]
    if not points:
        return ""
    where = points[0] if len(points) == 1 else f"{points[0]} and {len(points) - 1} more"
    what = "another cell, such as a former winner" if len(points) == 1 else "other cells, such as former winners"
    return f"fresh rows of {what} ({where}), are kept and not reported"


def _no_winner(result: ArmResult, table: pd.DataFrame) -> str:
    if result.trials and result.search_failed == result.trials:
        return f"all {result.trials} trials failed"
    if not len(table):
        return "no search rows"
    return "no winner: no search row has numbers"


def _estimate(rows: pd.DataFrame, name: str) -> Estimate:
    """Over all runs that measured it, and n says how many; epochs to target over those that reached it.

    A diverged run has no loss, and without it the mean would flatter.
    """
    values = rows[name]
    if name == "epochs_to_target" or not values.notna().any():
        return estimate(values.dropna())
    return estimate(values[values.notna() | (rows["status"] == "diverged")])


def _compare(block: Block, result: ArmResult, reference: ArmResult, protocol: Protocol) -> ArmResult:
    if result.arm == result.reference or result.rows is None or reference.rows is None:
        return result
    name = block.measure.report
    pairs = paired(result.by_unit(name), reference.by_unit(name))
    pairs = replace(pairs, difference=protocol.judged(pairs.difference)) if result.replicates else pairs
    value = pairs.difference
    return replace(
        result,
        difference=pairs,
        detectable=math.nan if protocol.looks else detectable(value.std, value.n, alpha=1 - value.level),
        verdict=verdict(block, result, reference, value, protocol),
    )
