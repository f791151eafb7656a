"""Statement 12: AdamW under one cycle against the fastest other arm and schedule, by whole runs of several lengths.

A point on the way of a longer run tells nothing of a schedule, for its rate has not been brought down. So an arm's time
is the length of the shortest run that ends at an error. It lies between two of the lengths that were trained, or is
known to be at most the shortest of them or more than the longest.

The error is the smallest whole percent that all arms with decay come to in every replicate, with either schedule and
the longest of the lengths. It looks at no difference between arms, and leaves no time of these arms unknown above.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from runner.analysis.select import NONE_BETTER
from runner.analysis.shortest import budgets
from runner.analysis.study_results import ArmResult, StudyResults
from runner.folklore.studies import Studies, Study, epochs, missing, values
from runner.folklore.tested import best_of, shorter, times, usual
from runner.folklore.verdict import NOT_MEASURED, OPEN, Part, Verdict, stated

MARGIN = 0.1  # of the other's epochs
Span = tuple[float, float]
CYCLE = ("AdamW", "onecycle")


@dataclass(frozen=True, eq=False)
class Course:
    """An arm under a schedule: its results by length in epochs, and by replicate how many epochs it needs."""

    arm: str
    schedule: str
    arms: Mapping[int, ArmResult]
    spans: Mapping[int, Span]

    @property
    def name(self) -> str:
        return f"{self.arm} with {self.schedule}"

    @property
    def middles(self) -> dict[int, float]:
        """One number by replicate for what may be known by bounds only: the logarithm of the nearest bound."""
        return {unit: math.log2(high if low == 0 else low) for unit, (low, high) in self.spans.items()}

    @property
    def edge(self) -> str:
        """Whether it may be faster than measured, because a winner at a length that mattered is on its grid's edge.

        That no decay is better than any decay is none: the arms without decay are among those compared.
        """
        lengths = sorted(self.arms)
        for low, high in self.spans.values():
            used = [max((one for one in lengths if one <= low), default=lengths[0])]
            used.append(min((one for one in lengths if one >= high), default=lengths[-1]))
            if any(self.arms[one].edge not in ("", NONE_BETTER) for one in used):
                return f"{self.name} is best on the edge of its grid"
        return ""


def fastest(studies: Studies) -> Verdict:
    """The verdict; the rival is the one that is fastest on the other replicates."""
    level, found = _courses(studies["resnet"])
    ours = next((course for course in found if (course.arm, course.schedule) == CYCLE), None)
    rivals = [course for course in found if course is not ours]
    if ours is None or not rivals:
        part = Part("ResNet", "", NOT_MEASURED, missing("resnet"))
    else:
        by_name = {course.name: course for course in rivals}
        names = best_of({name: course.middles for name, course in by_name.items()})
        pairs = {k: (ours, by_name[name]) for k, name in names.items() if k in ours.spans}
        bounds = [ratio(one.spans[k], other.spans[k]) for k, (one, other) in pairs.items()]
        tested = shorter(bounds, math.log2(1 + MARGIN))
        not_true = next((course.edge for course in rivals if course.edge), "")
        word, why = tested.word(not_true, ours.edge)
        if word == NOT_MEASURED:
            word, why = OPEN, "one replicate"
        why = why or (_unknown(pairs) if word == OPEN else "")
        part = Part(f"ResNet, against {usual(names) or 'others'}", times(tested), word, why, tested.n)
    return stated(
        12,
        "AdamW with super-convergence (1cycle) is the fastest way to train",
        f"epochs of the shortest run to {f'{level:g} %' if found else 'a'} test error (the smallest whole percent that "
        "every arm with decay reaches in every replicate), AdamW with one cycle over the fastest other arm",
        [part],
        "resnet: trials.csv, shortest.csv",
    )


def _unknown(pairs: Mapping[int, tuple[Course, Course]]) -> str:
    """Which of these arms' times have one bound only, and in which replicates; '' where none."""
    found: dict[str, list[int]] = {}
    for unit, pair in pairs.items():
        for course in pair:
            low, high = course.spans[unit]
            if math.isinf(high):
                found.setdefault(f"{course.name} never reached it", []).append(unit)
            elif low == 0:
                found.setdefault(f"{course.name} was there with the shortest run", []).append(unit)
    return "; ".join(
        f"{text} in replicate{'s' if len(units) > 1 else ''} {', '.join(map(str, units))}"
        for text, units in found.items()
    )


def _courses(study: Study) -> tuple[float, list[Course]]:
    """The error to reach in percent, and the arms and schedules with replicates at several lengths."""
    whole = StudyResults(study.blocks, *(pd.DataFrame(),) * 3)
    known = []
    for course in (course for one in budgets(whole) for course in one.courses if len(course.reached) > 1):
        arms = {
            epochs(block): arm
            for block in study.blocks
            for arm in block.arms
            if (arm.arm, block.block.settings["schedule"]) == (course.arm, course.schedule)
        }
        errors: dict[int, dict[int, float]] = {}
        for length, arm in arms.items():
            for unit, error in values(arm, "test_error").items():
                errors.setdefault(unit, {})[length] = error
        errors = {unit: of_unit for unit, of_unit in errors.items() if len(of_unit) == len(arms)}
        known.append((course, arms, errors))
    level = to_reach(
        of_unit[max(arms)] for _, arms, errors in known for of_unit in errors.values() if arms[max(arms)].wd_convention
    )
    return level, [
        Course(course.arm, course.schedule, arms, {unit: span(of_unit, level) for unit, of_unit in errors.items()})
        for course, arms, errors in known
    ]


def to_reach(errors: Iterable[float]) -> float:
    """The smallest whole percent that all of these errors are within, in percent; those that are no number are none."""
    return float(max((math.ceil(error) for error in errors if math.isfinite(error)), default=0))


def span(errors: Mapping[int, float], level: float) -> Span:
    """The least and the most epochs that a run may need to come to `level`.

    Args:
        errors: in percent, of whole runs by their length in epochs.
        level: in percent.

    Returns: (0, shortest) where the shortest run is there already; (longest, inf) where none is; else the same number
        twice, read off a straight line in the logarithm of the epochs.
    """
    lengths = sorted(errors)
    first = next((length for length in lengths if errors[length] <= level), None)
    if first is None:
        return float(lengths[-1]), math.inf
    if first == lengths[0]:
        return 0.0, float(first)
    before = lengths[lengths.index(first) - 1]
    share = (errors[before] - level) / (errors[before] - errors[first])
    exact = before * (first / before) ** share
    return exact, exact


def ratio(ours: Span, theirs: Span) -> Span:
    """The least and the largest that log2 of ours over theirs can be."""
    (low, high), (least, most) = ours, theirs
    return _log(low) - _log(most), _log(high) - _log(least)


def _log(value: float) -> float:
    return -math.inf if value == 0 else math.log2(value) if math.isfinite(value) else math.inf
