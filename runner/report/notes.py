"""The plain sentences below a table: how it was selected, what it can and cannot tell.

`notes(results)` is the call to know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from runner.analysis.arms import L2, NO_DECAY
from runner.analysis.blocks import replicates
from runner.analysis.measures import number, short
from runner.analysis.neighbours import narrow
from runner.analysis.primary import intended
from runner.analysis.select import choices, search_seeds, seeds_text
from runner.analysis.study_results import ArmResult, BlockResults
from runner.analysis.verdict import OPTIMISTIC
from runner.report import tuning
from runner.report.chance import at_chance
from runner.report.ragged import ragged
from runner.report.replicated import on_edges, replicated


def notes(results: BlockResults) -> list[str]:
    """One sentence or two per subject; subjects that do not arise are left out."""
    return [
        *_selection(results),
        *replicated(results),
        *_reporting(results.arms),
        *_precision(results),
        *tuning.note(results),
        *_warnings(results),
    ]


def heads(results: BlockResults) -> tuple[str, ...]:
    """What the column of differences is called, the longest form first: it names the arm that all are compared with."""
    others = [results.block.arm_of[label] for label in _compared_with(results)]
    if others and all(other.kind == L2 for other in others):  # each with the L2 of its family
        return ("difference to L2",)
    if len(others) != 1:
        return ("difference",)
    other = others[0]
    short = f"difference to {NO_DECAY if other.kind == NO_DECAY else other.label}"
    return (f"difference to {other.label}", short, f"to {other.label}", "difference")


def against(results: BlockResults) -> list[str]:
    """One sentence that says what each arm is compared with, where the head of the column does not."""
    others = _compared_with(results)
    if not others or heads(results) != ("difference",):
        return []
    return ["differences: " + "; ".join(f"{_by_arm(arms)} to {other}" for other, arms in others.items())]


def instead(results: BlockResults) -> list[str]:
    """A sentence for each L2 in whose place others are compared with no decay."""
    places: dict[tuple[str, str], list[ArmResult]] = {}
    for arm in results.arms:
        if arm.difference and arm.instead:
            places.setdefault((arm.instead, arm.reference), []).append(arm)
    return [
        f"{_by_arm(arms)}: compared with {plain} in place of {l2}, of which no decay that was tried is better by "
        f"{results.block.measure.select_quantity}; chosen on validation data, so it takes no part of alpha"
        for (l2, plain), arms in places.items()
    ]


def _compared_with(results: BlockResults) -> dict[str, list[ArmResult]]:
    others: dict[str, list[ArmResult]] = {}
    for arm in results.arms:
        if arm.difference:
            others.setdefault(arm.reference, []).append(arm)
    return others


def ended(results: BlockResults, word: str) -> str:
    """How many of the runs reported are 'diverged' or 'failed', by arm: 'AdamW 1 of 5'; '' for none."""
    counts = [(result.arm, getattr(result, word), result.n + result.failed) for result in results.arms]
    return "; ".join(f"{arm} {k} of {n}" for arm, k, n in counts if k)


def unmeasured(results: BlockResults) -> list[str]:
    """A sentence for each arm of which runs that ended well have no number: of an older version, or edited."""
    name, lines = results.block.measure.report, []
    for result in results.arms:
        known = result.measured(name)
        if known is not None and len(known) < result.n:
            what = f"{result.n - len(known)} of its {result.n} reported runs"
            lines.append(f"{result.arm}: {what} have no {results.block.measure.report_quantity}, and are left out")
    return lines


def _by_arm(arms: Sequence[ArmResult]) -> str:
    return "; ".join(arm.arm for arm in arms)


def _selection(results: BlockResults) -> list[str]:
    block = results.block
    needed, given_up = search_seeds(block)
    if not needed:
        return ["Nothing was selected: there is no search row with numbers."]
    measure, several = block.measure, len(replicates(block))
    seeds = f"{len(needed)} search seed{'s' if len(needed) > 1 else ''} ({seeds_text(needed)})"
    if len({choice.shared for choice in choices(block).values()}) > 1:
        seeds = "the search seeds of its arm"
    elif several > 1:
        seeds = f"the search seeds of a replicate ({len(needed)} in {several} replicates)"
    name = measure.select_quantity
    ties = measure.tie.replace("val_", "validation ").replace("test_", "test ")
    if all(result.cells <= 1 for result in results.arms):
        lines = ["Selection: none, each arm has one cell: what is compared holds for these values of lr and wd only."]
    else:
        mean, each = "mean " if len(needed) > 1 else "", _each(several)
        lines = [
            f"Selection: per arm{each}, the cell with the smallest {mean}{name} over {seeds}; "
            f"ties go to the smaller {ties}, then the smaller lr. A diverged run counts as chance level."
        ]
    if measure.on_test:
        lines.append(
            "There is no validation split (val_size = 0): everything here is selected on test, so test numbers "
            "are optimistic and no verdict is given."
        )
    partial = [result for result in results.arms if result.complete_cells < result.cells]
    if partial:
        counts = "; ".join(f"{result.arm} {result.complete_cells} of {result.cells}" for result in partial)
        lines.append(f"Partial search: cells that have all {seeds}: {counts}. Cells are compared on common seeds.")
    if given_up:
        lines.append(f"Search seeds {seeds_text(given_up)} are left out of the selection: most cells lack them.")
    lines += [f"{line[:1].upper()}{line[1:]}." for line in ragged(block)]
    searched = [result for result in results.arms if result.wd_convention and result.cells]
    for family in dict.fromkeys(result.family for result in searched):
        twins = [result for result in searched if result.family == family]
        if len({result.cells for result in twins}) > 1:
            counts = "; ".join(f"{result.arm} {result.cells}" for result in twins)
            lines.append(f"The arms were not searched alike (cells: {counts}): the larger search has an advantage.")
    return lines


def _each(several: int) -> str:
    return " and replicate" if several > 1 else ""


def _reporting(arms: Sequence[ArmResult]) -> list[str]:
    lines = []
    final = [result for result in arms if result.phase == "final"]
    same = [result for result in arms if OPTIMISTIC in result.remark]
    only = [result for result in arms if result.phase == "search" and OPTIMISTIC not in result.remark]
    if final:
        counts = {result.arm: result.n for result in final}
        each = f"n = {final[0].n}" if len(set(counts.values())) == 1 else f"n = {', '.join(map(str, counts.values()))}"
        several = any(result.replicates for result in final)
        which = "" if several else f": {seeds_text(sorted({seed for result in final for seed in result.seeds}))}"
        lines.append(
            f"Results of {_by_arm(final)} come from fresh seeds that the search did not use ({each}{which}); errors "
            f"are those of the last epoch; intervals are Student-t, 95 %, over {final[0].unit}s."
        )
    if same:
        lines.append(
            f"{_by_arm(same)}: selected and reported on the same seeds, which is optimistic; only runs with fresh "
            "seeds (phase 'final') would be results."
        )
    if only:
        lines.append(f"{_by_arm(only)}: one cell, so nothing was selected and its search seeds are reported.")
    lines += [f"{result.arm}: {result.remark}." for result in arms if result.remark and result not in same]
    lines += [f"{result.arm}: {result.remark.partition('; ')[2]}." for result in same if "; " in result.remark]
    return lines


def _precision(results: BlockResults) -> list[str]:
    block, lines = results.block, []
    if block.test_size and block.measure.is_error:
        sentence = f"One of the {block.test_size} test examples is worth {number(100 / block.test_size, 3)} points"
        known = [result for result in results.arms if math.isfinite(result.sampling[0])]
        if known:
            parts = [
                f"{result.arm} {number(result.values['test_error'].mean)} % "
                f"[{number(result.sampling[0])}, {number(result.sampling[1])}]"
                for result in known
            ]
            sentence += f"; the size of the test set alone leaves these 95 % (Wilson) intervals: {'; '.join(parts)}"
            sentence += ". More seeds do not narrow them; arms share the test set, so differences suffer less"
        lines.append(sentence + ".")
    compared = [result for result in results.arms if result.difference and math.isfinite(result.detectable)]
    if compared:
        parts = [
            f"{result.arm} against {result.reference} {number(result.detectable, block.measure.digits)} {results.unit} "
            f"(n = {result.difference.difference.n} pairs of {result.unit}s)"
            for result in compared
            if result.difference
        ]
        lines.append(
            f"Smallest true difference in {block.measure.report_name} that so many pairs find with 80 % power "
            f"at the two-sided {short(100 * (1 - results.level))} % level: {'; '.join(parts)}. Formula: "
            "nc * sd / sqrt(n), sd of the paired differences, nc the noncentrality of Student's t (Cohen 1988)."
        )
    lines += [f"{line[:1].upper()}{line[1:]}." for line in [*against(results), *instead(results)]]
    decided = [result for result in results.arms if result.difference]
    if len(decided) > 1:
        main = intended(results)
        asked = f" That of {main.arm} is what the study asks, the others are exploratory." if main else ""
        if results.question:
            asked = f" The study asks for {results.question}, so these are exploratory."
        lines.append(f"The {len(decided)} differences are judged one by one, not corrected for being several.{asked}")
    dropped = sorted({seed for result in decided if result.difference for seed in result.difference.dropped})
    if dropped:
        what = f"{decided[0].unit.capitalize()}s"
        lines.append(f"{what} {seeds_text(dropped)} have no partner in the other arm and are left out of differences.")
    return lines


def _warnings(results: BlockResults) -> list[str]:
    lines = [f"{line}." for line in [*unmeasured(results), *at_chance(results)]]
    single = [result for result in results.arms if result.units == 1]
    if single:
        lines.append(
            f"One {single[0].unit} only: {_by_arm(single)}. No interval can be given; a difference may be chance."
        )
    lines += [f"{line}." for line in narrow(results)]
    settled = {result.instead for result in results.arms}  # no decay has taken its place
    edge = [result for result in results.arms if result.edge and result.arm not in settled]
    if edge:
        where = "; ".join(f"{result.arm} ({result.edge})" for result in edge)
        lines.append(
            f"On the edge of its grid: {where}. A better cell may lie outside, so where such an arm is not ahead the "
            "comparison stays undecided."
        )
    lines += [f"{line[:1].upper()}{line[1:]}." for line in on_edges(results)]
    for word in ("diverged", "failed"):
        if hit := ended(results, word):
            how = "counted at chance level" if word == "diverged" else "without numbers, so not in any mean"
            lines.append(f"Of the runs reported {word}: {hit}; {how}.")
    for column, what in (("version", "versions of the program"), ("device", "devices"), ("torch", "versions of torch")):
        seen = sorted({str(value) for value in results.block.rows[column]} - {""})
        if len(seen) > 1:
            named = ("cpu (its kind is not on record)" if value == "cpu" else value for value in seen)
            lines.append(f"The rows come from {len(seen)} {what}: {'; '.join(named)}.")
    return lines
