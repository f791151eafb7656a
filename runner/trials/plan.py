"""Which trial in which stack: `StoredPlan(folder, lock).follow(trials, layout)` is the call to know.

A plan is kept in the study's plan.csv before anything is trained, so that another process, a later call and a rerun
put a trial among the same neighbours. The file only grows: where a trial is named twice, the later line counts.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from optim.arithmetic import ceil_div
from runner.config.settings import COMPUTE, FULL, LANES, LOOSE, UNSTACKED
from runner.models.settings import ModuleSettings
from runner.records import parts
from runner.records.schema import FILES
from runner.records.table import Table
from runner.trials.packing import packed
from runner.trials.stack_size import cpu_stack, gpu_stack, gpu_way
from runner.trials.trial import StackKey, Trial

Plan = list[list[Trial]]


class Chosen(NamedTuple):
    """What was measured to be fastest: so many trials in a stack, computed in this way."""

    trials: int
    way: str = FULL


Sizes = Mapping[StackKey, Chosen]


@dataclass(frozen=True)
class Layout:
    """What decides how trials are laid into stacks.

    Args:
        device: "cpu", or a GPU's name, which begins with "cuda".
        size: trials in a stack that the user asks for; 0: what was measured, or else chosen by model and batch.
        workers: processes that the stacks are shared out to evenly.
        measured: size and way of stacks, by `Trial.stack_key`, as far as measured.
        exact: whether each trial is computed as in a full stack (see `packing`).
        compute: a key of COMPUTE. Of "auto" the way is the measured one, or else `gpu_way`'s on a GPU and that of
            `packing` on the CPU.
    """

    device: str
    size: int = 0
    workers: int = 1
    measured: Sizes = field(default_factory=dict)
    exact: bool = False
    compute: str = "auto"

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def rules_out(self, stack: Sequence[Trial]) -> bool:
        """Whether a stack that was planned before is too large for this layout, or is computed in another way."""
        trial = stack[0]
        if self.size and len(stack) > stack_size(trial, self.device, self.size):
            return True
        if not trial.stackable:
            return False
        if self.compute != "auto" and (trial.way == LANES) != (self.compute == "lanes"):
            return True
        if trial.way in (LOOSE, UNSTACKED):
            return self.exact or self.on_gpu
        return trial.way == LANES and self.exact and not isinstance(trial.model, ModuleSettings)


def plan(trials: Iterable[Trial], layout: Layout) -> Plan:
    """Stacks of trials of one stack key, laid out as `layout` says."""
    groups: dict[StackKey, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.stack_key].append(trial)
    stacks: Plan = []
    for group in groups.values():
        stackable = group[0].stackable
        stacks += _on_cpu(group, layout) if stackable and not layout.on_gpu else _on_gpu_or_alone(group, layout)
    return stacks


def _on_cpu(group: Sequence[Trial], layout: Layout) -> Plan:
    chosen = layout.measured.get(group[0].stack_key, Chosen(0, ""))
    most = stack_size(group[0], layout.device, layout.size or chosen.trials)
    stacks = packed(group, most, 0 if layout.size else layout.workers, layout.exact)
    return _in_lanes(stacks) if (COMPUTE[layout.compute] or chosen.way) == LANES else stacks


def _on_gpu_or_alone(group: Sequence[Trial], layout: Layout) -> Plan:
    first = group[0]
    chosen = layout.measured.get(first.stack_key, Chosen(0, ""))
    count = ceil_div(len(group), stack_size(first, layout.device, layout.size or chosen.trials))
    if not layout.size:  # every worker gets as many stacks as the others
        count = min(len(group), ceil_div(count, layout.workers) * layout.workers)
    edges = [len(group) * i // count for i in range(count + 1)]
    stacks = [list(group[i:j]) for i, j in pairwise(edges)]
    way = COMPUTE[layout.compute] or chosen.way or gpu_way(first.model)
    return _in_lanes(stacks) if way == LANES and first.stackable else stacks


def _in_lanes(stacks: Plan) -> Plan:
    return [[trial.computed(LANES) for trial in stack] for stack in stacks]


def stack_size(trial: Trial, device: str, size: int) -> int:
    """The trials that share a stack with this one, where the user asks for `size` (0: auto)."""
    if not trial.stackable:
        return 1
    shape = (trial.model, trial.batch_size, trial.positions)
    if device.startswith("cuda"):
        return size or gpu_stack(*shape)
    auto = cpu_stack(*shape)
    return auto if auto == 1 else size or auto


def name(stack: Sequence[Trial]) -> str:
    """A stack's name: the same for the same trials in the same order, whoever plans them; it tells the way."""
    return named([trial.id for trial in stack], stack[0].way)


