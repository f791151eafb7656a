"""SGD fused into the backward pass, so that gradients are never all in memory: `LOMO`, a torch.optim.Optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from optim.refusals import non_negative


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
    backward before `step()`, as for gradient accumulation, is refused. So is `step()` without a backward.

    `lr` and `weight_decay` are numbers, read from the parameter groups when a gradient arrives; default 1e-3 and 0.
    Memory: no bytes per parameter beside the weights, and in backward the largest gradients under way.
    Parameters are hooked until `remove()`; copies of a model (copy.deepcopy) are not.
    """

    def __init__(
        self, params: Any, lr: float = 1e-3, weight_decay: float = 0.0, clip_value: float | None = None
    ) -> None:
        self._handles: dict[Tensor, RemovableHandle] = {}
        self._group_of: dict[Tensor, int] = {}
        self._moved: set[Tensor] = set()
        self.steps = 0  # taken by this object
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "clip_value": clip_value})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        try:
            _check(self.param_groups[-1])
        except (TypeError, ValueError):
            del self.param_groups[-1]
            raise
        self._hook(len(self.param_groups) - 1)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """End a step whose backward has moved the weights. Returns what `closure`, which runs backward, returns."""
        if not self._handles:
            raise RuntimeError("LOMO.step(): the hooks were removed; make a new LOMO to go on")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not self._moved:
            raise RuntimeError(
                "LOMO.step(): no parameter has got a gradient since the last step; call backward() first"
            )
        self._moved.clear()
        self.steps += 1
        return loss

    def remove(self) -> None:
        """Take the hooks off: backward leaves gradients in `.grad` again, and this object can no longer step."""
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"steps": self.steps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_handles" not in self.__dict__:  # unpickled or copied: the parameters are others
            self._handles, self._group_of, self._moved = {}, {}, set()
            for index in range(len(self.param_groups)):
                self._hook(index)

    def _hook(self, index: int) -> None:
        for p in self.param_groups[index]["params"]:
            self._group_of[p] = index
            frozen = not p.requires_grad
            p.requires_grad_()  # a hook can be put on no other; what is unfrozen later then takes part
            self._handles[p] = p.register_post_accumulate_grad_hook(self._apply)
            p.requires_grad_(not frozen)

    @torch.no_grad()
    def _apply(self, p: Tensor) -> None:
        """What autograd calls when `p.grad` is complete."""
        gradient, group = p.grad, self.param_groups[self._group_of[p]]
        assert gradient is not None, "autograd has just written it"
        p.grad = None
        if p in self._moved:
            raise RuntimeError(
                "LOMO: a second backward before step(); gradients cannot be accumulated, call step() first"
            )
        clip, lr = group["clip_value"], group["lr"]
        if clip is not None:
            if gradient.layout is not torch.strided:
                raise TypeError(f"clip_value={clip!r}: is for dense gradients; got {gradient.layout}")
            gradient.clamp_(-clip, clip)
        if group["weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        p.add_(gradient, alpha=-lr)
        self._moved.add(p)


def _check(group: dict[str, Any]) -> None:
    non_negative(group, "lr", "weight_decay")
    if group["clip_value"] is not None and not group["clip_value"] > 0:
        raise ValueError(f"clip_value={group['clip_value']!r}: must be above 0, or None for no clipping")
    for p in group["params"]:
        if not p.is_floating_point():
            raise TypeError(f"optim.LOMO serves real floating-point parameters; got {p.dtype}")
