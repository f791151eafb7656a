"""The answer to the question of the title in plain sentences, whatever was run: `answers(blocks)`.

Does AdamW generalize better than Adam? Where other arms were run the sentences are about those.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from runner.analysis.measures import number, telling
from runner.analysis.population import population
from runner.analysis.primary import lacking, primary
from runner.analysis.protocol import REPLICATES
from runner.analysis.statistics import LEVEL
from runner.analysis.study_results import ArmResult, BlockResults
from runner.report.estimates import half, percent
from runner.report.setting import setting

ROOM = 100  # columns: the first of several forms that fits is taken
ONE_BY_ONE = 6  # settings, each with a sentence; more of them are counted
_ADVICE = {
    "no fresh seeds": "no fresh seeds (add final_seeds=5)",
    "on the grid's edge": "a best cell is on the edge of its grid",
    "no spread over replicates": "the difference is the same in all replicates",
}
WORDS = {"lower": "better", "higher": "worse", "equal": "as well"}
_TWIN = {"adam": "optimizer=adam,adamw", "sgd": "optimizer=sgd,sgdw"}


def answer(blocks: Sequence[BlockResults]) -> str:
    """All of `answers` as one line."""
    return " ".join(answers(blocks))


def answers(blocks: Sequence[BlockResults]) -> list[str]:
    """One sentence; over several settings one for each that names it, and what all of them have in common.

    Of more settings than can be read one by one it is a count, with the names of those that are decided.
    """
    main = [result for results in blocks if (result := primary(results)) is not None]
    if not main and (why := next((text for one in blocks if _measured(one) > 1 and (text := lacking(one))), "")):
        return [f"No answer: {why}."]
    if not main:
        return [_nothing_to_compare([result for results in blocks for result in results.arms])]
    if len(blocks) == 1:
        return [_of_one(blocks[0], main[0])]
    if all(not one.replicates for one in main):
        none = f"No verdict about optimizers in any of {len(blocks)} settings"
        return [f"{none}: one replicate each (replicates={2 * REPLICATES})."]
    return _one_by_one(blocks) if len(blocks) <= ONE_BY_ONE else [_counted(blocks, main)]


def _one_by_one(blocks: Sequence[BlockResults]) -> list[str]:
    compared = [(results, result) for results in blocks if (result := primary(results)) is not None]
    judged = [pair for pair in compared if pair[1].replicates and not pair[0].block.measure.on_test]
    shared = {(population(results.block), _count(result)) for results, result in judged}
    alike = len(shared) == 1 and len(judged) > 1
    lines = []
    for results in blocks:
        result = primary(results)
        if result is not None:
            said = _of_one(results, result, brief=alike)
        elif _measured(results) > 1 and (why := lacking(results)):
            said = f"No answer: {why}."
        else:
            said = _nothing_to_compare(results.arms)
        begins = said.startswith(("No ", "Only ", "Nothing ", "Undecided ", "With "))
        lines.append(f"{setting(results.block.label)}: {said[0].lower() if begins else said[0]}{said[1:]}")
    return [*lines, *(f"Each over {over} ({count})." for over, count in shared if alike)]


def _counted(blocks: Sequence[BlockResults], main: Sequence[ArmResult]) -> str:
    arm, other = Counter((one.arm, one.instead or one.reference) for one in main).most_common(1)[0][0]
    same = [one for one in main if (one.arm, one.instead or one.reference) == (arm, other)]
    where: dict[str, list[str]] = {}
    for results in blocks:
        result = primary(results)
        if result in same:
            where.setdefault(word_of(result), []).append(setting(results.block.label))
    counts = [f"{word} in {len(where[word])} ({'; '.join(where[word])})" for word in WORDS.values() if word in where]
    counts += [f"undecided in {len(where['undecided'])}"] if "undecided" in where else []
    have = "has" if len(same) == 1 else "have"
    rest = f"; {len(same)} of {len(blocks)} settings {have} both" if len(same) < len(blocks) else " settings"
    plain = dict.fromkeys(one.reference for one in same if one.instead)
    other = f"the better of {other} and {', '.join(plain)}" if plain else other
    tried = [_tried(results, one) for results in blocks for one in same if one in results.arms]
    first = tried[0] if len(set(tried)) == 1 else ""
    question = f"does {arm} generalize better than {other}?"
    if asked := dict.fromkeys(one.question for one in blocks if one.question):
        first = f"Exploratory, for the study asks for {'; '.join(asked)}: {first}"
    return f"{first}{_capital(question, first)} {_capital(', '.join(counts))}{rest}."


def _capital(text: str, before: str = "") -> str:
    """The text with a capital where it begins a sentence, with nothing `before` it."""
    return text if before else text[0].upper() + text[1:]


def _tried(results: BlockResults, result: ArmResult) -> str:
    """Words that what follows is of one cell of each, or of one weight decay; '' where both arms were searched."""
    both = [arm for arm in results.arms if arm.arm in (result.arm, result.reference)]
    if all(arm.cells == 1 for arm in both):
        return "With the one cell of each that was tried, "
    one = [arm.arm for arm in both if arm.wd_convention and "wd" in arm.not_searched.split()]
    return f"With the one weight decay of {' and of '.join(one)} that was tried, " if one else ""


def _measured(results: BlockResults) -> int:
    return sum(bool(arm.values) for arm in results.arms)


def word_of(result: ArmResult) -> str:
    """'better', 'worse', 'as well' (equal within the margin) or 'undecided'."""
    return WORDS.get(result.verdict, "undecided")


def _count(result: ArmResult) -> str:
    """'6 replicates, 97.5 % interval'; of the usual interval nothing is said."""
    assert result.difference is not None
    value = result.difference.difference
    level = f", {percent(value.level)} interval" if value.level != LEVEL else ""
    return f"{value.n} replicates{level}"


def _of_one(results: BlockResults, result: ArmResult, brief: bool = False) -> str:
    """`brief` leaves out what the replicates are draws of and how many there are."""
    if results.question:
        said = _of_one(replace(results, question=""), result, brief)
        return f"Exploratory, for the study asks for {results.question}: {said}"
    assert result.difference is not None
    block = results.block
    value, digits = result.difference.difference, block.measure.digits
    name = block.measure.report_quantity
    arm, word = result.arm, word_of(result)
    other = f"{result.reference} (no {result.instead} is better)" if result.instead else result.reference
    if word in ("better", "worse"):
        digits = telling(value.mean, digits)
    far = number(abs(value.mean), digits)
    differs = "differs" if far == number(0.0, digits) else "lower" if value.mean < 0 else "higher"
    size = f"{name} {differs} by {far}{half(value, digits)} {results.unit}"
    if math.isnan(value.mean):
        size = f"no difference in {name} is known"
    if block.measure.on_test:
        return _fitting(
            f"No verdict whether {arm} generalizes better than {other}: selected on test; keep a validation split.",
            f"No verdict on {arm} against {other}: selected on test; keep a validation split.",
        )
    if not result.replicates:
        return _of_one_replicate(result, size)
    over, count = ("", "") if brief else (f", over {population(block)}", f" ({_count(result)})")
    where = _tried(results, result)
    if word != "undecided":
        said = f"{arm} generalizes {word} {'as' if word == 'as well' else 'than'} {other}"
        return f"{where}{said}{over}: {size}{count}."
    why = _ADVICE.get(result.verdict_reason, result.verdict_reason)
    open_ = "it is undecided" if where else "Undecided"
    question = f"{where}{open_} whether {arm} generalizes better than {other}{over}"
    return f"{question}: {size}, but {why}." if why else f"{question}: {size}{count}."


def _of_one_replicate(result: ArmResult, size: str) -> str:
    """One search on one split is one draw: what it says is said of its two cells."""
    assert result.difference is not None
    n, kind = result.difference.difference.n, "fresh seed" if result.phase == "final" else "seed"
    pairs = f"{n} paired {kind}{'' if n == 1 else 's'}"
    cells = f"Of these two cells, in this split, {result.arm} against {result.reference}: {size} ({pairs})."
    none = f"No verdict about optimizers: one replicate (replicates={2 * REPLICATES})."
    return f"{none} {cells}" if n else none


def _nothing_to_compare(results: Sequence[ArmResult]) -> str:
    arms = list(dict.fromkeys(result.arm for result in results))
    measured = list(dict.fromkeys(result.arm for result in results if result.values))
    if not measured:
        return "No trial has a result yet: nothing to compare."
    first = measured[0]
    if len(measured) == 1 and len(arms) > 1:
        missing = "; ".join(arm for arm in arms if arm != first)
        return _fitting(
            f"Only {first} has a result: nothing to compare it with; not yet {missing}.",
            f"Only {first} has a result: nothing to compare it with.",
        )
    if len(measured) == 1:
        more = _TWIN.get(results[0].family, "another, such as optimizer=adam,adamw")
        return f"Only {first} was run: nothing to compare it with; add {more}."
    return f"Nothing to compare: {' and '.join(measured[:2])} share no setting."


def _fitting(*forms: str) -> str:
    return next((form for form in forms if len(form) <= ROOM), forms[-1])
