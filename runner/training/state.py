"""What a stack must remember to go on as if nothing had happened: `capture(run, seconds)` and `restore(run, state)`.

Random numbers are a function of seed and epoch, so there are none to remember.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from optim.release import DecayLedger
from runner.system.shortage import is_shortage, reason
from runner.training.rows import BestEpochs
from runner.training.stack import EpochStats, Stack
from runner.training.unstacked import Unstacked

State = dict[str, Any]


@dataclass
class Run:
    """A stack in training, and how far it is."""

    stack: Stack
    best: BestEpochs
    epoch: int = 0  # the current epoch, from 0
    step: int = 0  # how many of its steps are taken
    stats: EpochStats | None = None  # what the epoch showed, once all its steps are taken
    recorded: set[int] = field(default_factory=set)  # the epochs, from 1, that have rows in curves.csv
    seconds: float = 0.0  # that earlier processes trained
    kept: State | None = None  # the state at the start of the epoch, where none can be taken within one


def snapshot(run: Run, seconds: float) -> None:
    """Before the steps of an epoch: keep a copy of the state in `run.kept`, where no state can be taken within it.

    `seconds`: of training so far. SparseAdamW defers the update of untouched rows; reading them in mid-epoch would
    change their rounding, so keep a copy from the start of the epoch for a checkpoint within it.
    """
    if isinstance(run.stack.step.optimizer, Unstacked) and run.stack.step.optimizer.lazy:
        state = capture(run, seconds)
        run.kept = state | {"tensors": [t.clone() for t in state["tensors"]]}


def capture(run: Run, seconds: float) -> State:
    """The state of `run` after `seconds` of training, as `restore` takes it: tensors and plain numbers.

    On a CPU the tensors share memory with the stack's own: save them before the next step, or copy them.
    """
    if run.kept is not None:
        return run.kept | {"seconds": seconds}
    stack, best, n = run.stack, run.best, run.stack.count
    # The coefficients of an epoch are formed at its start, which moves the ledger to the epoch's end. A run that goes
    # on within the epoch forms them again, and for that it needs the ledger as it was at the start.
    ledger = stack.epoch_ledger if run.step and run.stats is None else stack.ledger
    state: State = {
        "epoch": run.epoch,
        "step": run.step,
        "recorded": set(run.recorded),
        "alive": [bool(lives) for lives in stack.live[:n].tolist()],
        "seconds": seconds,
        "progress": None if run.stats is None else asdict(run.stats),
        "best": best.best,
        "best_epoch": best.best_epoch,
        "target_epoch": best.target_epoch,
        "number": int(stack.step.number),
        "tensors": [t[:n].contiguous().cpu() for t in tensors(stack)],
        "ledger_asked": None if ledger is None else torch.as_tensor(ledger.asked)[..., :n].clone(),
        "ledger_applied": None if ledger is None else torch.as_tensor(ledger.applied)[..., :n].clone(),
    }
    return state


@torch.no_grad()
def restore(run: Run, state: State) -> bool:
    """Bring a fresh `run` to a saved state; False, and nothing done, if that is of another network."""
    stack, n = run.stack, run.stack.count
    own, saved = tensors(stack), state["tensors"]
    if [(n, *t.shape[1:]) for t in own] != [tuple(t.shape) for t in saved]:
        return False
    for target, source in zip(own, saved, strict=True):
        target[:n].copy_(source)
    if isinstance(stack.step.optimizer, Unstacked):
        # Its moments lie in the optimizer's own state, of which `tensors` gives copies: hand them over by name.
        first = len(stack.parameters) + len(list(stack.model.buffers()))
        count = len(stack.step.optimizer.moments1)
        moments = saved[first : first + count], saved[first + count : first + 2 * count]
        stack.step.optimizer.restore(state["number"], *moments)
    stack.step.number.fill_(state["number"])
    if state["ledger_asked"] is not None:
        stack.ledger = DecayLedger(*(_widened(state[f"ledger_{name}"], stack) for name in ("asked", "applied")))
    run.epoch, run.step, run.recorded = state["epoch"], state["step"], state["recorded"]
    run.stats = None if state["progress"] is None else EpochStats(**state["progress"])
    run.seconds = state["seconds"]
    run.best.best, run.best.best_epoch = state["best"], state["best_epoch"]
    run.best.target_epoch = state["target_epoch"]
    return True


def resumed(fresh: Callable[[], Run], state: State, discard: Callable[[str], None]) -> Run:
    """A run at a saved state; where that cannot be gone on from, one from the beginning, and `discard(why)`.

    `fresh` makes a run that is at its beginning. Want of memory is passed on.
    """
    run, why = fresh(), "is of another network"
    try:
        if restore(run, state):
            return run
    except Exception as error:  # a file may hold anything, and its fault says nothing about the trials
        if is_shortage(error):
            raise
        why = f"cannot be gone on from ({reason(error)})"
        del run
        run = fresh()
    discard(why)
    return run


def tensors(stack: Stack) -> list[Tensor]:
    """Everything that training changes of `stack`, with the trial axis first, in a fixed order."""
    step = stack.step
    changed = [p.detach() for p in stack.parameters]
    changed += list(stack.model.buffers())
    changed += step.optimizer.moments1 + step.optimizer.moments2
    changed += [step.live, step.died, step.total]
    if step.slow is not None:
        changed += step.slow.slow
    if step.scale is not None:
        changed += [step.scale.value, step.scale.good]
    if step.diagnostics is not None:
        changed += step.diagnostics.penalty + step.diagnostics.old
    return changed


def _widened(saved: Tensor, stack: Stack) -> Any:
    """DecayLedger sums [2, trials] as [2, slots]: zeros for the slots of padding, which are never stepped."""
    wide = torch.zeros(*saved.shape[:-1], len(stack.trials), dtype=torch.float64)
    wide[..., : saved.shape[-1]] = saved
    return wide.numpy()
