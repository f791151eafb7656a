"""What the optimizers refuse, in one line that names it: numbers, options of torch.optim, tensors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from optim.cuda.layout import dense

CONVENTIONS = ("torch", "paper")
FAR = 10.0  # times the first rate of a group: a larger rate was not meant as a schedule of that one
# Options of torch's classes that say how a step is computed and not what it computes: any value is served.
WAYS = ("foreach", "fused")
OF_ONE_FAMILY = ("betas", "momentum", "clip_value")  # options that only Adam's, SGD's and LOMO's relatives have


def non_negative(group: dict[str, Any], *keys: str) -> None:
    """ValueError for the first of `keys` whose value in `group` is no number, negative, infinite or nan."""
    for key in keys:
        value = group[key]
        if isinstance(value, Tensor) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
            raise ValueError(f"{key}={value!r}: must be a number, 0 or more")


def two_betas(group: dict[str, Any]) -> None:
    """ValueError unless `group["betas"]` are two numbers in [0, 1)."""
    betas = group["betas"]
    served = isinstance(betas, Sequence) and len(betas) == 2 and all(isinstance(b, (int, float)) for b in betas)
    if not served or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas={betas!r}: must be two numbers, 0 or more and below 1")


def betas_now(group: dict[str, Any]) -> tuple[float, float]:
    """The betas of `group` as a step reads them, since OneCycleLR and others set them; ValueError as `two_betas`."""
    try:
        beta1, beta2 = map(float, group["betas"])
    except (TypeError, ValueError):
        beta1 = beta2 = math.nan
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(
            f"betas={group['betas']!r}: must be two numbers, 0 or more and below 1; nothing was stepped"
        ) from None
    return beta1, beta2


def finite(group: dict[str, Any], key: str) -> float:
    """The number under `key` of `group` as a step reads it: schedulers set what they like. ValueError if not finite."""
    value = float(group[key])
    if not math.isfinite(value):
        raise ValueError(f"{key}={group[key]!r}: must be a finite number; nothing was stepped")
    return value


def convention(group: dict[str, Any], name: str) -> None:
    """ValueError unless `name` is a convention that can be read from the group."""
    if name not in CONVENTIONS:
        raise ValueError(f"convention={name!r}: must be {' or '.join(CONVENTIONS)}")
    if name == "paper" and not group.get("base_lr", group["lr"]):
        raise ValueError("lr=0: in the paper's convention the schedule is read from lr / its first value")


def unserved_options(options: dict[str, Any], served: dict[str, Any], name: str, at_start: bool = False) -> None:
    """ValueError for an option of torch's class whose value asks for something else than optim.`name` does.

    `options`: of a group or a constructor, by name; `served`: by name the only value that is served. `at_start`: the
    caller asks for it, rather than a file whose run had it.
    """
    if not isinstance(options, dict):
        return  # no group at all: torch.optim's constructor will refuse it
    for key, value in served.items():
        if key not in (WAYS if at_start else (*WAYS, "capturable")) and options.get(key, value) not in (value, None):
            raise ValueError(f"{key}={options[key]!r} is not served by optim.{name}")


def foreign(read: dict[str, Any], defaults: dict[str, Any], name: str) -> None:
    """ValueError for a group of a file that has another class's options in the place of those of optim.`name`.

    `read`: the group as it was read; `defaults`: the options that the optimizer itself has. A tool may have left out
    some options. But where there is no state yet, these are all that tells SGD's file of AdamW's, and its weight_decay,
    a penalty, would be taken for decoupled decay.
    """
    missing = [key for key in OF_ONE_FAMILY if key in defaults and key not in read]
    others = [key for key in OF_ONE_FAMILY if key not in defaults and key in read]
    if missing and others:
        raise ValueError(
            f"a group of the file has {', '.join(others)}, and no {', '.join(missing)}: it is not that of optim.{name}"
        )


def far_from_base(lr: float, base_lr: float) -> None:
    """A warning about a scheduler that brings its own peak rate, as OneCycleLR does.

    `lr`: the rate of this step; `base_lr`: that which the group was given.
    """
    warnings.warn(
        f"lr={lr:g} is {lr / base_lr:.0f} times the {base_lr:g} that the optimizer was given, and in the paper's "
        "convention so is the decay; with OneCycleLR, whose rates ignore that number, give lr=max_lr",
        stacklevel=2,
    )


def last_group(groups: list[dict[str, Any]], check: Callable[..., None]) -> None:
    """Check the group that was added last, and take it out again where it is refused (TypeError, ValueError).

    `check(group, at_start=True)`: what the optimizer asks of a group.
    """
    try:
        check(groups[-1], at_start=True)
        repeated(groups)
    except (TypeError, ValueError):
        del groups[-1]
        raise


def repeated(groups: Sequence[dict[str, Any]]) -> None:
    """ValueError if a parameter occurs twice, in one of `groups` or in two: it would be stepped twice."""
    where: dict[int, int] = {}
    for index, group in enumerate(groups):
        for p in group["params"]:
            if id(p) in where:
                raise ValueError(
                    f"a parameter of shape {tuple(p.shape)} occurs twice in the groups ({where[id(p)]} and {index}): "
                    "name it once"
                )
            where[id(p)] = index


def tensor(name: str, p: Any) -> None:
    """TypeError for a parameter `p` that optim.`name` cannot step, or whose gradient it cannot read."""
    where = f"optim.{name} serves dense float32 parameters on the CPU or CUDA, and float64 on the CPU"
    if not isinstance(p, Tensor) or is_fake(p):
        raise TypeError(f"{where}; got a {type(p).__name__}")
    dtypes = (torch.float32, torch.float64) if p.device.type == "cpu" else (torch.float32,)
    if p.device.type not in ("cpu", "cuda") or p.dtype not in dtypes or p.layout is not torch.strided:
        raise TypeError(f"{where}; got {p.dtype}, {p.layout}, on {p.device.type}")
    if p.grad is not None and p.grad.layout is not torch.strided:
        raise TypeError(f"{where}; got a gradient of layout {p.grad.layout}")
    if not dense(p):
        raise TypeError(f"a parameter of shape {tuple(p.shape)} overlaps itself or has gaps; clone() it")


def gradient(name: str, p: Tensor) -> None:
    """TypeError as `tensor`, and where the layout, type or size of the gradient of `p` is not that of `p`."""
    tensor(name, p)
    if p.grad is not None:
        agreement(p, p.grad)


def agreement(p: Tensor, g: Tensor) -> None:
    """TypeError for a gradient of another size, type or device than its parameter's, or without memory beside it."""
    if g.shape != p.shape or g.dtype != p.dtype or g.device != p.device or is_fake(g) > is_fake(p):
        raise TypeError(f"a parameter is {_kind(p)}, and its gradient {_kind(g)}: they must agree")


