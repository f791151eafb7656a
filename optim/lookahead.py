"""Lookahead: slow weights that every k steps go a part of the way to the fast ones, which start again from there.

`Lookahead(optimizer)` wraps any torch.optim.Optimizer; `optim.slow` does it for a stack of networks.
Source: Zhang, Lucas, Hinton & Ba 2019, arXiv:1907.08610.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod, ref

import torch
from torch import Tensor

from optim.base.cohort import local
from optim.base.groups import outside_graphs
from optim.base.state_dict import hooked
from optim.lomo import LOMO
from optim.sgd import SGD

SLOW = "slow"  # the entry of a parameter's state, in a file, that holds its slow weights
OWN = ("k", "alpha", "count")  # kept in each group, as "lookahead_k" and so on
# The wrapper that was made last around each optimizer.
_latest: WeakKeyDictionary[torch.optim.Optimizer, ref[Lookahead]] = WeakKeyDictionary()


class _OfFast:
    """An attribute of the fast optimizer, which replaces some of them when it loads a file."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Lookahead | None, owner: type) -> Any:
        if wrapper is None:  # asked of the class
            return self
        return getattr(wrapper.fast, self.name)

    def __set__(self, wrapper: Lookahead, value: Any) -> None:
        setattr(wrapper.fast, self.name, value)


