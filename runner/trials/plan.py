"""Which trial in which stack: `StoredPlan(folder, lock).follow(trials, ...)` is the call to know.

A plan is kept in the study's plan.csv before anything is trained, so that another process, a later call and a rerun
put a trial among the same neighbours. The file only grows: where a trial is named twice, the later line counts.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from runner.config.settings import COMPUTE, FULL, LANES, LOOSE, UNSTACKED
from runner.records import parts
from runner.records.schema import FILES
from runner.records.table import Table
from runner.trials.packing import packed
from runner.trials.stack_size import cpu_stack, gpu_stack, gpu_way
from runner.trials.trial import Shape, Trial

Plan = list[list[Trial]]


class Chosen(NamedTuple):
    """What was measured to be fastest: so many trials in a stack, computed in this way."""

    trials: int
    way: str = FULL


Sizes = Mapping[Shape, Chosen]
NONE: Sizes = {}


def plan(
    trials: Iterable[Trial],
    device: str,
    size: int,
    workers: int,
    measured: Sizes = NONE,
    exact: bool = False,
    compute: str = "auto",
) -> Plan:
    """Stacks of trials of one shape, at most `size` in each, shared out to `workers` evenly.

    `size` 0: what was `measured` for the shape, or else chosen by it. `exact`: see `packing`. `compute`: a key of
    COMPUTE; of "auto" the way is the measured one, or else `gpu_way`'s on a GPU, that of `packing` on the CPU.
    """
    groups: dict[Shape, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.shape].append(trial)
    stacks: Plan = []
    for group in groups.values():
        if not device.startswith("cuda") and group[0].stackable:
            some = packed(group, stack_size(group[0], device, size), 0 if size else workers, exact)
            stacks += _in_lanes(some) if compute == "lanes" else some
            continue
        chosen = measured.get(group[0].shape, Chosen(0, ""))
        most = size or chosen.trials
        count = -(-len(group) // stack_size(group[0], device, most))
        if not size:  # every worker gets as many stacks as the others
            count = min(len(group), -(-count // workers) * workers)
        edges = [len(group) * i // count for i in range(count + 1)]
        some = [group[i:j] for i, j in pairwise(edges)]
        way = COMPUTE[compute] or chosen.way or gpu_way(group[0].model)
        stacks += _in_lanes(some) if way == LANES and group[0].stackable else some
    return stacks


def _in_lanes(stacks: Plan) -> Plan:
    return [[trial.computed(LANES) for trial in stack] for stack in stacks]


def stack_size(trial: Trial, device: str, size: int) -> int:
    """The trials of this shape that share a stack, where the user asks for `size` (0: auto)."""
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


def _ruled_out(trial: Trial, device: str, exact: bool, compute: str) -> bool:
    """Whether what was planned for this trial's way of computing is not what is asked for now, or possible."""
    if not trial.stackable:
        return False
    if compute != "auto" and (trial.way == LANES) != (compute == "lanes"):
        return True
    if trial.way in (LOOSE, UNSTACKED):
        return exact or device.startswith("cuda")
    return trial.way == LANES and exact


class StoredPlan:
    """The plan of a study's folder; `lock` is held while the file is read and written.

    The job of a launcher writes its `part`'s own file, and follows the study's too.
    """

    def __init__(self, folder: Path, lock: AbstractContextManager[None], part: str = "") -> None:
        self.path, self.lock = parts.home(folder, part) / FILES["plan"], lock
        self.whole = [folder / FILES["plan"]] if part else []

    def follow(
        self,
        trials: Iterable[Trial],
        device: str,
        size: int,
        workers: int,
        measured: Sizes = NONE,
        exact: bool = False,
        compute: str = "auto",
    ) -> Plan:
        """The stored stacks of `trials`, as far as they are there, and new ones, now stored, for the rest.

        A stored stack larger than the `size` that the user asks for is planned anew, and so is one that is computed
        in a way that `exact`, `compute` or the device rules out.
        """
        with self.lock:
            known, rest = self._known(trials)
            followed: Plan = []
            for stack in known:
                too_large = len(stack) > stack_size(stack[0], device, size) and size
                if too_large or _ruled_out(stack[0], device, exact, compute):
                    rest += [trial.computed(FULL) for trial in stack]
                else:
                    followed.append(stack)
            fresh = plan(rest, device, size, workers, measured, exact, compute)
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
        own = Table(self.path, "plan", bad="skip").rows(mend=True)
        rows = [*(row for path in self.whole for row in stored_rows(path)), *own]
        return {trial: (stack, int(float(slot))) for stack, slot, trial in rows}

    def _append(self, stacks: Plan) -> None:
        self._write([name(stack), str(slot), trial.id] for stack in stacks for slot, trial in enumerate(stack))

    def _write(self, rows: Iterable[list[str]]) -> None:
        table = Table(self.path, "plan", bad="skip")
        table.refresh(mend=True)
        table.append(dict(zip(table.columns, row, strict=True)) for row in rows)


def stored_rows(path: Path) -> list[list[str]]:
    """Stack, slot and trial of each row of a plan's file; none where there is no such file, or it is something else."""
    return Table(path, "plan", bad="skip").rows()


def planned_trials(path: Path) -> set[str]:
    """Ids of the trials that a plan's file has a place for, as far as it can be read."""
    try:
        return {trial for _, _, trial in stored_rows(path)}
    except OSError:
        return set()
