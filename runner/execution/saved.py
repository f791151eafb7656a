"""The saved states of stacks in a study's folder: which to go on from, which to split, which nobody will want again.

A stack's state is known by its trials. A command may need only some of these, or begin some again. The state
is then split, and with it the stack in the plan, so that each trial keeps its progress whatever commands follow.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UserError
from runner.execution.failures import Tell
from runner.execution.trial_locks import TrialLocks
from runner.records import parts
from runner.records.read import read
from runner.records.records import Records
from runner.trials import plan
from runner.trials.plan import Plan, StoredPlan, name
from runner.trials.trial import Trial

if TYPE_CHECKING:
    from runner.training.checkpoint import Checkpoints


def state(folder: Path, stack: Sequence[Trial]) -> Path:
    """Where the state of a stack is saved, in the study's `folder`."""
    return folder / ".state" / "stacks" / f"{name(stack)}.pt"


def share_left(folder: Path, stack: Sequence[Trial]) -> float:
    """Which part of its epochs a stack has before it, 1 where no state of it is saved in the study's `folder`."""
    path = state(folder, stack)
    if not path.exists():
        return 1.0
    from runner.training.checkpoint import epochs_behind

    return max(0.0, 1 - epochs_behind(path) / stack[0].epochs)


def checkpoints(folder: Path, stack: Sequence[Trial], every: float, tell: Tell) -> Checkpoints:
    """Those of a stack of the study in `folder`, `every` so many seconds; `tell` hears of notes."""
    from runner.training.checkpoint import Checkpoints

    ids = [trial.id for trial in stack]
    return Checkpoints(state(folder, stack), ids, every, lambda text: tell("note", text))


def to_go_on_from(checkpoints: Checkpoints, records: Records) -> dict[str, Any] | None:
    """The state that `checkpoints` hold, or None; they are discarded where the records have lost what came before."""
    saved = checkpoints.load()
    if saved is not None:
        alive = [i for i, lives in zip(checkpoints.ids, saved["alive"], strict=False) if lives]
        if not records.has_curves(alive, saved["recorded"]):
            checkpoints.discard("is ahead of curves.csv")
            return None
    return saved


def reached(folder: Path, trials: Sequence[str], recorded: Collection[int], target: float | None) -> list[int | None]:
    """When trials that go on reached the target so far, from curves.csv.

    A saved state knows only what its command asked for: `target_error` may be another now.

    Args:
        folder: of the study.
        trials: their ids.
        recorded: the epochs that count; rows of later ones are of an attempt that is given up.
        target: in percent.

    Returns: for each trial the first epoch whose error was at most `target`, None where there is none. It is the
    validation error, or the test error of trials without validation data.
    """
    if target is None:
        return [None] * len(trials)
    rows = read(folder, "curves", trials)
    rows = rows[rows["epoch"].isin(list(recorded))]
    error = rows["val_error"] if rows["val_error"].notna().any() else rows["test_error"]
    first = rows[error <= target].groupby("trial")["epoch"].min()
    return [int(first[trial]) if trial in first.index else None for trial in trials]


def divided(folder: Path, stack: Sequence[Trial], records: Records, tell: Tell) -> Plan:
    """A stack without a saved state, in parts that have one and a rest; [] where none of its trials is in a state.

    The caller has locked its trials, so that nobody trains a stack that holds one of them. `folder` and `records` are
    of the study; `tell` hears of notes.
    """
    if state(folder, stack).exists():
        return []
    left, pieces = {trial.id: trial for trial in stack}, []
    for path, ids in _states(folder):
        some = [trial for trial in ids if trial in left]
        if some and plan.way_of(path.stem) == stack[0].way:
            _split(path, some, records, tell, keep=True)
            pieces.append([left.pop(trial) for trial in some])
    return [*pieces, *([list(left.values())] if left else [])] if pieces else []


def forget(folder: Path, trials: Collection[str], records: Records, tell: Tell) -> None:
    """Take `trials`, which begin again, out of all saved states; the others of their stacks keep theirs.

    `trials`: ids; `folder` and `records` are of the study; `tell` hears of notes.
    """
    for path, ids in _states(folder):
        if some := [trial for trial in ids if trial in trials]:
            _split(path, some, records, tell, keep=False)


def _states(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The saved states, with their trials. One that cannot be read is left out: its own stack says so."""
    stacks = folder / ".state" / "stacks"
    for path in sorted(stacks.glob("*.pt")) if stacks.is_dir() else ():
        from runner.training.checkpoint import held

        ids = held(path)
        if ids and path.stem == plan.named(ids, plan.way_of(path.stem)):
            yield path, ids


def _split(path: Path, some: Sequence[str], records: Records, tell: Tell, keep: bool) -> None:
    """Split a state into one of `some` of its trials, unless these begin again, and one of the rest if there is any."""
    from runner.training.checkpoint import Checkpoints, held

    def note(text: str) -> None:
        tell("note", text)

    way = plan.way_of(path.stem)
    with records.lock:
        ids = held(path)  # another process may have split it meanwhile
        rest = [trial for trial in ids if trial not in some]
        if not ids or (keep and not rest):
            return
        if rest:
            StoredPlan(records.folder, records.lock, records.part).split([some, rest], way)
        wanted = [trials for trials in (some if keep else [], rest) if trials]
        smaller = [Checkpoints(path.with_name(f"{plan.named(trials, way)}.pt"), trials, tell=note) for trials in wanted]
        Checkpoints(path, ids, tell=note).split(smaller)


def sweep_up(folder: Path, records: Records) -> None:
    """Remove what kills have left of stacks whose trials all have rows, where no other process works on the study.

    `folder` and `records` are of the study. That is saved states, also half-written ones, and the locks that earlier
    versions had in a folder.
    """
    stacks, old = folder / ".state" / "stacks", folder / ".state" / "claims"
    if not (old.is_dir() or _files(stacks)) or parts.of(folder):
        return
    try:
        if not TrialLocks(folder).alone():
            return
    except UserError:  # the folder may only be read, and stays as it is
        return
    members: dict[str, list[str]] = defaultdict(list)
    for stack, _, trial in plan.stored_rows(folder / "plan.csv"):
        members[stack].append(trial)
    done = records.done()
    finished = all(trial in done for ids in members.values() for trial in ids)
    for path in _files(stacks):
        # A draft is called `.NAME.pt.part`. A part of a planned stack has a name that the plan does not know.
        ids = members.get(path.name.lstrip(".").partition(".")[0])
        if finished or (ids and done.issuperset(ids)):
            with suppress(OSError):
                path.unlink()
    if old.is_dir() and finished:
        shutil.rmtree(old, ignore_errors=True)


def _files(stacks: Path) -> list[Path]:
    return [path for path in stacks.glob("*") if path.suffix in (".pt", ".part")]
