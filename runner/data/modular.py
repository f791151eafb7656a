"""Arithmetic modulo a prime, all of it, generated (Power et al. 2022): `load(settings)`."""

from __future__ import annotations

import numpy as np

from runner.data.dataset import Dataset, Split
from runner.data.settings import ModularSettings
from runner.data.split import fewer, part, state


def load(settings: ModularSettings) -> Dataset:
    """Tokens [a, op, b, =], int64 [N, 4], with the class a op b mod p, int64 [N]; vocabulary p + 2.

    The numbers are tokens 0 to p - 1, the operation is p, the equals sign p + 1. Division leaves out b = 0.
    A permutation of all pairs, one for each `settings.split`, gives `fraction` of them to training, `validation` of the
    others to validation, and what is left to test.
    """
    p = settings.p
    a, b = (grid.reshape(-1) for grid in np.meshgrid(np.arange(p), np.arange(p), indexing="ij"))
    if settings.operation == "div":
        a, b = a[b != 0], b[b != 0]
    x = np.stack([a, np.full_like(a, p), b, np.full_like(a, p + 1)], axis=1).astype(np.int64)
    everything = Split(x, answers(a, b, settings.operation, p))
    # RandomState's stream is frozen, so that the split is the same with every NumPy; default_rng's is not.
    order = np.random.RandomState(state(settings.split)).permutation(len(x))
    first = round(settings.fraction * len(x))
    second = first + round(settings.validation * (len(x) - first))
    train, val, test = (part(everything, index) for index in np.split(order, [first, second]))
    train = fewer(train, settings.train, settings.split)
    return Dataset(settings.shown, "tokens", p, train, val, test, vocabulary=p + 2)


def answers(a: np.ndarray, b: np.ndarray, operation: str, p: int) -> np.ndarray:
    """a op b mod p, elementwise, of a and b int64 [N]: int64 [N] from 0 to p - 1; `operation`: of OPERATIONS."""
    if operation == "add":
        y = a + b
    elif operation == "sub":
        y = a - b
    elif operation == "mul":
        y = a * b
    else:
        inverse = np.array([pow(n, p - 2, p) for n in range(p)])  # Fermat: b^(p-2) is 1 / b
        y = a * inverse[b]
    return (y % p).astype(np.int64)
