"""Groups that are checked, and the files that they and the state go to: `Grouped`, for optimizers that keep state.

`outside_graphs` marks a step that torch.compile leaves uncompiled, and `evaluated` calls a step's closure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import torch

from optim.base import refusals
from optim.base import state_dict as interchange

Step = TypeVar("Step", bound=Callable[..., Any])


def outside_graphs(step: Step) -> Step:
    """Mark `step` so that torch.compile breaks its graph there and leaves it, and what it calls, uncompiled.

    The mark is on the function's code object. Put it below decorators, for wrappers of other functions share theirs.
    `torch._dynamo.disable` does the same by a wrapper, but imports the compiler, in every process that steps.
    """
    frames = torch._C._dynamo.eval_frame
    never = frames._FrameExecStrategy(frames._FrameAction.SKIP, frames._FrameAction.SKIP)
    frames.set_code_exec_strategy(step.__code__, never)
    step._torchdynamo_disable = True  # type: ignore[attr-defined]
    return step


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """What the `closure` of a step returns, with gradients as torch.optim has it; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


class Grouped(torch.optim.Optimizer):
    """A torch.optim.Optimizer with checked groups, whose files torch.optim's class of the same name reads."""

    decoupled: ClassVar[bool]  # whether decay acts on the weights, rather than on the gradient
    counted: ClassVar[bool]  # whether the state holds the number of steps
    unserved: ClassVar[dict[str, Any]]  # options of torch's class, with the value that means what is done here
    own: ClassVar[tuple[str, ...]] = ()  # options that torch's class does not have
    is_torchs: ClassVar[bool] = True  # whether weight_decay means the same in torch.optim's class of this name
    _warned = False  # whether `refusals.far_from_base` was said

    def __init__(self, parameters: Any, defaults: dict[str, Any], options: dict[str, Any]) -> None:
        """`parameters`: as torch.optim takes them; `defaults`: of groups; `options`: given values of `unserved`."""
        refusals.unserved_options(options, self.unserved, type(self).__name__, at_start=True)
        self._loading: list[dict[str, Any]] | None = None  # the groups before, while a state_dict is loaded
        super().__init__(parameters, defaults | self.unserved)

    def state_names(self, group: dict[str, Any]) -> Sequence[str]:
        """The names, as in torch.optim, of the tensors that are kept beside each parameter of a group."""
        raise NotImplementedError

    @property
    def refused(self) -> dict[str, Any]:
        """Options of a group or a file, with the only values that are served."""
        return {**self.unserved, "decoupled_weight_decay": self.decoupled}

    def option(self, group: dict[str, Any], name: str) -> Any:
        """The value of the option `name`, one of `own`, in a group, or else the default.

        A group that was not given such an option does not hold it, as torch's do not. Tools that copy a checkpoint key
        by key ask a file for every key of a group, and a file of torch's has no such key.
        """
        return group.get(name, self.defaults[name])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's. `param_group`: a dict with "params", and the options that it has of its own.

        ValueError or TypeError, and nothing is added, for what is not served.
        """
        given = [name for name in self.own if isinstance(param_group, dict) and name in param_group]
        super().add_param_group(param_group)
        refusals.last_group(self.param_groups, self._check)
        for name in self.own:
            if name not in given:
                param_group.pop(name, None)

    def check_groups(self) -> None:
        """Check the groups after an edit; a group that was put into the list by hand gets the defaults it lacks."""
        for group in self.param_groups:
            for name, value in self.defaults.items():
                if name not in self.own:
                    group.setdefault(name, value)
            self._check(group, at_start=False)
        refusals.repeated(self.param_groups)

    def asked_decay(self, group: dict[str, Any], lr: float) -> float:
        """The fraction of each weight of `group` that decoupled decay asks for in a step at rate `lr`.

        It reads "weight_decay", "convention" and, in the paper's convention, "base_lr" of the group.
        """
        wd = float(group["weight_decay"])
        if self.option(group, "convention") == "torch":
            return lr * wd
        interchange.remember(group)
        base_lr = float(group["base_lr"])
        if lr > refusals.FAR * base_lr and not self._warned:
            self._warned = True
            refusals.far_from_base(lr, base_lr)
        return lr / base_lr * float(group["weight_decay"])

    def state_dict(self) -> dict[str, Any]:
        """As torch.optim's, which loads it: its names, its units of decay, and a few entries that it passes over."""
        return interchange.hooked(self, lambda: interchange.packed(self))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a file from here or from torch.optim's class of the same name.

        What that class has no word for keeps its value. `state_dict` stays as it is. Decay comes in torch's units, and
        in the paper's convention goes on with the same effect. ValueError, and nothing is loaded, for options that are
        not served, and for the state of another class.
        """
        self._loading = self.param_groups
        try:
            with torch.inference_mode(False):  # tensors made in inference mode could not be stepped outside of it
                super().load_state_dict(state_dict)
        finally:
            self._loading = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        before = self._loading = self.__dict__.get("_loading")
        if before is not None:  # torch.optim's load_state_dict hands over here what it has made of a file
            interchange.settled(self, state["state"], before, state["param_groups"])
        super().__setstate__(state)

    def _check(self, group: dict[str, Any], at_start: bool) -> None:
        """Refuse a group's options. `at_start`: also numbers out of their range, which schedulers may set later."""
        refusals.unserved_options(group, self.refused, type(self).__name__)
        if at_start:
            refusals.non_negative(group, "lr", "weight_decay")
        if self.decoupled:
            refusals.convention(group, self.option(group, "convention"))
            if self.option(group, "convention") == "paper":
                interchange.remember(group)
