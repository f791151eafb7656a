"""The shortest budget that reaches an error, from whole runs of several lengths: `budgets(study)`.

A budget is the epochs of a run from its beginning to its end, under a schedule that was made for that length: a point
on the way of a longer run is none, for its rate has not been brought down. Each length has a search and a winner of its
own, and its error is that of runs that did not choose the winner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.analysis.measures import Measure
from runner.analysis.statistics import Estimate
from runner.analysis.study_results import BlockResults, StudyResults
from runner.analysis.verdict import OPTIMISTIC

LEVELS = 6  # of error, at most
_ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)


@dataclass(frozen=True, eq=False)
class Course:
    """An arm under a schedule; `reached`: by epochs of the run its mean test error, or loss, over `Estimate.n` units.

    Where blocks of one length differ in more of the schedule than its name, the best of them counts.
    """

    arm: str
    schedule: str
    reached: Mapping[int, Estimate]

    def shortest(self, level: float) -> int | None:
        """The fewest epochs whose mean is at most `level`; None: not reached in the lengths tried."""
        return min((epochs for epochs, value in self.reached.items() if value.mean <= level), default=None)


@dataclass(frozen=True, eq=False)
class Budgets:
    """Courses whose blocks differ in nothing but epochs and schedule, and the levels that they are judged at."""

    title: str
    measure: Measure
    courses: tuple[Course, ...]
    levels: tuple[float, ...]

    def first(self, level: float) -> list[Course]:
        """Those that reach the level with the fewest epochs; several where these are equal."""
        found = {course: course.shortest(level) for course in self.courses}
        fewest = min((epochs for epochs in found.values() if epochs is not None), default=None)
        return [course for course, epochs in found.items() if epochs == fewest is not None]


def budgets(study: StudyResults) -> list[Budgets]:
    """One for each group of blocks in which some arm has results of two lengths or more under one schedule."""
    return [found for group in study.groups("epochs", "schedule") if (found := _budgets(group)) is not None]


def _budgets(group: Sequence[BlockResults]) -> Budgets | None:
    measure = group[0].block.measure
    reached: dict[tuple[str, str], dict[int, Estimate]] = {}
    for one in group:
        schedule, epochs = one.block.settings["schedule"], int(float(one.block.settings["epochs"]))
        for arm in one.arms:
            # Runs that have chosen a cell flatter it; of a single cell nothing was chosen.
            if not arm.values or OPTIMISTIC in arm.remark:
                continue
            value, of_course = arm.values[measure.report], reached.setdefault((arm.arm, schedule), {})
            known = of_course.get(epochs)
            # One without a mean, of which a run has no number, takes the place of none.
            if known is None or math.isnan(known.mean) or value.mean < known.mean:
                of_course[epochs] = value
    if not any(len(lengths) > 1 for lengths in reached.values()):
        return None
    courses = [Course(arm, schedule, dict(sorted(found.items()))) for (arm, schedule), found in reached.items()]
    order = {arm: k for k, arm in enumerate(dict.fromkeys(arm for one in group for arm in one.block.arms))}
    courses.sort(key=lambda course: (order[course.arm], course.schedule))
    means = [value.mean for course in courses for value in course.reached.values()]
    settings = group[0].block.settings
    return Budgets(f"{settings['model']} on {settings['dataset']}", measure, tuple(courses), levels(means))


def levels(means: Iterable[float]) -> tuple[float, ...]:
    """Up to LEVELS round numbers from the smallest mean to the largest, the smallest of them always among them."""
    known = [mean for mean in means if np.isfinite(mean) and mean > 0]
    if not known:
        return ()
    powers = range(int(np.floor(np.log10(min(known)))), int(np.ceil(np.log10(max(known)))) + 1)
    candidates = [round(digit * 10.0**power, 12) for power in powers for digit in _ROUND]
    inside = [level for level in candidates if min(known) <= level <= max(known)]
    chosen = np.unique(np.linspace(0, len(inside) - 1, min(LEVELS, len(inside))).round().astype(int))
    return tuple(inside[k] for k in chosen)


def shortest_table(found: Sequence[Budgets]) -> pd.DataFrame:
    """shortest.csv: one row per group, arm, schedule and level; `epochs` is empty where the level was not reached.

    `reached` is the mean of `measure` at that length and `n` the units that it is over, `tried` the lengths in epochs,
    and `first` says whether no other arm and schedule reaches the level with fewer epochs.
    """
    rows = []
    for one in found:
        for level in one.levels:
            first = one.first(level)
            for course in one.courses:
                epochs = course.shortest(level)
                value = course.reached[epochs] if epochs is not None else None
                rows.append(
                    {
                        "group": one.title,
                        "arm": course.arm,
                        "schedule": course.schedule,
                        "measure": one.measure.report,
                        "level": level,
                        "epochs": epochs,
                        "reached": value.mean if value else np.nan,
                        "n": value.n if value else 0,
                        "tried": " ".join(map(str, course.reached)),
                        "first": course in first,
                    }
                )
    return pd.DataFrame(rows).astype({"epochs": "Int64"} if rows else {})
