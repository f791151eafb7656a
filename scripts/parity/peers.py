"""Our optimizers and three libraries' on given gradients: `PEERS[name](problem)` yields the weights after each step.

Each is used as its documentation says; what a library has no word for is written with its own parts, and a rule that
it cannot express is None.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import optim


@dataclass(frozen=True, eq=False)
class Problem:
    """`wd` in its `convention`; `decay` is torch's weight_decay for it, or the L2 coefficient. Gradients [steps, n]."""

    rule: str
    convention: str
    wd: float
    decay: float
    lr: float
    eps: float
    weights: np.ndarray
    gradients: np.ndarray
    rates: np.ndarray

    @property
    def numbers(self) -> dict[str, float]:
        """What the rule has besides rate and decay, by the names of torch's arguments."""
        return {"eps": self.eps} if self.rule.startswith("adam") else {"momentum": 0.9}

    @property
    def decoupled(self) -> bool:
        """Whether decay acts on the weights, rather than on the gradient."""
        return self.rule.endswith("w")


def ours(problem: Problem, release: bool = False) -> Iterator[np.ndarray]:
    """In the case's own convention; normalized decay is the paper's times 1 / sqrt(B T / b)."""
    kind = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD, "sgdw": optim.SGDW}[problem.rule]
    more: dict[str, Any] = dict(problem.numbers)
    wd = problem.decay
    if problem.decoupled:
        more |= {"release": release}
        if problem.convention != "torch":
            more |= {"convention": "paper"}
            wd = problem.wd if problem.convention == "paper" else problem.wd / len(problem.rates) ** 0.5
    return _torch_like(lambda p: kind(p, lr=problem.lr, weight_decay=wd, **more), problem)


def ours_released(problem: Problem) -> Iterator[np.ndarray] | None:
    return ours(problem, release=True) if problem.decoupled else None


def torchs(problem: Problem) -> Iterator[np.ndarray] | None:
    """torch.optim's class of the rule, with decay in its own convention."""
    kinds: dict[str, Any] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    if problem.rule not in kinds:
        return None  # no SGDW
    kind = kinds[problem.rule]
    return _torch_like(lambda p: kind(p, lr=problem.lr, weight_decay=problem.decay, **problem.numbers), problem)


def _torch_like(make: Callable[[list[torch.Tensor]], torch.optim.Optimizer], problem: Problem) -> Iterator[np.ndarray]:
    p = torch.tensor(problem.weights, requires_grad=True)
    optimizer = make([p])
    for gradient, rate in zip(problem.gradients, problem.rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        p.grad = torch.tensor(gradient)
        optimizer.step()
        yield p.detach().numpy().copy()


def optaxs(problem: Problem) -> Iterator[np.ndarray]:
    """adamw as it ships; the others from optax's own parts, as its documentation builds them."""
    import jax

    jax.config.update("jax_enable_x64", problem.weights.dtype == np.float64)
    import jax.numpy as jnp
    import optax

    rates = jnp.asarray(problem.rates)
    core = optax.scale_by_adam(eps=problem.eps) if problem.rule.startswith("adam") else optax.trace(decay=0.9)
    decay = optax.add_decayed_weights(problem.decay)
    parts = (core, decay) if problem.decoupled else (decay, core)
    made = optax.chain(*parts, optax.scale_by_learning_rate(lambda count: rates[count]))
    if problem.rule == "adamw":
        made = optax.adamw(lambda count: rates[count], eps=problem.eps, weight_decay=problem.decay)
    p = jnp.asarray(problem.weights)
    state = made.init(p)

    @jax.jit
    def step(p: Any, state: Any, gradient: Any) -> Any:
        updates, state = made.update(gradient, state, p)
        return optax.apply_updates(p, updates), state

    for gradient in problem.gradients:
        p, state = step(p, state, jnp.asarray(gradient))
        yield np.asarray(p)


def keras3(problem: Problem) -> Iterator[np.ndarray]:
    """`weight_decay` of every Keras optimizer is decoupled; L2 is added to the gradient, as its regularizers do."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    decay = problem.decay if problem.decoupled else None
    if problem.rule == "adamw":
        made = keras.optimizers.AdamW(problem.lr, weight_decay=decay, epsilon=problem.eps)
    elif problem.rule == "adam":
        made = keras.optimizers.Adam(problem.lr, epsilon=problem.eps)
    else:
        made = keras.optimizers.SGD(problem.lr, momentum=0.9, weight_decay=decay)
    dtype = str(problem.weights.dtype)
    keras.backend.set_floatx(dtype)
    p = keras.Variable(problem.weights, dtype=dtype)
    made.build([p])
    for gradient, rate in zip(problem.gradients, problem.rates, strict=True):
        made.learning_rate = float(rate)
        g = keras.ops.convert_to_tensor(gradient, dtype=dtype)
        if not problem.decoupled:
            g = g + problem.decay * p.value
        made.apply([g.detach() if hasattr(g, "detach") else g])
        yield keras.ops.convert_to_numpy(p.value).copy()


PEERS: dict[str, Callable[[Problem], Iterator[np.ndarray] | None]] = {
    "ours": ours,
    "ours, release": ours_released,
    "torch.optim": torchs,
    "optax": optaxs,
    "Keras 3": keras3,
}
