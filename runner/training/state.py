"""What a stack must remember to go on as if nothing had happened: `captured(run)`, and `restore(run, state)`.

Random numbers are a function of seed and epoch, so there are none to remember.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from optim.release import Ledger
from runner.system.shortage import is_shortage
from runner.training.stack import Progress, Stack
from runner.training.unstacked import Alone
from runner.training.watch import Watch

State = dict[str, Any]


@dataclass
class Run:
    """A stack in training: `epoch` counts from 0 and `step` within it; `progress` once all its steps are taken."""

    stack: Stack
    watch: Watch
    epoch: int = 0
    step: int = 0
    progress: Progress | None = None
    recorded: set[int] = field(default_factory=set)  # the epochs that have rows in curves.csv, from 1
    seconds: float = 0.0  # before this process
    kept: State | None = None  # as the epoch began, for what cannot be saved within one


def keep(run: Run, seconds: float) -> None:
    """Before the steps of an epoch: remember the state, where a look at rows that wait would round them anew."""
    if isinstance(run.stack.step.optimizer, Alone) and run.stack.step.optimizer.lazy:
        state = captured(run, seconds)
        run.kept = state | {"tensors": [t.clone() for t in state["tensors"]]}


def captured(run: Run, seconds: float) -> State:
    """`seconds`: of training so far. Tensors are those of the stack itself: to be saved, not kept."""
    if run.kept is not None:
        return run.kept | {"seconds": seconds}
    stack, watch, n = run.stack, run.watch, run.stack.count
    # An epoch's coefficients are made at its start: within one, it is that ledger which makes them again.
    ledger = stack.epoch_ledger if run.step and run.progress is None else stack.ledger
    state: State = {
        "epoch": run.epoch,
        "step": run.step,
        "recorded": set(run.recorded),
        "alive": [bool(lives) for lives in stack.live[:n].tolist()],
        "seconds": seconds,
        "progress": None
        if run.progress is None
        else {"running_loss": run.progress.running_loss, "update_norm": run.progress.update_norm},
        "best": watch.best,
        "best_epoch": watch.best_epoch,
        "target_epoch": watch.target_epoch,
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
    mine, saved = tensors(stack), state["tensors"]
    if [(n, *t.shape[1:]) for t in mine] != [tuple(t.shape) for t in saved]:
        return False
    for target, source in zip(mine, saved, strict=True):
        target[:n].copy_(source)
    if isinstance(stack.step.optimizer, Alone):
        first = len(stack.parameters) + len(list(stack.model.buffers()))
        count = len(stack.step.optimizer.moments1)
        moments = saved[first : first + count], saved[first + count : first + 2 * count]
        stack.step.optimizer.restore(state["number"], *moments)
    stack.step.number.fill_(state["number"])
    if state["ledger_asked"] is not None:
        stack.ledger = Ledger(*(_widened(state[f"ledger_{name}"], stack) for name in ("asked", "applied")))
    run.epoch, run.step, run.recorded = state["epoch"], state["step"], state["recorded"]
    run.progress = None if state["progress"] is None else Progress(**state["progress"])
    run.seconds = state["seconds"]
    run.watch.best, run.watch.best_epoch = state["best"], state["best_epoch"]
    run.watch.target_epoch = state["target_epoch"]
    return True


def resumed(fresh: Callable[[], Run], state: State, discard: Callable[[str], None]) -> Run:
    """A run at a saved state; where that cannot be gone on from, one from the beginning, and `discard(why)`."""
    run, reason = fresh(), "is of another network"
    try:
        if restore(run, state):
            return run
    except Exception as error:  # whatever is in it; it says nothing about the trials
        if is_shortage(error):
            raise
        reason = f"cannot be gone on from ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        del run
        run = fresh()
    discard(reason)
    return run


def tensors(stack: Stack) -> list[Tensor]:
    """Everything that training changes, with the trial axis first, in a fixed order."""
    step = stack.step
    found = [p.detach() for p in stack.parameters]
    found += list(stack.model.buffers())
    found += step.optimizer.moments1 + step.optimizer.moments2
    found += [step.live, step.died, step.total]
    if step.slow is not None:
        found += step.slow.slow
    if step.scale is not None:
        found += [step.scale.value, step.scale.good]
    if step.diagnostics is not None:
        found += step.diagnostics.penalty + step.diagnostics.old
    return found


def _widened(saved: Tensor, stack: Stack) -> Any:
    """A ledger of the trials with room for the padding, which is never stepped: [2, slots]."""
    wide = torch.zeros(*saved.shape[:-1], len(stack.trials), dtype=torch.float64)
    wide[..., : saved.shape[-1]] = saved
    return wide.numpy()