def moment(entry: str, value: Any, p: Tensor, where: str) -> None:
    """ValueError if the `value` of an entry of the state does not fit its parameter `p`, replaced or cast since.

    `entry`: its name, such as "exp_avg"; `where`: what the message calls the parameter.
    """
    if not isinstance(value, Tensor) or (value.shape, value.dtype, value.device) != (p.shape, p.dtype, p.device):
        what = _kind(value) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"{entry} of {where} is {what}, the parameter {_kind(p)}: they must agree; delete the parameter's "
            "state to begin anew"
        )


def is_fake(tensor: Any) -> bool:
    """Whether it is a tensor of torch's FakeTensorMode, which has a shape and no numbers."""
    return type(tensor).__name__ == "FakeTensor"


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)}, {tensor.dtype}, on {tensor.device}{' (fake)' * is_fake(tensor)}"


def sparse_gradient(p: Tensor, gradient: Tensor) -> None:
    """TypeError for a `gradient` of `p` that optim.SparseAdamW does not take.

    It takes dense ones and those that are sparse along the first axis, of the size, type and device of `p`.
    """
    if gradient.layout is not torch.strided and (gradient.layout is not torch.sparse_coo or gradient.sparse_dim() != 1):
        dims = f" with {gradient.sparse_dim()} sparse dimensions" if gradient.layout is torch.sparse_coo else ""
        raise TypeError(
            "optim.SparseAdamW serves dense gradients and torch.sparse_coo ones that are sparse along dimension 0; "
            f"got {gradient.layout}{dims} for a parameter of shape {tuple(p.shape)}"
        )
    agreement(p, gradient)
