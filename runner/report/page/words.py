"""What a study says, in sentences: `summary(blocks)` and `verdicts(block, results)`; and how much of it is done."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from runner.analysis.arms import Block, prose
from runner.analysis.measures import SIDES, number, telling
from runner.analysis.results import ArmResult
from runner.analysis.select import seed_count
from runner.report.table import Reported
from runner.trials.plan import planned_trials


def listed(words: Sequence[str]) -> str:
    """'a, b and c'."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def summary(blocks: Reported) -> str:
    """One sentence or two: what was compared, on what, with how many trials."""
    if len(blocks) > 1:
        arms = list(dict.fromkeys(prose(arm) for block, _ in blocks for arm in block.arms))
        return (
            f"This study compares {listed(arms)} in {len(blocks)} settings, which are reported one by one and never "
            f"mixed, with {_trials(blocks)}."
        )
    block, found = blocks[0]
    arms = [prose(arm) for arm in block.arms]
    what = f"compares {listed(arms)}" if len(arms) > 1 else f"is about {arms[0]}"
    return f"This study {what} ({block.title}) with {_trials(blocks)}. {_how(block, found)}"


def _trials(blocks: Reported) -> str:
    """'303 trials, 273 of the search and 30 with fresh seeds'."""
    search = sum(int((block.rows["phase"] == "search").sum()) for block, _ in blocks)
    final = sum(int((block.rows["phase"] == "final").sum()) for block, _ in blocks)
    fresh = f"{final} with fresh seeds" if final else "none with fresh seeds"
    return f"{search + final} trials, {search} of the search and {fresh}"


def _how(block: Block, found: Sequence[ArmResult]) -> str:
    seeds = seed_count(block)
    if all(result.cells <= 1 for result in found):
        return "Each arm has one cell, so nothing was selected."
    mean = (
        f"mean {block.measure.select_name.partition(' (')[0]} over {seeds} seeds"
        if seeds not in ("0", "1")
        else (block.measure.select_name.partition(" (")[0] + " of its one seed")
    )
    return f"Each arm is represented by the cell with the smallest {mean}."


def verdicts(block: Block, found: Sequence[ArmResult]) -> list[str]:
    """One sentence per comparison, and the error of each arm; the verdict is that of the tables."""
    unit = "points" if block.measure.is_error else "nats"
    name = block.measure.report_name.partition(" (")[0]
    lines = []
    for result in found:
        if result.difference is None:
            continue
        value = result.difference.difference
        word, _, reason = result.verdict.partition(" (")
        digits = telling(value.mean, block.measure.digits) if word in SIDES else block.measure.digits
        interval = f" (95\u00a0% interval {number(value.low, digits, True)} to {number(value.high, digits, True)})"
        pairs = f"{value.n} paired seed{'s' if value.n != 1 else ''}"
        numbers = f"{number(value.mean, digits, True)} {unit}{interval if value.n > 1 else ''}, {pairs}."
        arm, other = prose(result.arm), prose(result.reference)
        why = f" ({reason}" if reason else ""
        if word in SIDES:
            lines.append(f"{arm} has a **{word}** {name} than {other}{why}: {numbers}")
        elif word == "undecided":
            lines.append(f"Whether {arm} or {other} has the lower {name} is **undecided**{why}: {numbers}")
        else:
            lines.append(f"{arm} against {other}, {name}: **{word or 'no verdict'}**{why}: {numbers}")
    if lines:
        return lines
    measured = [
        f"{prose(result.arm)}: {name} {number(result.values[block.measure.report].mean, block.measure.digits)} "
        f"{'%' if block.measure.is_error else 'nats'}, n = {result.n}; nothing to compare it with."
        for result in found
        if result.values
    ]
    return measured or ["No arm has a result yet."]


def progress(folder: Path, done: Collection[str]) -> str:
    """What plan.csv names and trials.csv has not yet; '' where all is done or there is no plan."""
    planned = planned_trials(folder / "plan.csv")
    left = len(planned - set(done))
    if not left:
        return ""
    have = len(planned) - left
    return (
        f"Not finished: {have} of {len(planned)} planned trials are done ({100 * have // len(planned)} %), {left} are "
        "still to do. Runs of the winners with fresh seeds are planned when the search is done. The numbers below are "
        "those of the rows so far and may change."
    )
