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
from optim.base.groups import evaluated, outside_graphs

MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")  # entries of a state that tell another optimizer's file


class LOMO(torch.optim.Optimizer):
    """Low-memory optimization: plain SGD within the backward pass, with no momentum and no state.

        theta <- (1 - lr weight_decay) theta - lr g          g limited to [-clip_value, clip_value] if that is given

    Source: Lv et al. 2023, arXiv:2306.09782, Algorithm 1. Each parameter is updated as soon as backward has its whole
    gradient (shared weights: after the last of their uses), and the gradient is freed at once: `.grad` is None then.
    Without decay the weights are those of torch.optim.SGD to the bit; decay is decoupled, in torch's convention.

        optimizer = LOMO(model.parameters(), lr)
        loss.backward()         # moves the weights
        optimizer.step()        # counts the step, so that the next backward may begin; LR schedulers go on from here

    What needs all gradients at once is impossible: clipping by the global norm, and skipping a step in which a
    gradient is not finite (so no torch.amp.GradScaler, which would also scale what the weights move by). A second
    backward before `step()`, as for gradient accumulation, is refused. So is `step()` without a backward. Of a backward
    that failed halfway the weights stay half moved; `zero_grad()` or `step()` lets the next one begin.

    Under DistributedDataParallel weights would move before gradients are averaged over the ranks, so that is refused.

    Memory: no bytes per parameter beside the weights, and in backward the largest gradients under way. Parameters are
    hooked until `remove()`; copies of a model (copy.deepcopy) are not. The numbers may differ between groups and be set
    anew between steps, as may the groups' lists of parameters.

    Args:
        params: tensors, (name, tensor) pairs, or groups of either: real floating-point numbers.
        lr: learning rate, 0 or more. Default 1e-3.
        weight_decay: 0 or more; lr * weight_decay of each weight is removed in a step. Default 0.
        clip_value: above 0: the limit of each element of a gradient, which must be dense. Default None: no limit.

    Raises:
        TypeError: for a parameter that is no real floating-point tensor.
        ValueError: for a number out of its range, or a parameter that occurs twice.
    """

    def __init__(
        self, params: Any, lr: float = 1e-3, weight_decay: float = 0.0, clip_value: float | None = None
    ) -> None:
        self._handles: dict[Tensor, RemovableHandle] = {}  # of the hooked parameters
        self._group_of: dict[Tensor, dict[str, Any]] = {}
        # Parameters and groups as `_look` last saw them: a step compares, and sets hooks only after an edit.
        self._members: list[Tensor] = []
        self._groups: list[dict[str, Any]] = []
        self._moved: set[Tensor] = set()  # parameters that were moved since the last `step`
        # Set when a backward pass begins to move weights and cleared when it ends: outside of a backward pass it says
        # that the last one failed halfway.
        self._failed = False
        self.steps = 0  # taken by this object
        self._made = False  # whether the constructor has come to its end
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "clip_value": clip_value})
        self._made = True
        self._look()  # hooks are set last, when nothing can be refused any more: an object that fails leaves none

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch.optim's, with hooks for its parameters; TypeError or ValueError, and nothing added, as above."""
        super().add_param_group(param_group)
        refusals.last_group(self.param_groups, _check)
        if self._made:
            self._look()

    @outside_graphs
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """End a step whose backward has moved the weights. Returns what `closure`, which runs backward, returns.

        Parameters that were put into a group since the last step had no hook in this backward, and move now.
        """
        if not self._handles:
            raise RuntimeError("LOMO.step(): the hooks were removed; make a new LOMO to go on")
        loss = evaluated(closure)
        self._look()
        # Parameters without a hook in this backward pass still have their gradients.
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
        """As torch.optim's, `set_to_none` too; and after a backward that failed halfway the next one may begin."""
        super().zero_grad(set_to_none)
        if self._failed:
            self._moved.clear()

    def _end(self) -> None:
        """Autograd calls this at the end of a backward pass that did not fail."""
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
        if "_handles" not in self.__dict__:  # unpickled or copied: the parameters are other objects, without hooks
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
            for name in ("lr", "weight_decay", "clip_value"):  # for a group that was put into the list by hand
                group.setdefault(name, self.defaults[name])
            _check(group, at_start=False)
        refusals.repeated(self.param_groups)
        # Lookahead's slow weights of a new parameter begin as the weights before their first step, which is now.
        if self.around is not None and (begin := self.around()) is not None:
            begin()
        self._members, self._groups = members, list(self.param_groups)
        self._group_of = {p: group for group in self.param_groups for p in group["params"]}
        for p in [p for p in self._handles if p not in self._group_of]:
            self._handles.pop(p).remove()
        for p in members:
            if p not in self._handles:
                # Hooks need requires_grad; hook frozen parameters too, so that they work once unfrozen.
                frozen = not p.requires_grad
                p.requires_grad_()
                self._handles[p] = p.register_post_accumulate_grad_hook(self._apply)
                p.requires_grad_(not frozen)
        self._looked = False

    around: WeakMethod[Callable[[], None]] | None = None  # called before new parameters may move, for `optim.Lookahead`
    _looked = False  # whether the parameters were searched for in a DistributedDataParallel

    @torch.no_grad()
    @outside_graphs
    def _apply(self, p: Tensor) -> None:
        """Move a parameter: autograd calls this when `p.grad` is complete."""
        if not self._moved:  # the first of a backward pass
            self._look()
            for group in self.param_groups:  # all numbers are checked before anything moves
                _refuse_numbers(group)
            if not self._looked:
                _refuse_data_parallel(self._group_of)
                self._looked = True
            self._failed = torch._C._current_graph_task_id() >= 0  # within a backward pass; `step` may call this too
            if self._failed:
                torch.autograd.Variable._execution_engine.queue_callback(self._end)
        if p not in self._group_of:
            return  # the parameter has left its group since it was hooked: its gradient stays
        # The gradient is taken off the parameter first: whatever is refused below, no gradient stays to be added to.
        gradient, group = p.grad, self._group_of[p]
        if gradient is None:
            raise RuntimeError("LOMO: another one steps the same parameter, and has taken its gradient: remove() that")
        p.grad = None
        if p in self._moved:
            raise RuntimeError(
                "LOMO: a second backward before step(), or one after a backward that failed halfway; gradients cannot "
                "be accumulated, call step() first, or zero_grad() after one that failed"
            )
        refusals.agreement(p, gradient)
        clip, lr, wd = group["clip_value"], float(group["lr"]), float(group["weight_decay"])
        if clip is not None:
            if gradient.layout is not torch.strided:
                raise TypeError(f"clip_value={clip!r}: is for dense gradients; got {gradient.layout}")
            gradient = gradient.clamp(-clip, clip)
        if wd:  # or else a multiplication by 1 would be one more pass over the weights
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
        moments = [k for k in MOMENTS if isinstance(entries, dict) and entries.get(k) is not None]
        if moments:
            raise ValueError(f"the state of a parameter has {', '.join(moments)}: it is not that of optim.LOMO")
    for group in file["param_groups"]:
        refusals.foreign(group, defaults, "LOMO")


def _refuse_data_parallel(parameters: dict[Tensor, Any]) -> None:
    """RuntimeError if a DistributedDataParallel of several ranks holds some of these: its ranks would drift apart.

    It averages gradients after the hooks of parameters have run. A parameter does not know the modules that hold it, so
    all modules of that class in this process are looked through, once.
    """
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    for thing in gc.get_objects():
        # isinstance would ask proxies for their class, and some of them fail at it.
        if issubclass(type(thing), DistributedDataParallel) and any(p in parameters for p in thing.parameters()):
            raise RuntimeError(
                "LOMO moves weights within backward, before DistributedDataParallel averages their gradients, and its "
                "ranks would drift apart: use FSDP2 (fully_shard), or optim.SGD"
            )
