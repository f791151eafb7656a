"""What people do to an optimizer between steps, as functions that are applied to ours and to torch.optim alike.

A `Side` is an optimizer with a pool of tensors. `EDITS` names functions (side, i, j): `i` and `j` choose among what is
there, so the same call does the same to both sides.
"""

from __future__ import annotations

import copy
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

SHAPES = [(3, 16, 2), (5,), (40,), (), (1,), (4, 3, 2, 5), (7, 2), (2,)]
Make = Callable[[Any], torch.optim.Optimizer]


@dataclass
class Side:
    """One of the two: `make` an optimizer of groups; it begins with the first four tensors of the pool in two."""

    make: Make
    dtype: torch.dtype = torch.float32
    pool: list[Tensor] = field(init=False)
    optimizer: Any = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.pool = [torch.randn(s, generator=g).to(self.dtype).requires_grad_() for s in SHAPES]
        self.optimizer = self.make([{"params": self.pool[:2]}, {"params": self.pool[2:4], "weight_decay": 0.02}])

    def step(self, without: int = 0) -> None:
        """Gradients depend on the step and the place in the pool; bit i of `without`: tensor i has none."""
        for i, p in enumerate(self.pool):
            g = torch.Generator().manual_seed(100 * self.steps + i)
            gradient = torch.randn(p.shape, generator=g).to(p.dtype)
            p.grad = None if without >> i & 1 else gradient.contiguous(memory_format=layout(p))
        if any(p.grad is not None for p in self.used()):  # LOMO refuses a step without any
            self.optimizer.step()
        self.steps += 1

    def group(self, i: int) -> dict[str, Any]:
        groups = self.optimizer.param_groups
        return groups[i % len(groups)]

    def used(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def unused(self, i: int) -> Tensor | None:
        known = {id(p) for p in self.used()}
        left = [p for p in self.pool if id(p) not in known]
        return left[i % len(left)] if left else None

    def stepped(self, i: int) -> Tensor | None:
        """A parameter in use that has moments."""
        state = self.optimizer.state
        some = [p for p in self.used() if any(isinstance(v, Tensor) for v in state.get(p, {}).values())]
        return some[i % len(some)] if some else None


def layout(p: Tensor) -> torch.memory_format:
    there = p.dim() == 4 and not p.is_contiguous()
    return torch.channels_last if there else torch.contiguous_format


def append(side: Side, i: int, j: int) -> None:
    if (p := side.unused(j)) is not None:
        side.group(i)["params"].append(p)


def new_list(side: Side, i: int, j: int) -> None:
    if (p := side.unused(j)) is not None:
        side.group(i)["params"] = [p, *side.group(i)["params"]]


def replace(side: Side, i: int, j: int) -> None:
    members = side.group(i)["params"]
    if members and (p := side.unused(j)) is not None:
        side.optimizer.state.pop(members[j % len(members)], None)
        members[j % len(members)] = p


def drop(side: Side, i: int, j: int) -> None:
    members = side.group(i)["params"]
    if len(members) > 1:
        members.pop(j % len(members))


def drop_by_slice(side: Side, i: int, j: int) -> None:
    if len(side.group(i)["params"]) > 1:
        side.group(i)["params"] = side.group(i)["params"][:-1]


def drop_group(side: Side, i: int, j: int) -> None:
    if len(side.optimizer.param_groups) > 1:
        del side.optimizer.param_groups[i % len(side.optimizer.param_groups)]


def append_group(side: Side, i: int, j: int) -> None:
    if (p := side.unused(j)) is not None:
        side.optimizer.param_groups.append({**side.group(i), "params": [p], "lr": 0.004})


def add_group(side: Side, i: int, j: int) -> None:
    if (p := side.unused(j)) is not None:
        side.optimizer.add_param_group({"params": [p], "weight_decay": 0.03})


def replace_group(side: Side, i: int, j: int) -> None:
    groups = side.optimizer.param_groups
    groups[i % len(groups)] = {**side.group(i), "lr": 0.002 * (1 + j % 3)}


def set_numbers(side: Side, i: int, j: int) -> None:
    group = side.group(i)
    group["lr"], group["weight_decay"] = 0.003 * (j % 4), 0.05 * (j % 3)
    if "betas" in group:
        group["betas"] = (0.5 + 0.1 * (j % 3), 0.9)
    if group.get("momentum"):
        group["momentum"] = 0.5 + 0.1 * (j % 3)


def reset_in_place(side: Side, i: int, j: int) -> None:
    if (p := side.stepped(i)) is not None:
        for value in side.optimizer.state[p].values():
            if isinstance(value, Tensor) and value.shape == p.shape:
                value.zero_()


def new_moments(side: Side, i: int, j: int) -> None:
    if (p := side.stepped(i)) is not None:
        for key in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
            if side.optimizer.state[p].get(key) is not None:
                side.optimizer.state[p][key] = torch.full_like(p, 0.01 * (1 + j % 5), requires_grad=False)


def forget(side: Side, i: int, j: int) -> None:
    if (p := side.stepped(i)) is not None:
        del side.optimizer.state[p]


def empty(side: Side, i: int, j: int) -> None:
    if (p := side.stepped(i)) is not None:
        side.optimizer.state[p] = {}


def plain_copy(side: Side, i: int, j: int) -> None:
    """A dict of the user's, which is edited a step later."""
    if (p := side.stepped(i)) is not None:
        mine = dict(side.optimizer.state[p])
        side.optimizer.state[p] = mine
        side.step(without=j % 7)
        for key in ("exp_avg", "momentum_buffer"):
            if mine.get(key) is not None:
                mine[key] = torch.full_like(p, 0.02, requires_grad=False)


def zero_step(side: Side, i: int, j: int) -> None:
    if (p := side.stepped(i)) is not None and "step" in side.optimizer.state[p]:
        side.optimizer.state[p]["step"].zero_()


def new_step(side: Side, i: int, j: int) -> None:
    if (p := side.stepped(i)) is not None and "step" in side.optimizer.state[p]:
        side.optimizer.state[p]["step"] = torch.tensor(float(j % 50))


def clear_state(side: Side, i: int, j: int) -> None:
    if j % 2:
        side.optimizer.state.clear()
    else:
        side.optimizer.state = defaultdict(dict)


def pruned(side: Side, i: int, j: int) -> None:
    """As points are pruned: a parameter of half the size in its place, its state cut and moved along."""
    group = side.group(i)
    for place, p in enumerate(group["params"]):
        if p.dim() and len(p) > 1:
            keep = slice(0, len(p) // 2)
            new = p.detach()[keep].clone().requires_grad_()
            state = side.optimizer.state.pop(p, None)
            if state is not None:
                cut = {
                    k: v[keep].clone() if isinstance(v, Tensor) and v.shape == p.shape else v for k, v in state.items()
                }
                state.update(cut)
                side.optimizer.state[new] = state
            group["params"][place] = new
            side.pool[next(n for n, q in enumerate(side.pool) if q is p)] = new
            return


def new_data(side: Side, i: int, j: int) -> None:
    for p in side.used():
        p.data = p.data * (1 + 0.1 * (i % 3))


def turned(side: Side, i: int, j: int) -> None:
    """channels_last, or back."""
    for p in side.used():
        if p.dim() == 4:
            to = torch.contiguous_format if layout(p) is torch.channels_last else torch.channels_last
            p.data = p.data.contiguous(memory_format=to)


def frozen(side: Side, i: int, j: int) -> None:
    """Some steps in which different parameters have no gradient."""
    for some in (1 << i % 8, 1 << j % 8, 3 << j % 7):
        side.step(without=some)


def saved(side: Side, i: int, j: int) -> None:
    """A new optimizer over the same groups, which loads what the old one saved."""
    known = {id(p) for p in side.used()}
    for p in [p for p in side.optimizer.state if id(p) not in known]:
        del side.optimizer.state[p]  # torch.optim cannot save it
    state = copy.deepcopy(side.optimizer.state_dict())
    groups = [{"params": group["params"]} for group in side.optimizer.param_groups]
    side.optimizer = side.make(groups)
    side.optimizer.load_state_dict(state)


def loaded_into_itself(side: Side, i: int, j: int) -> None:
    known = {id(p) for p in side.used()}
    for p in [p for p in side.optimizer.state if id(p) not in known]:
        del side.optimizer.state[p]
    side.optimizer.load_state_dict(side.optimizer.state_dict())


def copied(side: Side, i: int, j: int) -> None:
    both = side.pool, side.optimizer
    side.pool, side.optimizer = copy.deepcopy(both) if j % 2 else pickle.loads(pickle.dumps(both))


EDITS: dict[str, Callable[[Side, int, int], None]] = {
    edit.__name__: edit
    for edit in (
        *(append, new_list, replace, drop, drop_by_slice, drop_group, append_group, add_group, replace_group),
        *(set_numbers, reset_in_place, new_moments, forget, empty, plain_copy, zero_step, new_step, clear_state),
        *(pruned, new_data, turned, frozen, saved, loaded_into_itself, copied),
    )
}
