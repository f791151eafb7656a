"""State that goes to files and comes from them: `packed`, `settled`; and decay there, whose unit is always torch's.

What torch.optim.AdamW removes in a step is lr * weight_decay. In the paper's convention that is lr / base_lr * wd, so
weight_decay = wd / base_lr says the same there, under every schedule, and is what a file holds in either convention.
A group in the paper's convention holds wd itself, as its user does. Tools copy groups into files, files into groups,
and parts of one into another, so the unit stands beside the number under `UNIT`, and wd a second time under `PAPERS`:
where one of the two was lost, the other tells in which unit the number is.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

from torch import Tensor

from optim.base import refusals
from optim.base.cohort import OWED
from optim.base.snapshot import missing_entries

PAPERS = "paper_weight_decay"
UNIT = "weight_decay_unit"  # "torch" or "paper"
Group = dict[str, Any]


def packed(optimizer: Any) -> dict[str, Any]:
    """What `torch.optim.Optimizer.state_dict` returns, hooks included, with numbers that share no memory.

    State of parameters that are in no group any more is left out, for nothing could be done with it.
    """
    for before in optimizer._optimizer_state_dict_pre_hooks.values():
        before(optimizer)
    numbers: dict[int, int] = {}
    for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        numbers.setdefault(id(p), i)  # one that is repeated keeps the number of its first place
    state = {
        numbers[id(key)] if isinstance(key, Tensor) else key: _detached(entries)
        for key, entries in optimizer.state.items()
        if not isinstance(key, Tensor) or id(key) in numbers
    }
    groups = [
        outgoing(optimizer, group) | {"params": [numbers[id(p)] for p in group["params"]]}
        for group in optimizer.param_groups
    ]
    found: dict[str, Any] = {"state": state, "param_groups": groups}
    for after in optimizer._optimizer_state_dict_post_hooks.values():
        changed = after(optimizer, found)
        found = found if changed is None else changed
    return found


def _detached(entries: Any) -> Any:
    """A parameter's state; its numbers, which lie in one array with those of others, as tensors of their own."""
    if not isinstance(entries, dict):
        return entries
    return {k: v.clone() if k in ("step", OWED) and isinstance(v, Tensor) else v for k, v in entries.items()}


def outgoing(optimizer: Any, group: Group) -> Group:
    """A group as it is saved."""
    if not optimizer.decoupled:
        return dict(group)
    own = {name: optimizer.option(group, name) for name in optimizer.own}
    base_lr = group.get("base_lr", group.get("initial_lr", group["lr"]))
    wd = group["weight_decay"]
    both = (wd / base_lr, wd) if own["convention"] == "paper" else (wd, wd * base_lr)
    return group | own | {"base_lr": base_lr, "weight_decay": both[0], PAPERS: both[1], UNIT: "torch"}


def settled(optimizer: Any, state: dict[Any, Any], before: list[Group], after: list[Group]) -> None:
    """Complete what torch.optim has read of a file, `state` and the groups `after`, from the groups `before`.

    What the file has no word for keeps its value; its decay keeps its effect. ValueError for options that are not
    served and for the state of another class, which would be taken for a run's first steps.
    """
    name = type(optimizer).__name__
    for old, new in zip(before, after, strict=True):
        for i, p in enumerate(new["params"]):
            # A tool that asks a flattened file for every entry of ours puts an empty dict for what it does not have.
            there = {k: v for k, v in (state.get(p) or {}).items() if not (isinstance(v, dict) and not v)}
            if not there:
                continue
            missing = missing_entries(there, optimizer.state_names({**old, **new}), optimizer.counted)
            if missing:
                raise ValueError(
                    f"the state of parameter {i} has {', '.join(map(str, there))}, and no {', '.join(missing)}: "
                    f"it is not that of optim.{name}"
                )
            state[p] = {k: v.clone() if isinstance(v, Tensor) else v for k, v in there.items()}
        refusals.unserved_options(new, optimizer.refused, name)
        refusals.foreign(new, optimizer.defaults, name)
        _settle(optimizer, old, new)
    for key in state:
        if not isinstance(key, Tensor):
            state[key] = deepcopy(state[key])


def _settle(optimizer: Any, old: Group, new: Group) -> None:
    read = dict(new)
    for key in old:
        new.setdefault(key, old[key])
    if not optimizer.decoupled:
        return
    if "weight_decay" in read and (optimizer.is_torchs or "decoupled_weight_decay" in read):
        effect: float | None = _effect(read, old)
    else:
        effect = None
        new["weight_decay"] = old["weight_decay"]
    for name in optimizer.own:
        if name not in old and new.get(name, optimizer.defaults[name]) == optimizer.defaults[name]:
            new.pop(name, None)
    if optimizer.option(new, "convention") != "paper":
        if effect is not None:
            new["weight_decay"] = effect
        elif optimizer.option(old, "convention") == "paper":
            new["weight_decay"] = old["weight_decay"] / old["base_lr"]
        for name in ("base_lr", PAPERS, UNIT):
            new.pop(name, None)
        return
    base_lr = new["base_lr"] = _base_lr(read, old)
    if effect is None:
        papers = old["weight_decay"] * (1 if optimizer.option(old, "convention") == "paper" else base_lr)
    else:
        # To the bit, where either number of the file or that of the group before says the same.
        known = [read.get(PAPERS), old.get(PAPERS)]
        papers = next((wd for wd in known if wd is not None and math.isclose(wd, effect * base_lr)), effect * base_lr)
    new["weight_decay"] = new[PAPERS] = papers
    new[UNIT] = "paper"


def _base_lr(read: Group, old: Group) -> float:
    return read.get("base_lr") or read.get("initial_lr") or old.get("base_lr") or old["lr"]


def _effect(read: Group, old: Group) -> float:
    """The decay of a group that was read, in torch's units."""
    wd, papers, base_lr, unit = (read.get(name) for name in ("weight_decay", PAPERS, "base_lr", UNIT))
    assert wd is not None, "the caller has looked"
    if unit is None and papers and base_lr and wd == papers and not math.isclose(base_lr, 1):
        unit = "paper"
    return wd / _base_lr(read, old) if unit == "paper" else wd  # "paper": a tool has saved the group itself


def remember(group: Group) -> None:
    """Keep the second number of a group in the paper's convention, which its user may have changed.

    A tool may have written a file's number into the group, with or without its unit.
    """
    wd, papers, unit = group["weight_decay"], group.get(PAPERS), group.get(UNIT)
    if wd == papers and unit == "paper" and "base_lr" in group:
        return
    base_lr = group.setdefault("base_lr", group.get("initial_lr", group["lr"]))
    as_in_file = unit is None and papers is not None and wd != papers and math.isclose(wd, papers / base_lr)
    if as_in_file:
        wd = papers
    elif unit == "torch":
        wd = wd * base_lr
    group["weight_decay"] = group[PAPERS] = wd
    group[UNIT] = "paper"
