"""SGD fused into the backward pass, so that gradients are never all in memory: `LOMO`, a torch.optim.Optimizer."""

from __future__ import annotations

import gc
from collections.abc import Callable
from operator import is_
from typing import Any
from weakref import WeakMethod

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from optim.base import refusals
from optim.base.groups import outside_graphs

MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")


class LOMO(torch.optim.Optimizer):
    """Low-memory optimization (Lv et al. 2023, arXiv:2306.09782): plain SGD, with no momentum and no state.

        theta <- (1 - lr weight_decay) theta - lr g          g limited to [-clip_value, clip_value] if that is given

    Each parameter is updated as soon as the backward pass has its whole gradient (shared weights: after the last of
    their uses), and the gradient is freed at once: `.grad` is None after backward. Without decay the weights are those
    of torch.optim.SGD to the bit; decay is decoupled, in torch's convention.

        optimizer = LOMO(model.parameters(), lr)
        loss.backward()         # moves the weights
        optimizer.step()        # counts the step, so that the next backward may begin; LR schedulers go on from here

    What needs all gradients at once is impossible: clipping by the global norm, and skipping a step in which a
    gradient is not finite (so no torch.amp.GradScaler, which would also scale what the weights move by). A second
    backward before `step()`, as for gradient accumulation, is refused. So is `step()` without a backward. Of a backward
    that failed halfway the weights stay half moved; `zero_grad()` or `step()` lets the next one begin.

    Under DistributedDataParallel weights would move before gradients are averaged over the ranks, so that is refused.

    Arguments, which may differ between groups and be set anew, as may the groups' lists of parameters:

        params          tensors, (name, tensor) pairs, or groups of either; real floating-point numbers
        lr              learning rate, 0 or more; 1e-3
        weight_decay    0 or more; lr * weight_decay of each weight is removed in a step; 0
        clip_value      above 0: the limit of each element of a gradient; None: none

    Memory: no bytes per parameter beside the weights, and in backward the largest gradients under way.
    Parameters are hooked until `remove()`; copies of a model (copy.deepcopy) are not.
    """

    def __init__(
        self, params: Any, lr: float = 1e-3, weight_decay: float = 0.0, clip_value: float | None = None
    ) -> None:
        self._handles: dict[Tensor, RemovableHandle] = {}
        self._group_of: dict[Tensor, dict[str, Any]] = {}
        self._members: list[Tensor] = []  # of all groups, when they were last looked at
        self._groups: list[dict[str, Any]] = []
        self._moved: set[Tensor] = set()
        self._failed = False  # whether the backward that moved these has not ended, unless it goes on still
        self.steps = 0  # taken by this object
        self._made = False
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "clip_value": clip_value})
        self._made = True
        self._look()  # hooks are set when nothing can be refused any more

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        try:
            _check(self.param_groups[-1], at_start=True)
            refusals.repeated(self.param_groups)
        except (TypeError, ValueError):
            del self.param_groups[-1]
            raise
        if self._made:
            self._look()

    @outside_graphs
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """End a step whose backward has moved the weights. Returns what `closure`, which runs backward, returns.

        Parameters that were put into a group since the last step had no hook in this backward, and move now.
        """
        if not self._handles:
            raise RuntimeError("LOMO.step(): the hooks were removed; make a new LOMO to go on")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._look()
        for p in self._members:
            if p.grad is not None and p not in self._moved:
                self._apply(p)
        if not self._moved:
            raise RuntimeError(
                "LOMO.step(): no parameter has got a gradient since the last step; call backward() first"
            )
        self._moved.clear()
        self.steps += 1
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch.optim's. After a backward that failed halfway the next one may begin."""
        super().zero_grad(set_to_none)
        if self._failed:
            self._moved.clear()

    def _end(self) -> None:
        """What autograd calls at the end of a backward that did not fail."""
        self._failed = False

    def remove(self) -> None:
        """Take the hooks off: backward leaves gradients in `.grad` again, and this object can no longer step."""
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"steps": self.steps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _refuse_foreign(state, state.get("defaults", self.__dict__.get("defaults", {})))
        super().__setstate__(state)
        if "_handles" not in self.__dict__:  # unpickled or copied: the parameters are others
            self._handles, self._group_of, self._moved, self._members, self._groups = {}, {}, set(), [], []
            self._made, self._failed = True, False
        self._look()

    def _look(self) -> None:
        """Hook the parameters that are in the groups now, and no others."""
        members = [p for group in self.param_groups for p in group["params"]]
        same = len(members) == len(self._members) and all(map(is_, members, self._members))
        if same and len(self.param_groups) == len(self._groups) and all(map(is_, self.param_groups, self._groups)):
            return
        for group in self.param_groups:
            for name in ("lr", "weight_decay", "clip_value"):  # torch.optim's loader adds more to the defaults
                group.setdefault(name, self.defaults[name])  # a group that was put into the list by hand
            _check(group, at_start=False)
        refusals.repeated(self.param_groups)
        if self.around is not None and (begin := self.around()) is not None:
            begin()
        self._members, self._groups = members, list(self.param_groups)
        self._group_of = {p: group for group in self.param_groups for p in group["params"]}
        for p in [p for p in self._handles if p not in self._group_of]:
            self._handles.pop(p).remove()
        for p in members:
            if p not in self._handles:
                frozen = not p.requires_grad
                p.requires_grad_()  # a hook can be put on no other; what is unfrozen later then takes part
                self._handles[p] = p.register_post_accumulate_grad_hook(self._apply)
                p.requires_grad_(not frozen)
        self._looked = False

    around: WeakMethod[Callable[[], None]] | None = None  # what `optim.Lookahead` does before new parameters move
    _looked = False  # whether the parameters were looked for in a DistributedDataParallel

    @torch.no_grad()
    @outside_graphs
    def _apply(self, p: Tensor) -> None:
        """What autograd calls when `p.grad` is complete."""
        if not self._moved:  # the first of a backward pass
            self._look()
            for group in self.param_groups:  # before anything moves
                _refuse_numbers(group)
            if not self._looked:
                _refuse_data_parallel(self._group_of)
                self._looked = True
            self._failed = torch._C._current_graph_task_id() >= 0  # in a backward, and not called by `step`
            if self._failed:
                torch.autograd.Variable._execution_engine.queue_callback(self._end)
        if p not in self._group_of:
            return  # it has left its group since, and its gradient stays
        gradient, group = p.grad, self._group_of[p]
        if gradient is None:
            raise RuntimeError("LOMO: another one steps the same parameter, and has taken its gradient: remove() that")
        p.grad = None
        if p in self._moved:
            raise RuntimeError(
                "LOMO: a second backward before step(), or one after a backward that failed halfway; gradients cannot "
                "be accumulated, call step() first, or zero_grad() after one that failed"
            )
        if gradient.shape != p.shape:
            raise TypeError(
                f"a gradient of {tuple(gradient.shape)} for a parameter of {tuple(p.shape)}: they must agree"
            )
        clip, lr, wd = group["clip_value"], float(group["lr"]), float(group["weight_decay"])
        if clip is not None:
            if gradient.layout is not torch.strided:
                raise TypeError(f"clip_value={clip!r}: is for dense gradients; got {gradient.layout}")
            gradient = gradient.clamp(-clip, clip)
        if wd:
            p.mul_(1 - lr * wd)
        p.add_(gradient, alpha=-lr)
        self._moved.add(p)


