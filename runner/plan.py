"""Which trial in which stack: `StoredPlan(folder, lock).follow(trials, ...)` is the call to know.

A plan is kept in the study's plan.csv before anything is trained, so that another process, a later call and a rerun
put a trial among the same neighbours. The file only grows: where a trial is named twice, the later line counts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

from runner.models.sizes import cpu_stack, layer_bytes
from runner.trials import Trial

Plan = list[list[Trial]]
COLUMNS = ("stack", "slot", "trial")
GPU_LAYER = 2**27  # bytes of a layer's activations, over the stack, that are taken to fill a GPU
GPU_MOST = 64


def plan(trials: Iterable[Trial], device: str, size: int, workers: int) -> Plan:
    """Stacks of trials of one shape, at most `size` (0: chosen by shape) in each, shared out to `workers` evenly."""
    groups: dict[tuple[object, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.shape].append(trial)
    stacks: Plan = []
    for group in groups.values():
        parts = -(-len(group) // stack_size(group[0], device, size))
        if not size:  # every worker gets as many stacks as the others
            parts = min(len(group), -(-parts // workers) * workers)
        edges = [len(group) * i // parts for i in range(parts + 1)]
        stacks += [group[i:j] for i, j in pairwise(edges)]
    return stacks


def stack_size(trial: Trial, device: str, size: int) -> int:
    """The trials of this shape that share a stack, where the user asks for `size` (0: auto)."""
    shape = (trial.model, trial.batch_size, trial.facts.pixels)
    if device.startswith("cuda"):
        return size or max(1, min(GPU_MOST, GPU_LAYER // layer_bytes(*shape)))
    auto = cpu_stack(*shape)
    return auto if auto == 1 else size or auto


def name(stack: Sequence[Trial]) -> str:
    """A stack's name: the same for the same trials in the same order, whoever plans them."""
    return hashlib.sha256(" ".join(trial.id for trial in stack).encode()).hexdigest()[:10]


class StoredPlan:
    """The plan of a study's folder; `lock` is held while the file is read and written."""

    def __init__(self, folder: Path, lock: AbstractContextManager[None]) -> None:
        self.path, self.lock = folder / "plan.csv", lock

    def follow(self, trials: Iterable[Trial], device: str, size: int, workers: int) -> Plan:
        """The stored stacks of `trials`, as far as they are there, and new ones, now stored, for the rest.

        A stored stack larger than the `size` that the user asks for is planned anew.
        """
        with self.lock:
            places = self._read()
            known: dict[str, list[Trial]] = defaultdict(list)
            rest: list[Trial] = []
            for trial in trials:
                if trial.id in places:
                    known[places[trial.id][0]].append(trial)
                else:
                    rest.append(trial)
            kept: Plan = []
            for stack in known.values():
                if len(stack) > stack_size(stack[0], device, size) and size:
                    rest += stack
                else:
                    kept.append(sorted(stack, key=lambda trial: places[trial.id][1]))
            fresh = plan(rest, device, size, workers)
            self._append(fresh)
        return kept + fresh

    def add(self, stacks: Plan) -> None:
        """Store stacks that were planned while training, as after running out of memory."""
        with self.lock:
            self._append(stacks)

    def _read(self) -> dict[str, tuple[str, int]]:
        """Stack and slot of every trial on file."""
        if not self.path.exists():
            return {}
        text = self.path.read_text(errors="replace")
        whole = text[: text.rfind("\n") + 1]
        rows = (row for row in csv.DictReader(io.StringIO(whole)) if None not in row and None not in row.values())
        return {row["trial"]: (row["stack"], int(row["slot"])) for row in rows if row["slot"].isdigit()}

    def _append(self, stacks: Plan) -> None:
        if not stacks:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        size = self.path.stat().st_size if self.path.exists() else 0
        if not size:
            writer.writerow(COLUMNS)
        elif not self.path.read_bytes().endswith(b"\n"):
            text.write("\n")  # a line that was torn by a kill stays alone and is passed over
        for stack in stacks:
            writer.writerows((name(stack), slot, trial.id) for slot, trial in enumerate(stack))
        with self.path.open("ab", buffering=0) as file:
            file.write(text.getvalue().encode())
            os.fsync(file.fileno())
