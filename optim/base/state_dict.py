"""State that goes to files, `packed`, and comes from them, `settled`; decay in a file is always in torch's unit.

torch.optim.AdamW removes lr * weight_decay in a step. The paper's convention removes lr / base_lr * wd, so
weight_decay = wd / base_lr says the same in torch's unit, under every schedule: that is what a file holds, whatever the
convention. A group in the paper's convention holds wd itself, the number that its user gave.

Tools copy groups into files, files into groups, and some keys of one into another. So a group says the unit of its
weight_decay under `UNIT`, and holds wd a second time under `PAPERS`: where one of the two was lost on the way, the
other still tells in which unit the number is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from torch import Tensor

from optim.base import refusals
from optim.base.cohort import OWED
from optim.base.snapshot import missing_entries

PAPERS = "paper_weight_decay"  # wd in the paper's unit
UNIT = "weight_decay_unit"  # "torch" or "paper"
Group = dict[str, Any]


def hooked(optimizer: Any, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The file that `make` returns, with the hooks that people have registered for `optimizer.state_dict`."""
    for before in optimizer._optimizer_state_dict_pre_hooks.values():
        before(optimizer)
    file = make()
    for after in optimizer._optimizer_state_dict_post_hooks.values():
        changed = after(optimizer, file)  # a hook may return another file
        file = file if changed is None else changed
    return file


def packed(optimizer: Any) -> dict[str, Any]:
    """What `torch.optim.Optimizer.state_dict` returns of an `optim.base.groups.Grouped`, hooks excepted.

    Its numbers share no memory with those of the optimizer.

    State of parameters that are in no group any more is left out, for nothing could be done with it.
    """
    numbers: dict[int, int] = {}
    for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        numbers.setdefault(id(p), i)  # a parameter that occurs twice keeps its first number, as in torch.optim
    state = {
        numbers[id(key)] if isinstance(key, Tensor) else key: _detached(entries)
        for key, entries in optimizer.state.items()
        if not isinstance(key, Tensor) or id(key) in numbers
    }
    groups = [
        outgoing(optimizer, group) | {"params": [numbers[id(p)] for p in group["params"]]}
        for group in optimizer.param_groups
    ]
    return {"state": state, "param_groups": groups}


def _detached(entries: Any) -> Any:
    """A parameter's state, with copies of its numbers: these lie in one array with those of other parameters."""
    if not isinstance(entries, dict):
        return entries
    return {k: v.clone() if k in ("step", OWED) and isinstance(v, Tensor) else v for k, v in entries.items()}


def outgoing(optimizer: Any, group: Group) -> Group:
    """A group as it is saved: decay in torch's unit, and the options that torch has no word for."""
    if not optimizer.decoupled:
        return dict(group)
    own = {name: optimizer.option(group, name) for name in optimizer.own}
    base_lr = group.get("base_lr", group.get("initial_lr", group["lr"]))
    wd = group["weight_decay"]
    both = (wd / base_lr, wd) if own["convention"] == "paper" else (wd, wd * base_lr)
    return group | own | {"base_lr": base_lr, "weight_decay": both[0], PAPERS: both[1], UNIT: "torch"}


def settled(optimizer: Any, state: dict[Any, Any], before: list[Group], after: list[Group]) -> None:
    """Complete what torch.optim has read from a file, `state` and the groups `after`, from the groups `before`.

    `optimizer`: the `optim.base.groups.Grouped` that loads it. What the file does not hold keeps its value, and the
    decay of the file keeps its effect. ValueError for options that are not served, and for the state of another class,
    which would be taken for a run's first steps.
    """
    name = type(optimizer).__name__
    for old, new in zip(before, after, strict=True):
        for i, p in enumerate(new["params"]):
            # A tool that asks a flattened file for every entry of the present state puts {} for those it lacks.
            entries = {k: v for k, v in (state.get(p) or {}).items() if not (isinstance(v, dict) and not v)}
            if not entries:
                continue
            missing = missing_entries(entries, optimizer.state_names({**old, **new}), optimizer.counted)
            if missing:
                raise ValueError(
                    f"the state of parameter {i} has {', '.join(map(str, entries))}, and no {', '.join(missing)}: "
                    f"it is not that of optim.{name}"
                )
            state[p] = {k: v.clone() if isinstance(v, Tensor) else v for k, v in entries.items()}
        refusals.unserved_options(new, optimizer.refused, name)
        refusals.foreign(new, optimizer.defaults, name)
        _settle(optimizer, old, new)
    for key in state:
        if not isinstance(key, Tensor):
            state[key] = deepcopy(state[key])


def _settle(optimizer: Any, old: Group, new: Group) -> None:
    """Complete the group `new` of a file from the group `old` in whose place it comes."""
    read = dict(new)
    for key in old:
        new.setdefault(key, old[key])
    if not optimizer.decoupled:
        return
    # A weight_decay that is an L2 penalty in the file, as that of torch.optim.SGD, says nothing about decoupled decay.
    if "weight_decay" in read and (optimizer.is_torchs or "decoupled_weight_decay" in read):
        effect: float | None = _effect(read, old)
    else:
        effect = None
        new["weight_decay"] = old["weight_decay"]
    # A group that did not hold its options goes on without them, if the file has nothing but the defaults.
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
        # wd / base_lr * base_lr is not wd to the bit: a number of the file or the group that is close is the exact one.
        known = [read.get(PAPERS), old.get(PAPERS)]
        papers = next((wd for wd in known if wd is not None and math.isclose(wd, effect * base_lr)), effect * base_lr)
    new["weight_decay"] = new[PAPERS] = papers
    new[UNIT] = "paper"


def _base_lr(read: Group, old: Group) -> float:
    """The rate that the schedule began with: of the file, where it says one, or else of the group before."""
    return read.get("base_lr") or read.get("initial_lr") or old.get("base_lr") or old["lr"]


def _effect(read: Group, old: Group) -> float:
    """The decay of a group that was read, in torch's unit."""
    wd, papers, base_lr, unit = (read.get(name) for name in ("weight_decay", PAPERS, "base_lr", UNIT))
    assert wd is not None, "the caller has looked"
    # Where the unit was lost, a number that equals the paper's is in its unit. At base_lr 1 both units are the same.
    if unit is None and papers and base_lr and wd == papers and not math.isclose(base_lr, 1):
        unit = "paper"
    # "paper" stands in a file only where a tool has saved the group itself.
    return wd / _base_lr(read, old) if unit == "paper" else wd


def remember(group: Group) -> None:
    """Bring `PAPERS` and `UNIT` of a group in the paper's convention up to date with its weight_decay.

    Its user may have set another number, which is in the paper's unit. A tool may have written a file's number into the
    group, which is in torch's unit, with or without saying so.
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