def _check(group: dict[str, Any], at_start: bool) -> None:
    if at_start:
        refusals.non_negative(group, "lr", "weight_decay")
    _refuse_numbers(group)
    for p in group["params"]:
        if not p.is_floating_point():
            raise TypeError(f"optim.LOMO serves real floating-point parameters; got {p.dtype}")


def _refuse_numbers(group: dict[str, Any]) -> None:
    for name in ("lr", "weight_decay"):
        refusals.finite(group, name)
    clip = group["clip_value"]
    if clip is not None and not (isinstance(clip, (int, float)) and clip > 0):
        raise ValueError(f"clip_value={clip!r}: must be a number above 0, or None for no clipping")


def _refuse_foreign(file: dict[str, Any], defaults: dict[str, Any]) -> None:
    """ValueError for the file of an optimizer that keeps moments, or has another's options."""
    for entries in file["state"].values():
        there = [k for k in MOMENTS if isinstance(entries, dict) and entries.get(k) is not None]
        if there:
            raise ValueError(f"the state of a parameter has {', '.join(there)}: it is not that of optim.LOMO")
    for group in file["param_groups"]:
        refusals.foreign(group, defaults, "LOMO")


def _refuse_data_parallel(parameters: dict[Tensor, Any]) -> None:
    """RuntimeError if a DistributedDataParallel of several ranks has some of these: its ranks would drift apart.

    It reduces gradients after the hooks of parameters have run, and a parameter does not know of it: so all of the
    process's modules of that class are looked through, once.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return
    if torch.distributed.get_world_size() == 1:
        return
    for found in gc.get_objects():
        if issubclass(type(found), DistributedDataParallel) and any(p in parameters for p in found.parameters()):
            raise RuntimeError(
                "LOMO moves weights within backward, before DistributedDataParallel averages their gradients, and its "
                "ranks would drift apart: use FSDP2 (fully_shard), or optim.SGD"
            )
