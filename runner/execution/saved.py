"""The saved states of stacks in a study's folder: which to go on from, and which nobody will want again."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UserError
from runner.execution.failures import Tell
from runner.execution.trial_locks import Claims
from runner.records import parts
from runner.records.records import Records
from runner.trials import plan
from runner.trials.plan import name
from runner.trials.trial import Trial

if TYPE_CHECKING:
    from runner.training.checkpoint import Checkpoints


def state(folder: Path, stack: Sequence[Trial]) -> Path:
    """Where the state of a stack is saved."""
    return folder / ".state" / "stacks" / f"{name(stack)}.pt"


def share_left(folder: Path, stack: Sequence[Trial]) -> float:
    """Which part of its epochs a stack has before it, 1 where no state of it is saved."""
    path = state(folder, stack)
    if not path.exists():
        return 1.0
    from runner.training.checkpoint import epochs_behind

    return max(0.0, 1 - epochs_behind(path) / stack[0].epochs)


def checkpoints(folder: Path, stack: Sequence[Trial], every: float, tell: Tell) -> Checkpoints:
    """Those of a stack, `every` so many seconds."""
    from runner.training.checkpoint import Checkpoints

    ids = [trial.id for trial in stack]
    return Checkpoints(state(folder, stack), ids, every, lambda text: tell("note", text))


def to_go_on_from(checkpoints: Checkpoints, records: Records) -> dict[str, Any] | None:
    """The saved state, unless the records have lost what came before it."""
    saved = checkpoints.load()
    if saved is not None:
        alive = [i for i, lives in zip(checkpoints.ids, saved["alive"], strict=False) if lives]
        if not records.has_curves(alive, saved["recorded"]):
            checkpoints.discard("is ahead of curves.csv")
            return None
    return saved


def sweep_up(folder: Path, records: Records) -> None:
    """Remove what kills have left of stacks whose trials all have rows, where no other process works on the study.

    That is saved states, also half-written ones, and the files for claims of earlier versions.
    """
    stacks, old = folder / ".state" / "stacks", folder / ".state" / "claims"
    if not (old.is_dir() or _files(stacks)) or parts.of(folder):
        return
    try:
        if not Claims(folder).alone():
            return
    except UserError:  # a folder that may only be read stays as it is
        return
    members: dict[str, list[str]] = defaultdict(list)
    for stack, _, trial in plan.stored_rows(folder / "plan.csv"):
        members[stack].append(trial)
    done = records.done()
    finished = all(trial in done for ids in members.values() for trial in ids)
    for path in _files(stacks):
        ids = members.get(path.stem)  # a part of a planned stack has a name that the plan does not know
        if finished or (ids and done.issuperset(ids)):
            with suppress(OSError):
                path.unlink()
    if old.is_dir() and finished:
        shutil.rmtree(old, ignore_errors=True)


def _files(stacks: Path) -> list[Path]:
    return [path for path in stacks.glob("*") if path.suffix in (".pt", ".part")]