def named(trials: Sequence[str], way: str) -> str:
    """The name of the stack of trials with these ids, computed in this way."""
    hashed = hashlib.sha256(" ".join(trials).encode()).hexdigest()[:10]
    return hashed if way == FULL else f"{hashed}-{way}"


def way_of(name: str) -> str:
    """The way that a stack's name tells; without one it is full, as all were in version 0.1.0."""
    way = name.partition("-")[2]
    return way if way in (LOOSE, UNSTACKED, LANES) else FULL


class StoredPlan:
    """The plan of a study's folder; `lock` is held while the file is read and written.

    The job of a launcher writes its `part`'s own file, and follows the study's too.
    """

    def __init__(self, folder: Path, lock: AbstractContextManager[None], part: str = "") -> None:
        self.path, self.lock = parts.home(folder, part) / FILES["plan"], lock
        self.whole = [folder / FILES["plan"]] if part else []

    def follow(self, trials: Iterable[Trial], layout: Layout) -> Plan:
        """The stored stacks of `trials`, as far as they are there, and new ones, now stored, for the rest.

        A stored stack that `layout` rules out is planned anew.
        """
        with self.lock:
            known, rest = self._known(trials)
            followed: Plan = []
            for stack in known:
                if layout.rules_out(stack):
                    rest += [trial.computed(FULL) for trial in stack]
                else:
                    followed.append(stack)
            fresh = plan(rest, layout)
            self._append(fresh)
        return followed + fresh

    def known(self, trials: Iterable[Trial]) -> tuple[Plan, list[Trial]]:
        """The stored stacks of `trials`, as far as they are there, and the trials that are in none."""
        with self.lock:
            return self._known(trials)

    def add(self, stacks: Plan) -> None:
        """Store stacks that were planned while training, as after running out of memory."""
        with self.lock:
            self._append(stacks)

    def split(self, parts: Iterable[Sequence[str]], way: str) -> None:
        """Store the parts of a stack as stacks, by the ids of their trials; the caller holds the lock."""
        self._write([named(part, way), str(slot), trial] for part in parts for slot, trial in enumerate(part))

    def _known(self, trials: Iterable[Trial]) -> tuple[Plan, list[Trial]]:
        places = self._places()
        stacks: dict[str, list[Trial]] = defaultdict(list)
        rest: list[Trial] = []
        for trial in trials:
            if trial.id in places:
                stack = places[trial.id][0]
                stacks[stack].append(trial.computed(way_of(stack)))
            else:
                rest.append(trial)
        return [sorted(stack, key=lambda trial: places[trial.id][1]) for stack in stacks.values()], rest

    def take(self, path: Path) -> None:
        """Store what another file of a plan has and this one has not; the caller holds the lock."""
        stored = {tuple(row) for row in stored_rows(self.path)}
        self._write(row for row in stored_rows(path) if tuple(row) not in stored)

    def _places(self) -> dict[str, tuple[str, int]]:
        """Stack and slot of every trial on file."""
        own = Table(self.path, "plan", on_bad_row="skip").rows(mend=True)
        rows = [*(row for path in self.whole for row in stored_rows(path)), *own]
        return {trial: (stack, int(float(slot))) for stack, slot, trial in rows}

    def _append(self, stacks: Plan) -> None:
        self._write([name(stack), str(slot), trial.id] for stack in stacks for slot, trial in enumerate(stack))

    def _write(self, rows: Iterable[list[str]]) -> None:
        table = Table(self.path, "plan", on_bad_row="skip")
        table.refresh(mend=True)
        table.append(dict(zip(table.columns, row, strict=True)) for row in rows)


def stored_rows(path: Path) -> list[list[str]]:
    """Stack, slot and trial of each row of a plan's file; none where there is no such file, or it is something else."""
    return Table(path, "plan", on_bad_row="skip").rows()


def planned_trials(path: Path) -> set[str]:
    """Ids of the trials that a plan's file has a place for, as far as it can be read."""
    try:
        return {trial for _, _, trial in stored_rows(path)}
    except OSError:
        return set()
