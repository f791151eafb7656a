"""The updates of the paper: Algorithms 1 and 2 of Loshchilov & Hutter 2019, the rate of SGD outside its momentum.

Slow, plain, one parameter array at a time, in whatever precision the arrays have; the tests hold the fast steps against
these. Adam and AdamW differ in two lines, and so do SGD and SGDW: those lines are the paper.

    theta   weights; g their gradient, m and v the moments, all of one shape
    t       number of the step, from 1
    alpha   base learning rate; eta: the schedule's multiplier of it
    lam     lambda' of the coupled rules, the coefficient of the L2 penalty; lambda of the decoupled ones, the fraction
            of a weight that a step removes at eta = 1 (not multiplied by alpha: the paper's convention)
    beta1, beta2, eps   decay rates of the moments (beta1: the momentum of SGD), and what the root of v is added to

Each function takes these by name and returns the new (theta, m[, v]); the arrays that it was given stay as they are.
"""

from __future__ import annotations

from typing import Any

Array = Any  # a NumPy array or a torch tensor


def sgd(theta: Array, g: Array, m: Array, alpha: float, eta: float, lam: float, beta1: float) -> tuple[Array, Array]:
    """Algorithm 1, L2; the rate outside the buffer as in torch and in the code that the experiments ran.

    g <- g + lam theta;  m <- beta1 m + g;  theta <- theta - eta alpha m
    """
    g = g + lam * theta
    m = beta1 * m + g
    return theta - eta * alpha * m, m


def sgdw(theta: Array, g: Array, m: Array, alpha: float, eta: float, lam: float, beta1: float) -> tuple[Array, Array]:
    """Algorithm 1, decoupled.

    m <- beta1 m + g;  theta <- theta - eta alpha m - eta lam theta
    """
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
    """Algorithm 2, L2: the penalty's gradient goes through both moments.

    g <- g + lam theta;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2, which are divided by
    1 - beta1^t and 1 - beta2^t;  theta <- theta - eta alpha m_hat / (sqrt(v_hat) + eps)
    """
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
    """Algorithm 2, decoupled: the decay acts on the old weights, next to the step.

    m and v as in `adam` with the plain gradient;  theta <- theta - eta (alpha m_hat / (sqrt(v_hat) + eps) + lam theta)
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return theta - eta * (alpha * m_hat / (v_hat**0.5 + eps) + lam * theta), m, v
