"""What `optim.AdamW`, `Adam`, `SGD` and `SGDW` share: a torch.optim.Optimizer over cached lists of tensors.

A subclass says what its state is called and steps one cohort; everything that PyTorch expects of an optimizer is
here. Parameters stay where they are, and are read anew at every step. Groups and state may be edited between steps as
those of torch.optim: `optim.base.snapshot` notices. A step is: compare with the snapshot, collect the gradients, check
all that can be refused, then step one cohort after another.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import _global_optimizer_post_hooks as _post_hooks
from torch.optim.optimizer import _global_optimizer_pre_hooks as _pre_hooks

from optim.base import refusals
from optim.base.cohort import Cohort, Part
from optim.base.groups import Grouped, evaluated, outside_graphs
from optim.base.numbers import ALL
from optim.base.snapshot import Snapshot
from optim.base.watched import Marks, State, States

_InferenceMode = torch._C._InferenceMode
_increment_version = torch._C._increment_version  # `torch.autograd.graph.increment_version` without its checks


class Optimizer(Grouped):
    """Base of the four; not for use by itself. The constructor's arguments are those of `Grouped`."""

    def __init__(self, parameters: Any, defaults: dict[str, Any], options: dict[str, Any]) -> None:
        self._snapshot: Snapshot | None = None  # None: groups and state must be looked at anew
        self._others = itemgetter(*self.unserved)
        super().__init__(parameters, defaults, options)
        self.state: Any = States({})

    def numbers(self, group: dict[str, Any]) -> dict[str, float]:
        """The numbers of a group that a step takes, by name; ValueError that names what is no finite number."""
        raise NotImplementedError

    def step_cohort(
        self, cohort: Cohort, part: Part, steps: list[Tensor], decay: float, numbers: dict[str, float]
    ) -> None:
        """Step a part of a cohort on the CPU.

        `steps`: the parameters' counts, tensors [], with this step; [] if none are kept. `decay`: the fraction of each
        weight that decoupled decay removes now. `numbers`: what the method of that name returned.
        """
        raise NotImplementedError

    def step_on_cuda(self, cohort: Cohort, decay: float | np.ndarray, numbers: dict[str, float]) -> None:
        """Step a cohort on CUDA; a parameter without a gradient is left alone.

        `decay`: the fraction that is removed of all weights, or [n] of each parameter's; `numbers` as above.
        """
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step from the parameters' `.grad`; those without are left alone. Returns what `closure` returns."""
        hooks = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks or _pre_hooks or _post_hooks
        return self._watched_step(closure) if hooks or torch.autograd._profiler_enabled() else self._step(closure)

    # torch.optim wraps `step` in profiling and hooks unless it is marked as wrapped. The wrapper takes a tenth of a
    # small network's step, so `step` goes through it only where there is a hook or a profiler.
    step.hooked = True  # type: ignore[attr-defined]
    outside_graphs(step)

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = evaluated(closure)
        # `_ready` has looked at all cohorts, so that all that can be refused is refused before anything moves.
        for cohort, part, numbers, share in self._ready():
            steps = cohort.count(part.places)
            decay = cohort.due(share, part.places)
            if cohort.device.type == "cuda":
                with torch.no_grad():
                    self.step_on_cuda(cohort, cohort.of_all(decay, part.places), numbers)
            else:
                try:
                    with _InferenceMode(True):  # as no_grad, in five microseconds less
                        # The operator takes one decay for all tensors. Where they owe different amounts, the weights
                        # are multiplied before it.
                        if not isinstance(decay, float):
                            due = np.flatnonzero(decay)
                            torch._foreach_mul_([part.parameters[i] for i in due], (1 - decay[due]).tolist())
                            decay = 0.0
                        self.step_cohort(cohort, part, steps, decay, numbers)
                except (RuntimeError, AssertionError):
                    for p in cohort.parameters:  # say it in words, if a gradient of another type was the reason
                        refusals.gradient(type(self).__name__, p)
                    raise
            _increment_version(part.parameters)  # a backward pass that needs the values before this step then raises
        return loss

    _watched_step = torch.optim.Optimizer.profile_hook_step(_step)

    def _ready(self) -> list[tuple[Cohort, Part, dict[str, float], float]]:
        """What to step now: (cohort, its part with gradients, the numbers of its group, the decay asked for)."""
        # Cheap where nothing was edited; a new snapshot checks the groups, and makes cohorts of what they hold now.
        if self._snapshot is None or not self._snapshot.holds(self.param_groups, self.state, self._signature):
            self._snapshot = self._take_snapshot()
        ready = []
        for cohort in self._snapshot.cohorts:
            # Numbers are read at every step, for schedulers set them in the groups.
            try:
                part = cohort.part()
            except (ValueError, RuntimeError):
                for p in cohort.parameters:
                    refusals.gradient(type(self).__name__, p)
                raise
            if part is not None:
                numbers = self.numbers(cohort.group)
                share = self.asked_decay(cohort.group, numbers["lr"]) if self.decoupled else 0.0
                ready.append((cohort, part, numbers, share))
        return ready

    def _signature(self, group: dict[str, Any]) -> tuple[Any, ...]:
        """What of a group a cohort depends on: the names of its state's tensors, whether its decay is released, and the
        options whose values might have to be refused."""
        try:
            others = self._others(group)
        except KeyError:
            others = None  # somebody has deleted an option from the group; `check_groups` will put it back
        if not self.own:
            return self.state_names(group), False, others
        released = self.option(group, "release")
        return self.state_names(group), bool(released), others, self.option(group, "convention")

    def _take_snapshot(self) -> Snapshot:
        """Groups and state as they are now, edited or not."""
        # If an error or an interrupt ends this, the old snapshot must not be taken for a valid one.
        before, self._snapshot = self._snapshot, None
        self.check_groups()
        cohorts = before.cohorts if before is not None else ()
        return Snapshot(self.param_groups, self.state, self._signature, self.counted, type(self).__name__, cohorts)

    @torch.no_grad()
    def release_decay(self) -> None:
        """Apply the decay that is still saved up, less than 2^-16 of each weight; for the end of a run.

        Without `release`, and for float64, nothing is ever saved up, and this does nothing.
        """
        self._snapshot = self._take_snapshot()
        for cohort in self._snapshot.cohorts:
            if cohort.owed is not None:
                paid = np.broadcast_to(cohort.pay(cohort.owed.values.copy(), ALL), len(cohort.parameters))
                torch._foreach_mul_(cohort.parameters, (1 - paid).tolist())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._snapshot, self._others = None, itemgetter(*self.unserved)
        if not isinstance(self.state, States):  # a shallow copy has the States of the original, and shares them
            content = self.state.items()
            self.state = States({key: State(v, Marks()) if isinstance(v, dict) else v for key, v in content})

    def _check(self, group: dict[str, Any], at_start: bool) -> None:
        super()._check(group, at_start)
        refuse = refusals.tensor if at_start else refusals.gradient
        for p in group["params"]:
            refuse(type(self).__name__, p)
