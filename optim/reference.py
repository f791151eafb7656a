"""The updates of the paper, letter by letter: Algorithms 1 and 2 of Loshchilov & Hutter 2019.

Slow, plain, one parameter array at a time, in whatever precision the arrays have; the tests hold the fast
steps against these. Symbols: alpha base learning rate, eta schedule multiplier, lam decay, t step from 1.
Each function returns the new (theta, m[, v]).

`lam` is the L2 coefficient lambda' of the coupled rules, the decay per step lambda of the decoupled ones
(paper convention: not multiplied by alpha).
"""

from __future__ import annotations

from typing import Any

Array = Any  # a NumPy array or a torch tensor


def sgd(theta: Array, g: Array, m: Array, alpha: float, eta: float, lam: float, beta1: float) -> tuple[Array, Array]:
    """Algorithm 1, L2; the rate outside the buffer as in torch and in the code that the experiments ran."""
    g = g + lam * theta
    m = beta1 * m + g
    return theta - eta * alpha * m, m


def sgdw(theta: Array, g: Array, m: Array, alpha: float, eta: float, lam: float, beta1: float) -> tuple[Array, Array]:
    """Algorithm 1, decoupled."""
    m = beta1 * m + g
    return theta - eta * alpha * m - eta * lam * theta, m


def adam(
    theta: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    alpha: float,
    eta: float,
    lam: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Array, Array, Array]:
    """Algorithm 2, L2: the penalty's gradient goes through both moments."""
    g = g + lam * theta
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return theta - eta * alpha * m_hat / (v_hat**0.5 + eps), m, v


def adamw(
    theta: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    alpha: float,
    eta: float,
    lam: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Array, Array, Array]:
    """Algorithm 2, decoupled: the decay acts on the old weights, next to the step."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return theta - eta * (alpha * m_hat / (v_hat**0.5 + eps) + lam * theta), m, v
