"""Which trials each job of a launcher trains: `split(units, shards, cost)` and what goes into it.

All trials are laid on a line, those of one shape side by side, and the line is cut into pieces of equal work. So each
job has as few shapes as can be, its stacks are as large as can be, and no job has more to do than another.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from runner.records.lines import cells
from runner.system.files import append
from runner.trials.plan import Plan, StoredPlan, name
from runner.trials.trial import Trial

COLUMNS = ("launched", "phase", "shard", "trial")


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
    """Single trials, but a stack whose state was saved when its job ended as one: it goes on where it was."""
    known, rest = StoredPlan(folder, lock).known(trials)
    found: list[Sequence[Trial]] = []
    for stack in known:
        saved = (folder / ".state" / "stacks" / f"{name(stack)}.pt").exists()
        found += [stack] if saved else [[trial] for trial in stack]
    return [*found, *([trial] for trial in rest)]


def steps(trial: Trial) -> float:
    """Optimizer steps: the work of a trial where all have the same model and batch size."""
    return float(trial.epochs * trial.per_epoch)


class LaunchLog:
    """`.state/shards.csv`: which job got which trial and when, so that a report knows how many there will be."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".state" / "shards.csv"

    def note(self, shares: Plan, phase: str, lock: AbstractContextManager[None]) -> str:
        """Append a launch of jobs; its name, which sorts behind those of earlier launches."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with lock:
            there = self.path.read_bytes() if self.path.exists() else b""
            if not there:
                writer.writerow(COLUMNS)
            elif not there.endswith(b"\n"):  # torn by a kill
                os.truncate(self.path, there.rfind(b"\n") + 1)
            for number, share in enumerate(shares, 1):
                writer.writerows((now, phase, f"{number}/{len(shares)}", trial.id) for trial in share)
            append(self.path, text.getvalue().encode())
        return re.sub(r"\W", "", now)

    def read(self) -> list[dict[str, str]]:
        """Its rows; none where no launcher was used."""
        return whole_rows(self.path, COLUMNS)


def whole_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a small CSV file that others append to, without torn lines; none where there is no such file."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    found = (cells(line, len(columns)) for line in text.split("\n")[1:-1])
    return [dict(zip(columns, row, strict=True)) for row in found if row]
