"""The state of a stack on disk: `Checkpoints(path, ids, ...)` saves it from time to time and gives it back.

A checkpoint is written beside the last one, flushed to the disk and renamed, so that a kill at any instant leaves a
whole one. It holds tensors and plain numbers only, and is read with `weights_only`: a file of unknown origin cannot run
code.
"""

from __future__ import annotations

import time
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runner.data.reading import reason as said
from runner.errors import UserError
from runner.system import signals
from runner.system.files import draft_of, replacing
from runner.system.locks import advice
from runner.system.shortage import is_shortage

FORMAT = 2
RARELY = 20  # between two checkpoints at least so many times what the last one took: some stacks save gigabytes
KEYS = frozenset(
    "epoch step recorded alive seconds progress best best_epoch target_epoch number tensors "
    "ledger_asked ledger_applied".split()
)

# Beside what `runner.training.state` says: format, trials. In the file `recorded` is an integer, a bit for each epoch.
State = dict[str, Any]


class Checkpoints:
    """The checkpoint of one stack.

    Args:
        path: of the file; a draft beside it ends in `.part`.
        ids: of the stack's trials, in the order of its slots.
        every: seconds between two checkpoints; 0: one at every chance.
        tell: called with a line for the user.
    """

    def __init__(
        self, path: Path, ids: Sequence[str], every: float = 30.0, tell: Callable[[str], None] = print
    ) -> None:
        self.path, self.ids, self.every, self.tell = path, list(ids), every, tell
        self.saved = time.monotonic()
        self.took = 0.0  # seconds that the last one took
        self.failed = False  # whether one could not be saved, which is said once

    def pulse(self, state: Callable[[], State]) -> None:
        """Save `state()` if it is time, or if the process is asked to end, which then raises signals.Interrupted.

        Call this wherever `state()` is one to go on from.
        """
        number = signals.requested()
        if number or time.monotonic() - self.saved >= self._interval():
            self.save(state())
        if number:
            raise signals.Interrupted(number)

    def _interval(self) -> float:
        """Seconds between two checkpoints: more than `every` where one takes long to save."""
        return max(self.every, RARELY * self.took) if self.every else 0.0

    def save(self, state: State) -> None:
        """Write `state`; a disk that is full costs the checkpoint, not the training."""
        # A kill while the draft is written leaves the last checkpoint as it was.
        began = time.monotonic()
        stored = state | {"format": FORMAT, "torch": str(torch.__version__), "trials": self.ids}
        stored["recorded"] = sum(1 << epoch for epoch in state.get("recorded", ()))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path, alone=True) as draft, draft.open("wb") as file:
                torch.save(stored, file)
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError where the disk is full
            reason = error.strerror if isinstance(error, OSError) else "it cannot be written whole: is the disk full?"
            if not self.failed:
                self.tell(f"{self.path}: cannot save a checkpoint ({reason}); going on without")
            self.failed = True
        self.saved = time.monotonic()
        self.took = self.saved - began

    def load(self) -> State | None:
        """The state to go on from; None where there is no file, or one that is not of these trials, code and versions.

        Such a file is removed, with a line to the user. UserError where the system does not let the file be read.
        MemoryError and the like are passed on, for they say nothing about the file.
        """
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as archive:  # torch.load does not verify the checksums
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
            with warnings.catch_warnings(action="ignore"):  # torch warns about kinds of files that are no checkpoints
                state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file makes the parsers raise nearly anything
            if is_shortage(error):
                raise
            if isinstance(error, OSError) and error.errno and self.path.is_file():
                help = advice(error) or "mend or remove it (its stack then begins again)"
                raise UserError(f"{self.path}: this checkpoint cannot be read ({error.strerror}); {help}") from error
            reason = f"cannot be read ({said(error)})"
        else:
            if not isinstance(state, dict) or state.get("format") != FORMAT or not state.keys() >= KEYS:
                reason = "is of another version"
            elif state.get("torch") != torch.__version__:  # another version may round differently
                reason = f"is of torch {state.get('torch')}, and this is {torch.__version__}"
            elif state.get("trials") != self.ids:
                reason = "is of other trials"
            elif not _fits(state, len(self.ids)):
                reason = "is damaged"
            else:
                recorded = state["recorded"]
                return state | {"recorded": {n for n in range(recorded.bit_length()) if recorded >> n & 1}}
        self.discard(reason)
        return None

    def discard(self, reason: str) -> None:
        """Remove the checkpoint, and say why: `reason` goes on from "this checkpoint"."""
        self.tell(f"{self.path}: this checkpoint {reason}; its stack begins again")
        self.remove()

    def remove(self) -> None:
        """Remove the file: the rows are on record, or the stack will not be trained with these trials again."""
        for path in (self.path, draft_of(self.path)):
            with suppress(OSError):  # it does not exist, or is no file: nothing is lost
                path.unlink()

    def split(self, parts: Sequence[Checkpoints]) -> None:
        """Hand the state over to `parts`, those of smaller stacks of the same trials, after memory ran out."""
        state = self.load()
        for part in parts if state is not None else ():
            part.save(selected(state, [self.ids.index(i) for i in part.ids]))
        self.remove()


def _fits(state: State, count: int) -> bool:
    """Whether every entry is of its type, and the lists over trials have `count` elements."""
    lists = (state[key] for key in ("alive", "best", "best_epoch", "target_epoch"))
    numbers = (state[key] for key in ("epoch", "step", "recorded", "number"))
    return (
        all(isinstance(entry, list) and len(entry) == count for entry in lists)
        and all(isinstance(entry, int) and entry >= 0 for entry in numbers)
        and isinstance(state["tensors"], list)
        and all(isinstance(entry, Tensor) for entry in state["tensors"])
    )


def held(path: Path) -> list[str]:
    """The ids of the trials of the checkpoint at `path`; none where it cannot be read, which its stack will say."""
    return [str(trial) for trial in _glanced(path).get("trials", ())]


def epochs_behind(path: Path) -> int:
    """How many whole epochs were trained before the checkpoint at `path`; 0 where it cannot be read."""
    return int(_glanced(path).get("epoch", 0))


def _glanced(path: Path) -> State:
    """The state at `path`, its tensors mapped and not read; {} where there is no state that can be read."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return state if isinstance(state, dict) else {}
    except Exception:  # a damaged file makes the parser raise nearly anything
        return {}


def selected(value: Any, slots: Sequence[int], key: str = "") -> Any:
    """A state, `value`, with only these `slots` of its trials.

    Lists and tensors have the trials as their first axis, ledgers as their last. `key`: where a part of a state lies.
    """
    if isinstance(value, dict):
        return {name: selected(part, slots, str(name)) for name, part in value.items()}
    if isinstance(value, Tensor) and value.dim():
        return value[..., list(slots)].clone() if key.startswith("ledger") else value[list(slots)].clone()
    # The list of tensors has no trial axis itself; its tensors have.
    if isinstance(value, list) and key == "tensors":
        return [selected(part, slots) for part in value]
    return [value[slot] for slot in slots] if isinstance(value, list) else value
