"""What `optim.AdamW`, `Adam`, `SGD` and `SGDW` share: a torch.optim.Optimizer over cached lists of tensors.

A subclass says what its state is called and steps one cohort; everything that PyTorch expects of an optimizer is
here. Parameters stay where they are, and are read anew at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import _global_optimizer_post_hooks as _post_hooks
from torch.optim.optimizer import _global_optimizer_pre_hooks as _pre_hooks

from optim.cohort import Cohort, in_memory_order
from optim.interchange import outgoing, settle
from optim.release import Ledger, release_one

CONVENTIONS = ("torch", "paper")
_is_contiguous = Tensor.is_contiguous
_InferenceMode = torch._C._InferenceMode


class Optimizer(torch.optim.Optimizer):
    """Base of the four; not for use by itself."""

    decoupled: ClassVar[bool]
    counted: ClassVar[bool]  # whether the state holds the number of steps
    unserved: ClassVar[dict[str, Any]]  # options of torch's class, with the only value that is served
    _step_supports_amp_scaling = True  # torch.amp.GradScaler leaves scale and verdict to the step

    def __init__(self, parameters: Any, defaults: dict[str, Any]) -> None:
        self._cohorts: list[Cohort] | None = None
        super().__init__(parameters, defaults)

    def state_names(self, group: dict[str, Any]) -> Sequence[str]:
        """The tensors beside each parameter, by the names that torch.optim gives them."""
        raise NotImplementedError

    def step_cohort(
        self, cohort: Cohort, tensors: tuple[list[Tensor], ...], decay: float, grad_scale: Tensor | None
    ) -> None:
        """Step (parameters, gradients, *moments); `decay`: the fraction that decoupled decay removes now."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except (TypeError, ValueError):
            del self.param_groups[-1]
            raise
        self.param_groups[-1].setdefault("base_lr", self.param_groups[-1]["lr"])
        self._keep_ledgers()
        self._cohorts = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step from the parameters' `.grad`; those without are left alone. Returns what `closure` returns."""
        hooks = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks or _pre_hooks or _post_hooks
        return self._watched_step(closure) if hooks or torch.autograd._profiler_enabled() else self._step(closure)

    # torch.optim would wrap `step` in profiling and hooks at every call, a tenth of the time of a small network's step.
    step.hooked = True  # type: ignore[attr-defined]

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grad_scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if found_inf is not None and found_inf.item():
            return loss
        for cohort, gradients in self._ready():
            decay = self._decay(cohort) if self.decoupled else 0.0
            tensors = (cohort.parameters, gradients, *cohort.moments)
            if cohort.parameters[0].is_cuda:
                with torch.no_grad():
                    self.step_cohort(cohort, tensors, decay, grad_scale)
            else:
                with _InferenceMode(True):  # as no_grad, and five microseconds less for a small network
                    if not (all(map(_is_contiguous, cohort.parameters)) and all(map(_is_contiguous, gradients))):
                        tensors = in_memory_order(*tensors)
                    self.step_cohort(cohort, tensors, decay, grad_scale)
        return loss

    _watched_step = torch.optim.Optimizer.profile_hook_step(_step)

    @torch.no_grad()
    def release_decay(self) -> None:
        """Apply the decay that is still saved up, less than 2^-16 of each weight; for the end of a run."""
        for cohort in self._cohorts or self._regroup():
            due, cohort.ledger = release_one(0.0, cohort.ledger, last=True)
            if due:
                torch._foreach_mul_(cohort.parameters, 1 - due)

    def state_dict(self) -> dict[str, Any]:
        """As torch.optim's, which loads it: its own names and units of decay, and a few more that it passes over."""
        self._keep_ledgers()
        packed = super().state_dict()
        # Every parameter gets a count of its own: torch.optim would add to a shared one once for each parameter.
        packed["state"] = {
            key: {k: v.clone() if k == "step" else v for k, v in state.items()}
            for key, state in packed["state"].items()
        }
        packed["param_groups"] = [self.unserved | outgoing(group) for group in packed["param_groups"]]
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From here or from torch.optim's class of the same name; what that has no word for keeps its value.

        Decay comes in torch's units, and in the paper's convention goes on with the same effect.
        """
        for group in state_dict["param_groups"]:
            self._refuse_options(group)
        mine = self.param_groups
        super().load_state_dict({**state_dict, "state": deepcopy(state_dict["state"])})  # torch's would share memory
        for old, new in zip(mine, self.param_groups, strict=True):
            settle(old, new, known=not self.decoupled or "decoupled_weight_decay" in self.unserved)

    def __getstate__(self) -> dict[str, Any]:
        self._keep_ledgers()
        return super().__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._cohorts = None

    def _ready(self) -> list[tuple[Cohort, list[Tensor]]]:
        """The cohorts to step now and their gradients; a cohort of which only some have a gradient is split."""
        if self._cohorts is None or any(self._outdated(cohort) for cohort in self._cohorts):
            self._keep_ledgers()
            self._cohorts = self._regroup()
        ready = []
        for cohort in list(self._cohorts):
            gradients: list[Any] = [p.grad for p in cohort.parameters]
            if type(None) in set(map(type, gradients)):
                gradients = [g for g in gradients if g is not None]
                if not gradients:
                    continue
                first, second = cohort.split()
                place = self._cohorts.index(cohort)
                self._cohorts[place : place + 1] = [first, second]
                cohort = first
            if not cohort.started:
                self._start(cohort)
            ready.append((cohort, gradients))
        return ready

    def _regroup(self) -> list[Cohort]:
        cohorts = []
        for group in self.param_groups:
            found: dict[Any, list[Tensor]] = {}
            for p in group["params"]:
                known = self.state.get(p, {})
                history = [float(known.get(key, 0)) for key in ("step", "decay_asked", "decay_applied")]
                found.setdefault((p.device, p.dtype, *history), []).append(p)
            cohorts += [Cohort(group, some, key[2], Ledger(*key[3:])) for key, some in found.items()]
        return cohorts

    def _start(self, cohort: Cohort) -> None:
        """Give the parameters of a cohort their state, or find it there."""
        names = self.state_names(cohort.group)
        for p in cohort.parameters:
            _refuse_tensor(type(self).__name__, p)
            state = self.state[p]
            if self.counted:
                state["step"] = cohort.count
            for name in names:
                there = state.get(name)
                if there is None or there.stride() != p.stride():
                    state[name] = torch.zeros_like(p, memory_format=torch.preserve_format)
                    if there is not None:
                        state[name].copy_(there)
        cohort.moments = [[self.state[p][name] for p in cohort.parameters] for name in names]
        cohort.started = True

    def _outdated(self, cohort: Cohort) -> bool:
        """Whether the state was replaced from outside, or the group's options ask for another."""
        if not cohort.started:
            return False
        names, state = self.state_names(cohort.group), self.state[cohort.parameters[0]]
        if len(names) != len(cohort.moments):
            return True
        return any(state.get(name) is not m[0] for name, m in zip(names, cohort.moments, strict=True))

    def _decay(self, cohort: Cohort) -> float:
        group = cohort.group
        share = group["lr"] if group["convention"] == "torch" else group["lr"] / group["base_lr"]
        decay = float(share * group["weight_decay"])
        if group["release"]:
            decay, cohort.ledger = release_one(decay, cohort.ledger)
        return decay

    def _keep_ledgers(self) -> None:
        """Write the cohorts' ledgers into the state, where they can be saved."""
        for cohort in self._cohorts or ():
            if self.decoupled and cohort.group["release"]:
                for p in cohort.parameters:
                    if p in self.state:
                        ledger = {
                            "decay_asked": float(cohort.ledger.asked),
                            "decay_applied": float(cohort.ledger.applied),
                        }
                        self.state[p].update(ledger)

    def _check(self, group: dict[str, Any]) -> None:
        self._refuse_options(group)
        non_negative(group, "lr", "weight_decay")
        if self.decoupled:
            if group["convention"] not in CONVENTIONS:
                raise ValueError(f"convention={group['convention']!r}: must be {' or '.join(CONVENTIONS)}")
            if group["convention"] == "paper" and not group["lr"]:
                raise ValueError("lr=0: in the paper's convention the schedule is read from lr / its first value")
        for p in group["params"]:
            _refuse_tensor(type(self).__name__, p)

    def _refuse_options(self, group: dict[str, Any]) -> None:
        for key, served in self.unserved.items():
            if group.get(key, served) != served:
                raise ValueError(f"{key}={group[key]!r} is not served by optim.{type(self).__name__}")


def non_negative(group: dict[str, Any], *keys: str) -> None:
    for key in keys:
        value = group[key]
        if isinstance(value, Tensor) or not 0 <= value < math.inf:
            raise ValueError(f"{key}={value!r}: must be a number, 0 or more")


def _refuse_tensor(name: str, p: Tensor) -> None:
    """TypeError for a parameter that is not served, or whose gradient is not."""
    where = f"optim.{name} serves dense float32 parameters on the CPU or CUDA, and float64 on the CPU"
    dtypes = (torch.float32, torch.float64) if p.device.type == "cpu" else (torch.float32,)
    if p.device.type not in ("cpu", "cuda") or p.dtype not in dtypes or p.layout is not torch.strided:
        raise TypeError(f"{where}; got {p.dtype}, {p.layout}, on {p.device.type}")
    if p.grad is not None and p.grad.layout is not torch.strided:
        raise TypeError(f"{where}; got a gradient of layout {p.grad.layout}")
