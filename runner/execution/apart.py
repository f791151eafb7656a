"""Saved states of trials that were trained together and are now wanted apart: `parts(...)` and `without(...)`.

A stack's state is known by its trials. A command that names some of them alone, or begins some again, would leave the
others, and itself, without one. So such a state is split, and with it the stack in the plan: whatever commands follow,
each trial goes on from where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from runner.execution import saved
from runner.execution.failures import Tell
from runner.records.records import Records
from runner.trials import plan
from runner.trials.plan import Plan, StoredPlan
from runner.trials.trial import Trial


def parts(folder: Path, stack: Sequence[Trial], records: Records, tell: Tell) -> Plan:
    """A stack without a saved state of its own, in parts that have one and a rest; [] where there is nothing to part.

    The caller has claimed its trials, so that nobody trains a stack that holds one of them.
    """
    if saved.state(folder, stack).exists():
        return []
    left, found = {trial.id: trial for trial in stack}, []
    for path, ids in _states(folder):
        mine = [trial for trial in ids if trial in left]
        if mine and plan.way_of(path.stem) == stack[0].way:
            _split(path, mine, records, tell, keep=True)
            found.append([left.pop(trial) for trial in mine])
    return [*found, *([list(left.values())] if left else [])] if found else []


def without(folder: Path, trials: Collection[str], records: Records, tell: Tell) -> None:
    """Take `trials`, which begin again, out of all saved states; the others of their stacks keep theirs."""
    for path, ids in _states(folder):
        if mine := [trial for trial in ids if trial in trials]:
            _split(path, mine, records, tell, keep=False)


def _states(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The saved states, with their trials; what cannot be read the stack says that it was for."""
    stacks = folder / ".state" / "stacks"
    for path in sorted(stacks.glob("*.pt")) if stacks.is_dir() else ():
        from runner.training.checkpoint import held

        ids = held(path)
        if ids and path.stem == plan.named(ids, plan.way_of(path.stem)):
            yield path, ids


def _split(path: Path, mine: Sequence[str], records: Records, tell: Tell, keep: bool) -> None:
    """Split a state into one of `mine`, unless these begin again, and one of the rest, if there is any."""
    from runner.training.checkpoint import Checkpoints, held

    def note(text: str) -> None:
        tell("note", text)

    way = plan.way_of(path.stem)
    with records.lock:
        ids = held(path)  # another process may have split it meanwhile
        rest = [trial for trial in ids if trial not in mine]
        if not ids or (keep and not rest):
            return
        if rest:
            StoredPlan(records.folder, records.lock, records.part).split([mine, rest], way)
        wanted = [some for some in (mine if keep else [], rest) if some]
        smaller = [Checkpoints(path.with_name(f"{plan.named(some, way)}.pt"), some, tell=note) for some in wanted]
        Checkpoints(path, ids, tell=note).split(smaller)