class Lookahead(torch.optim.Optimizer):
    """The optimizer `fast` with slow weights phi [as each parameter], every `k` of its steps:

        phi <- phi + alpha (theta - phi)        theta <- phi

    Source: Zhang, Lucas, Hinton & Ba 2019, arXiv:1907.08610, Algorithm 1.

    phi begins as theta when this object is made, and for a parameter that is added later before its first step; load
    a model's weights before. The moments of `fast` are kept as they are. `param_groups`, `state` and `defaults` are
    those of `fast`, so LR schedulers, clipping and edits work on either, and so do its step hooks; hooks of this
    object run around the step of both. Of two that are made around one optimizer the earlier is refused from then on.
    Memory: 4 bytes per float32 parameter. The first group's "lookahead_k" and "lookahead_alpha" may be set anew.

    Args:
        fast: any torch.optim optimizer, but no Lookahead.
        k: how many steps of `fast` there are between two pulls, 1 or more. Default 5.
        alpha: the part of the way that the slow weights go, between 0 and 1. Default 0.5.

    Raises:
        ValueError: for a number out of its range, or a Lookahead as `fast`.
    """

    def __init__(self, fast: torch.optim.Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        _check(k, alpha)
        if isinstance(fast, Lookahead):
            raise ValueError("Lookahead around Lookahead: the two would write to the same entries of state and file")
        self.fast, self.k, self.alpha = fast, k, alpha
        self.count = 0  # steps since the start
        self.slow: dict[Tensor, Tensor] = {}
        self._known: list[Tensor] = []  # the parameters that have slow weights, in the order of the groups
        # The hooks of a torch.optim.Optimizer, and its wrapped step; its constructor would make groups besides.
        super().__setstate__({})
        _latest[fast] = ref(self)
        self._refresh()
        if isinstance(fast, LOMO):  # moves a new parameter in backward, before `step`: its slow weights begin before
            fast.around = WeakMethod(self._begin)

    param_groups: Any = _OfFast()
    state: Any = _OfFast()
    defaults: Any = _OfFast()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch.optim's, on `fast`; the slow weights of new parameters begin as these are now."""
        self.fast.add_param_group(param_group)
        self._refresh()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """That of `fast`."""
        self.fast.zero_grad(set_to_none)

    @outside_graphs
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of `fast` with `closure`, and after every `k` of them the pull. Returns what `fast.step` returns.

        RuntimeError where another Lookahead was made around `fast` since; ValueError for a number out of its range, and
        for a parameter that was resized or cast.
        """
        # Where there is no entry yet, this wrapper is the latest.
        latest = _latest.setdefault(self.fast, ref(self))()
        if latest is not None and latest is not self:
            raise RuntimeError(
                "another Lookahead was made around the same optimizer since, and each would pull what the other has "
                "pulled: step that one"
            )
        self._begin()
        # Tools that load a file key by key write these into the groups: what stands there counts.
        group = self.param_groups[0]
        self.k, self.alpha = group.get("lookahead_k", self.k), group.get("lookahead_alpha", self.alpha)
        _check(self.k, self.alpha)
        for p in self._known:
            if p.shape != self.slow[p].shape or p.dtype != self.slow[p].dtype:
                raise ValueError(
                    f"a parameter is {tuple(p.shape)}, {p.dtype}, and was {tuple(self.slow[p].shape)}, "
                    f"{self.slow[p].dtype}, when its slow weights began: make a new Lookahead"
                )
        loss = self.fast.step(closure)
        self.count += 1  # after the step: one that was refused does not count
        if self.count % self.k == 0:
            self._pull()
        self._show()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """That of `fast`, with entries that torch.optim passes over: "slow", the slow weights, in each state, and
        "lookahead_k", "lookahead_alpha" and "lookahead_count" in each group."""
        self._refresh()
        return hooked(self, self._file)

    def _file(self) -> dict[str, Any]:
        file = self.fast.state_dict()
        for number, p in enumerate(self._parameters()):
            # A parameter that was never stepped has no state in the file. It gets one only if somebody has set its slow
            # weights: otherwise they equal the weights, as they do when they begin.
            if number in file["state"] or not torch.equal(self.slow[p], p):
                file["state"][number] = {**file["state"].get(number, {}), SLOW: self.slow[p]}
        return file

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, into a wrapper of the same optimizer over parameters of the same shapes.

        Slow weights that are not in it begin as the parameters are now. ValueError for another file: nothing is loaded.
        """
        state_dict = dict(state_dict)
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            changed = before(self, state_dict)
            state_dict = state_dict if changed is None else changed
        if "fast" in state_dict:
            state_dict = _of_version_0_1(state_dict)
        groups = state_dict["param_groups"]
        if missing := [f"lookahead_{name}" for name in OWN if any(f"lookahead_{name}" not in g for g in groups)]:
            raise ValueError(f"not a state_dict of optim.Lookahead: {', '.join(missing)} missing in its groups")
        k, alpha, count = (groups[0][f"lookahead_{name}"] for name in OWN)
        _check(k, alpha)
        state, slow = dict(state_dict["state"]), {}
        numbers = [number for group in groups for number in group["params"]]
        for number, p in zip(numbers, self._parameters(), strict=False):
            entries = dict(state.pop(number, {}))
            saved = entries.pop(SLOW, None)  # `fast` must not see it: it would take the state for its own
            if saved is not None and saved.shape != p.shape:
                raise ValueError(f"slow weights of {tuple(saved.shape)} do not have the shapes of {tuple(p.shape)}")
            if saved is not None:
                slow[p] = torch.empty_like(p).copy_(saved)
            if entries:
                state[number] = entries
        self.fast.load_state_dict({**state_dict, "state": state})
        # Only now, when `fast` has taken the file and nothing can be refused any more.
        self.k, self.alpha, self.count = k, alpha, count
        self.slow, self._known = slow, []  # with nothing known, `_begin` looks at all parameters
        self._refresh()
        for loaded in self._optimizer_load_state_dict_post_hooks.values():
            loaded(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("fast", "k", "alpha", "count", "slow")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The constructor begins with slow weights that equal the parameters; then come those that were pickled.
        Lookahead.__init__(self, state["fast"], state["k"], state["alpha"])
        self.count, self.slow, self._known = state["count"], state["slow"], []
        self._refresh()

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _refresh(self) -> None:
        """Take in that parameters, or this object's own numbers, are others than before."""
        self._begin()
        self._show()

    @torch.no_grad()
    def _begin(self) -> None:
        """Begin slow weights of parameters that are new in the groups; forget those of parameters that have left."""
        parameters = self._parameters()
        if len(parameters) == len(self._known) and all(map(is_, parameters, self._known)):
            return
        for p in parameters:
            if p not in self.slow:
                self.slow[p] = p.detach().clone(memory_format=torch.preserve_format)
        self.slow = {p: self.slow[p] for p in parameters}
        self._known = parameters

    def _show(self) -> None:
        """Put k, alpha and count into the groups, and the name "slow" into states, where tools look for them.

        Tools that restore a checkpoint key by key ask a file for the keys that they find here. In the state "slow" has
        no value, for people who reset or cut a parameter's state do so to all tensors in it. A state that `fast` has
        not made yet must stay empty: `fast` would take any entry for a sign that it has stepped the parameter.
        """
        for group in self.param_groups:
            group.update({f"lookahead_{name}": getattr(self, name) for name in OWN})
        stateless = isinstance(self.fast, (LOMO, SGD, torch.optim.SGD))  # these step with any state, or none
        states = self.fast.state
        for p in self.slow:
            state = states.get(p)
            if (state or (stateless and self.count)) and (state is None or SLOW not in state):
                states[p][SLOW] = None

    @torch.no_grad()
    def _pull(self) -> None:
        """Move the slow weights towards the parameters, and set the parameters to them."""
        if hasattr(self.fast, "catch_up"):
            self.fast.catch_up()  # the rows that optim.SparseAdamW has left behind are not yet what they should be
        # Of a sharded tensor each process moves what it holds.
        parameters = [local(p, p) for p in self._known]
        slow = [local(self.slow[p], p) for p in self._known]
        torch._foreach_lerp_(slow, parameters, self.alpha)
        torch._foreach_copy_(parameters, slow)


def _check(k: Any, alpha: Any) -> None:
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k={k!r}: must be a whole number of steps, 1 or more")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha!r}: must lie between 0 and 1")


def _of_version_0_1(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A file {"fast", "slow", "count", "k", "alpha"} as `Lookahead.state_dict` makes it now."""
    if missing := {"fast", "slow", "count", "k", "alpha"} - set(state_dict):
        raise ValueError(f"not a state_dict of optim.Lookahead: {', '.join(sorted(missing))} missing")
    fast, own = state_dict["fast"], {f"lookahead_{name}": state_dict[name] for name in OWN}
    state = dict(fast["state"])
    for number, slow in enumerate(state_dict["slow"]):
        state[number] = {**state.get(number, {}), SLOW: slow}
    return {"state": state, "param_groups": [group | own for group in fast["param_groups"]]}
