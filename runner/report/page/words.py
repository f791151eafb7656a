"""What a study says, in sentences: `summary(blocks)` and `verdicts(results)`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runner.analysis.measures import SIDES, number, short, telling
from runner.analysis.primary import is_exploratory
from runner.analysis.select import seed_count
from runner.analysis.statistics import Estimate
from runner.analysis.study_results import BlockResults
from runner.claims.claim import Claim
from runner.report.estimates import percent
from runner.report.setting import names_of


def listed(words: Sequence[str]) -> str:
    """'a, b and c'."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def summary(blocks: Sequence[BlockResults]) -> str:
    """One sentence or two: what was compared, on what, with how many trials."""
    arms = list(dict.fromkeys(arm.prose for results in blocks for arm in results.block.arm_of.values()))
    if len(blocks) > 1:
        return (
            f"This study compares {listed(arms)} in {len(blocks)} settings, which are reported one by one and never "
            f"mixed, with {_trials(blocks)}."
        )
    what = f"compares {listed(arms)}" if len(arms) > 1 else f"is about {arms[0]}"
    return f"This study {what} ({blocks[0].block.title}) with {_trials(blocks)}. {_how(blocks[0])}"


def _trials(blocks: Sequence[BlockResults]) -> str:
    """'303 trials, 273 of the search and 30 with fresh seeds'."""
    search, final = (
        sum(int(results.block.rows["phase"].isin(phases).sum()) for results in blocks)
        for phases in (("search", "refine"), ("final",))
    )
    fresh = f"{final} with fresh seeds" if final else "none with fresh seeds"
    return f"{search + final} trials, {search} of the search and {fresh}"


def _how(results: BlockResults) -> str:
    if all(result.cells <= 1 for result in results.arms):
        return "Each arm has one cell, so nothing was selected."
    seeds, name = seed_count(results.block), results.block.measure.select_quantity
    if results.parts:
        count = len(results.parts)
        return f"In each of {count} replicates an arm is represented by the cell with the smallest {name} there."
    mean = f"{name} of its one seed" if seeds in ("0", "1") else f"mean {name} over {seeds} seeds"
    return f"Each arm is represented by the cell with the smallest {mean}."


def primary_claims(claims: Sequence[Claim], blocks: Sequence[BlockResults]) -> list[str]:
    """A sentence for each claim that the study named beforehand, with its verdict; or that it speaks to none such."""
    lines = []
    if (named := blocks[0].protocol.primary) and not any(claim.is_primary for claim in claims):
        lines.append(f"The claim that this study is for, {named}, is **not judged**: no setting has what it is about.")
    primary = [claim for claim in claims if claim.is_primary]
    for claim, name in zip(primary, names_of(primary), strict=True):
        e, why = claim.evidence, f" ({claim.because})" if claim.because else ""
        value = ""
        if e:
            ends = (
                f"{short(e.low, 3)} to {short(e.high, 3)}" if math.isfinite(e.high - e.low) else "without ends as yet"
            )
            interval = f"{percent(claim.level)} interval {ends}, n = {e.n}".replace(" %", "\u00a0%")
            value = f" {claim.statistic[:1].upper()}{claim.statistic[1:]}: {short(e.value, 3)}, {interval}."
        lines.append(f"The claim that this study is for: {name}. It is **{claim.verdict}**{why}.{value}")
    return lines


def _interval(value: Estimate, digits: int) -> str:
    """Of a confidence sequence of too few replicates that it has no ends yet."""
    if value.n < 2 or math.isnan(value.half):
        return ""
    level = percent(value.level).replace(" ", "\u00a0")
    ends = f"{number(value.low, digits, True)} to {number(value.high, digits, True)}"
    return f" ({level} interval {ends if math.isfinite(value.half) else 'without ends as yet'})"


def verdicts(results: BlockResults) -> list[str]:
    """One sentence per comparison, or the error of each arm where none is; the verdict is that of the tables."""
    block, prose = results.block, {label: arm.prose for label, arm in results.block.arm_of.items()}
    name = block.measure.report_quantity
    lines = []
    for result in results.arms:
        if result.difference is None:
            continue
        value = result.difference.difference
        word = result.verdict_word
        digits = telling(value.mean, block.measure.digits) if word in SIDES else block.measure.digits
        pairs = f"{value.n} paired {result.unit}{'s' if value.n != 1 else ''}"
        numbers = f"{number(value.mean, digits, True)} {results.unit}{_interval(value, digits)}, {pairs}."
        numbers += f" No {result.instead} that was tried is better than no decay." if result.instead else ""
        arm, other = prose[result.arm], prose[result.reference]
        margin = f"{short(results.protocol.equal_within)} % of the latter's"
        reason = "exploratory" if is_exploratory(result, results) else result.verdict_reason
        why = f" ({reason})" if reason else ""
        if word == "equal":
            lines.append(f"{arm} and {other} have **equal** {name}s{why}, within {margin}: {numbers}")
        elif word in SIDES:
            lines.append(f"{arm} has a **{word}** {name} than {other}{why}: {numbers}")
        elif word == "undecided":
            lines.append(f"Whether {arm} or {other} has the lower {name} is **undecided**{why}: {numbers}")
        else:
            lines.append(f"{arm} against {other}, {name}: **{word or 'no verdict'}**{why}: {numbers}")
    if lines:
        return lines
    measured = [
        f"{prose[result.arm]}: {name} {number(result.values[block.measure.report].mean, block.measure.digits)} "
        f"{'%' if block.measure.is_error else 'nats'}, n = {result.counted(block.measure.report)}"
        f"{' replicates' if result.replicates else ''}; nothing to compare it with."
        for result in results.arms
        if result.values
    ]
    return measured or ["No arm has a result yet."]
