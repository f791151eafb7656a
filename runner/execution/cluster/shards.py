"""Which trials each job of a launcher trains: `split(units, shards, cost)` and what goes into it.

All trials are laid on a line, those of one shape side by side, and the line is cut into pieces of equal work. So each
job has as few shapes as can be, its stacks are as large as can be, and no job has more to do than another.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from runner.execution.saved import state
from runner.records.schema import FILES
from runner.records.table import Table
from runner.system.clock import now
from runner.trials.plan import Plan, StoredPlan
from runner.trials.trial import Trial


def split(units: Iterable[Sequence[Trial]], shards: int, cost: Callable[[Trial], float]) -> Plan:
    """At most `shards` lists of trials, none of them empty, that together are all of `units`.

    A unit is what must stay together: trials of one shape. `cost` is the work of one trial, in any unit of measure.
    """
    groups: dict[tuple[object, ...], list[Sequence[Trial]]] = defaultdict(list)
    for unit in units:
        groups[unit[0].stack_key].append(unit)
    line = [unit for group in groups.values() for unit in group]
    prices = {key: cost(group[0][0]) for key, group in groups.items()}
    total = sum(prices[unit[0].stack_key] * len(unit) for unit in line)
    parts: Plan = [[] for _ in range(shards)]
    begin = 0.0
    for unit in line:
        work = prices[unit[0].stack_key] * len(unit)
        parts[min(shards - 1, int(shards * (begin + work / 2) / total))] += unit
        begin += work
    return [part for part in parts if part]


def units(trials: Iterable[Trial], folder: Path, lock: AbstractContextManager[None]) -> list[Sequence[Trial]]:
    """Single trials, but a stack whose state was saved when its job ended as one: it goes on where it was.

    `trials`: what is to be trained; `folder`: of the study; `lock`: the study's, for its plan.
    """
    known, rest = StoredPlan(folder, lock).known(trials)
    together: list[Sequence[Trial]] = []
    for stack in known:
        together += [stack] if state(folder, stack).exists() else [[trial] for trial in stack]
    return [*together, *([trial] for trial in rest)]


def steps(trial: Trial) -> float:
    """Optimizer steps: the work of a trial where all have the same model and batch size."""
    return float(trial.epochs * trial.per_epoch)


class LaunchLog:
    """`.state/shards.csv` of the study in `folder`: which job got which trial and when, for reports to know."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILES["shards"]

    def note(self, shares: Plan, phase: str, lock: AbstractContextManager[None]) -> str:
        """Append a launch of jobs; its name, which sorts behind those of earlier launches.

        `shares`: the trials of each job; `phase`: "search", "refine" or "final"; `lock`: the study's.
        """
        launched, table = now(), Table(self.path, "shards", on_bad_row="skip")
        with lock:
            table.refresh(mend=True)
            table.append(
                {"launched": launched, "phase": phase, "shard": f"{number}/{len(shares)}", "trial": trial.id}
                for number, share in enumerate(shares, 1)
                for trial in share
            )
        return re.sub(r"\W", "", launched)

    def read(self) -> list[dict[str, str]]:
        """Its rows; none where no launcher was used."""
        table = Table(self.path, "shards", on_bad_row="skip")
        return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
