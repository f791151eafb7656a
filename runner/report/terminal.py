"""The comparison as text of at most 100 columns: `terminal_table(blocks)` is the call to know."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from runner.analysis.blocks import Block
from runner.analysis.measures import NOTHING, SIDES, number, short, telling
from runner.analysis.primary import is_exploratory
from runner.analysis.select import NONE_BETTER
from runner.analysis.statistics import LEVEL
from runner.analysis.study_results import ArmResult, BlockResults
from runner.report.answer import answers
from runner.report.chance import at_chance
from runner.report.estimates import half, percent
from runner.report.notes import against, ended, heads, instead, unmeasured
from runner.report.ragged import ragged
from runner.report.replicated import on_edges

COLUMNS = 100
HEAD = ("arm", "best lr", "best wd", "seeds", "val", "test ± 95 %", "gap")
_WIDTHS = (9, 14, 6, 7, 14, 7)  # of the columns between the first and the last
_ARM, _LAST = 18, 17  # of the first and the last, at least


def terminal_table(blocks: Sequence[BlockResults]) -> str:
    """± is the half-width of the 95 % interval, * a winner on its grid's edge; notes below each block.

    Where differences are judged by an interval of another level a note says so.

    The last lines are the `answers` to the question that the study asks.
    """
    lines: list[str] = []
    for results in blocks:
        block = results.block
        unit = "errors in %" if block.measure.is_error else "losses in nats"
        lines += [*([""] if lines else []), *textwrap.wrap(f"{block.marked_title}; {unit}", COLUMNS)]
        first = max(_ARM, *(len(label) + 1 for label in block.arms))
        last = max(_LAST, COLUMNS - first - sum(_WIDTHS))
        head = next(head for head in heads(results) if len(head) < last or head == heads(results)[-1])
        cells = [_cells(block, result, last) for result in results.arms]
        names = [name if name != "seeds" or not results.parts else "repl." for name in HEAD]
        lines += [_line(cells, first, last) for cells in ([*names, head], *cells)]
        notes = [*_footnotes(results), *at_chance(results), *ragged(block), *against(results), *instead(results)]
        lines += [part for note in notes for part in textwrap.wrap(note, COLUMNS, subsequent_indent="  ")]
    lines += ["", *(part for one in answers(blocks) for part in textwrap.wrap(one, COLUMNS))]
    return "\n".join(lines)


def _line(cells: Sequence[str], first: int, last: int) -> str:
    figures = zip(cells[1:], (*_WIDTHS, last), strict=True)
    line = "".join([f"{cells[0]:<{first}}", *(f"{' ' + text:>{width}}" for text, width in figures)]).rstrip()
    while len(line) > COLUMNS and "  " in line:  # wide figures take from the space before them
        before, _, after = line.rpartition("  ")
        line = f"{before} {after}"
    return line if len(line) <= COLUMNS else f"{line[: COLUMNS - 1]}…"


def _cells(block: Block, result: ArmResult, last: int) -> list[str]:
    if not result.values:
        return [result.arm, *[NOTHING] * 7]
    name, digits = block.measure.report, 2 if block.measure.is_error else 3
    test = result.values[name]
    unit = {"normalized": "norm"}.get(result.wd_convention, result.wd_convention.replace("l2", "L2"))
    return [
        result.arm,
        short(result.lr, 3) + ("*" if "lr" in result.edge else ""),
        f"{short(result.wd, 3)} {unit}".strip() + ("*" if "wd" in result.edge or NONE_BETTER in result.edge else ""),
        result.counted(name).replace(" of ", "/"),
        number(result.values[name.replace("test", "val")].mean, digits),
        f"{number(test.mean, digits)}{half(test, digits)}",
        number(result.values[name.replace("test", "gap")].mean, digits),
        _difference(result, digits, last),
    ]


def _difference(result: ArmResult, digits: int, room: int) -> str:
    """'-0.42 ± 0.18 lower', with fewer decimals where that is too long; the reason for 'undecided' is a note."""
    if result.difference is None:
        return NOTHING
    value, word = result.difference.difference, result.verdict_word
    least = telling(value.mean, digits - 1) if word in SIDES else digits - 1  # what is lower is not shown as 0.00
    for places in sorted({max(digits, least), least}, reverse=True):
        text = f"{number(value.mean, places, sign=True)}{half(value, places)} {word}"
        if len(text) < room:
            break
    return text


def _footnotes(results: BlockResults) -> list[str]:
    lines = []
    reported = [result for result in results.arms if result.values]
    if results.level != LEVEL and any(result.difference for result in reported):
        lines.append(f"±: of a difference that of its {percent(results.level)} interval")
    if results.parts and results.protocol.unknown:
        why = "; ".join(results.protocol.unknown)
        lines.append(f"the plan is not known ({why}): judged as if one had looked after every replicate")
    if any(result.edge for result in reported):
        lines.append("* the winner is on the edge of its grid")
    lines += on_edges(results)
    reasons: dict[str, list[str]] = {}
    if others := [result.arm for result in results.arms if is_exploratory(result, results)]:
        reasons["exploratory: not what the study asks, so alpha is not shared with it"] = others
    for result in results.arms:
        for text in (result.remark, result.verdict if "(" in result.verdict else ""):
            if text:
                reasons.setdefault(text, []).append(result.arm)
    lines += [f"{'; '.join(arms)}: {text}" for text, arms in reasons.items()]
    if any(result.units == 1 for result in reported):
        unit, kind = reported[0].unit, results.block.measure.kind
        lines.append(f"one {unit}: no interval; a difference in {kind} between arms may be chance")
    lines += unmeasured(results)
    for word in ("diverged", "failed"):
        counts = [(result.arm, getattr(result, f"search_{word}"), result.trials) for result in results.arms]
        if any(k for _, k, _ in counts):
            lines.append(f"{word} in the search: " + "; ".join(f"{arm} {k} of {n}" for arm, k, n in counts if k))
        if hit := ended(results, word):
            lines.append(f"{word} in the rows reported: {hit}")
    return lines
