"""Groups and state of an optimizer as they were when it last looked: `Snapshot`, and whether it still `holds`.

Frozen layers are unfrozen, points are added and pruned, embeddings swapped, moments reset: people edit the lists and
dicts of an optimizer, and torch.optim reads them anew at every step. Here a step compares them with the snapshot, which
is much faster, and makes a new one only after an edit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor

from optim.base import refusals
from optim.base.cohort import OWED, Cohort
from optim.base.watched import Marks, State, States
from optim.cuda.layout import laid_alike
from optim.release import owed_of

Groups = Sequence[dict[str, Any]]
# Of a group: the names of its tensors, whether its decay is released, and the options that would be refused.
Signature = Callable[[dict[str, Any]], tuple[Any, ...]]


class Snapshot:
    """The cohorts of an optimizer, and the groups and the state of which they were made.

    Making one gives a first state to parameters that have a gradient and no state, and takes over existing states.

    Args:
        groups: the optimizer's parameter groups.
        state: its state by parameter; `States`, or a dict that somebody has put in its place.
        signature: what of a group, beside its parameters, a cohort depends on (see `Signature`).
        counted: whether a state holds the number of its steps.
        name: of the optimizer's class, for messages.
        before: the cohorts of the last snapshot, whose arrays of numbers are taken over where they are the same.

    Raises:
        ValueError: for a state that is not one of optim.`name`, or does not fit its parameter.
        TypeError: for a gradient that does not fit its parameter.
    """

    def __init__(
        self,
        groups: Groups,
        state: Any,
        signature: Signature,
        counted: bool,
        name: str,
        before: Sequence[Cohort] = (),
    ) -> None:
        self.state = state
        self.marks = state.marks if isinstance(state, States) else Marks()
        self.groups = list(groups)
        self.members = [list(group["params"]) for group in groups]
        self.signatures = [signature(group) for group in groups]
        self.cohorts: list[Cohort] = []
        self.plain: list[tuple[dict[str, Any], list[Any]]] = []  # states that are no `State`, and their entries
        self.waiting: list[Tensor] = []  # parameters that have had no gradient yet
        for index, group in enumerate(groups):
            of_kind: dict[Any, list[Tensor]] = {}  # parameters by device and dtype, each of which is a cohort
            for place, p in enumerate(self.members[index]):
                # torch checks a gradient when it is assigned, but the parameter may have got other data since.
                if p.grad is not None and p.grad.shape != p.shape:
                    refusals.gradient(name, p)
                if not state.get(p) and p.grad is None:
                    # torch.optim makes a state at the first gradient, and counts steps from there.
                    self.waiting.append(p)
                    continue
                if counted or any(self.signatures[index][:2]):
                    where = f"parameter {place} of group {index}"
                    complete(state[p], p, self.signatures[index][0], counted, name, where)
                of_kind.setdefault((p.device, p.dtype), []).append(p)
            for (_, dtype), some in of_kind.items():
                states = [state.get(p, {}) for p in some]
                released = self.signatures[index][1] and dtype is torch.float32  # float64 expresses any decay
                old = before[len(self.cohorts)] if len(self.cohorts) < len(before) else None
                self.cohorts.append(Cohort(group, some, states, self.signatures[index][0], counted, released, old))
        # A dict that somebody has put in the place of `States` does not say that it was edited, so its keys and values
        # are compared at every step. The same goes for the states in it.
        self.unwatched = None if isinstance(state, States) else (list(state), list(state.values()))
        for entries in state.values():
            if isinstance(entries, State):
                entries.marks = self.marks
            elif isinstance(entries, dict):
                self.plain.append((entries, list(entries.values())))
        self.edits, self.reads = self.marks.edits, self.marks.reads

    def holds(self, groups: Groups, state: Any, signature: Signature) -> bool:
        """Whether nothing was edited since, and no parameter has got its first gradient. Called at every step.

        `groups`, `state` and `signature` are the optimizer's own, as in the constructor.
        """
        if self.edits != self.marks.edits or state is not self.state or len(groups) != len(self.groups):
            return False
        for i, group in enumerate(groups):
            members, now = self.members[i], group["params"]
            if group is not self.groups[i] or len(now) != len(members) or not all(map(is_, now, members)):
                return False
            if signature(group) != self.signatures[i]:
                return False
        for entries, were in self.plain:
            if len(entries) != len(were) or not all(map(is_, entries.values(), were)):
                return False
        if self.unwatched is not None and not _same(state, *self.unwatched):
            return False
        for p in self.waiting:
            if p.grad is not None:
                return False
        for cohort in self.cohorts:
            if not cohort.has_not_moved():
                return False
        if self.reads == self.marks.reads and not self.plain:
            return True
        # Whoever has read a tensor of the state may have given it other data, which the tensors themselves show.
        self.reads = self.marks.reads
        return all(cohort.is_sound() for cohort in self.cohorts)


def _same(now: dict[Any, Any], keys: list[Any], values: list[Any]) -> bool:
    return len(now) == len(keys) == len(values) and all(map(is_, now, keys)) and all(map(is_, now.values(), values))


def complete(state: dict[str, Any], p: Tensor, names: Sequence[str], counted: bool, name: str, where: str) -> None:
    """Give the state of `p` all its entries: those that are there, and if there are none those of the first step.

    Args:
        state: of the parameter, which is changed.
        p: the parameter.
        names: of the entries that are tensors like the parameter. One that is laid otherwise gets its layout.
        counted: whether a state holds the number of its steps.
        name: of the optimizer's class.
        where: what messages call the parameter.

    Raises:
        ValueError: for a state of another class, and for an entry that does not fit the parameter.
    """
    begins = not state
    if missing := missing_entries(state, names, counted) if not begins else []:
        raise ValueError(
            f"the state of {where} has no {', '.join(missing)}: it is not that of optim.{name}; delete it to begin anew"
        )
    for entry in names:
        moment = state.get(entry)
        if moment is None:
            state[entry] = torch.zeros_like(p, memory_format=torch.preserve_format)
            continue
        refusals.moment(entry, moment, p, where)
        if not laid_alike(moment, p):  # it gets the parameter's layout, and stays the object that it was
            moment.data = torch.empty_like(p, memory_format=torch.preserve_format).copy_(moment)
    if counted and begins:
        state["step"] = torch.tensor(0.0)
    if "decay_asked" in state:  # from a file of an earlier version
        state[OWED] = owed_of(state)


def missing_entries(state: dict[str, Any], names: Sequence[str], counted: bool) -> list[str]:
    """What torch.optim would miss in a state that is not empty; `names` and `counted` as in `Snapshot`.

    SGD's momentum may begin later than its steps.
    """
    needed = ["step", *names] if counted else []
    missing = [entry for entry in needed if state.get(entry) is None]
    return missing or [f"momentum_buffer, but {e}" for e in ("exp_avg",) if not counted and e in state]
