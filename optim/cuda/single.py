"""Steps of one network on CUDA: hands a cohort and its numbers to `optim.cuda.launch`, imported when first used.

lr and decay are numbers of the host, uploaded at each step; for CUDA graphs use `optim.cuda.launch` itself.
"""

from __future__ import annotations

import numpy as np
import torch

from optim.base.cohort import Cohort
from optim.rules import BETA1, BETA2, BIAS2, COLUMNS, DECAY, EPS, KEEP, L2, RATE1, RATE2, STEP

Columns = dict[int, float | np.ndarray]  # a row of coefficients by column; an array where each tensor has its own


def adam(
    cohort: Cohort, decay: float | np.ndarray, *, lr: float, beta1: float, beta2: float, eps: float, l2: float
) -> None:
    """Adam's step of every parameter of `cohort` that has a gradient, in place.

    Args:
        cohort: on a CUDA device, its steps counted with this one.
        decay: the fraction that is removed of all weights, or [n] of each parameter's.
        lr, beta1, beta2, eps, l2: as in `optim.cpu.adam`.

    Raises:
        ValueError: for a tensor that the kernel does not take.
        ImportError: without Triton, or without the C compiler that it needs.
    """
    assert cohort.counts is not None, "Adam counts its steps"
    one = cohort.counts.common()
    # A parameter that never had a gradient has a count of 0. It is not stepped: any other number avoids 0/0.
    count = np.maximum(cohort.counts.values.astype(np.float64), 1) if one is None else np.array([one])
    row: Columns = {L2: l2, DECAY: decay, BETA1: beta1, RATE1: 1 - beta1, BETA2: beta2, RATE2: 1 - beta2, EPS: eps}
    row |= {STEP: lr / (1 - beta1**count), BIAS2: np.sqrt(1 - beta2**count)}
    _step(cohort, "adam", row)


def sgd(cohort: Cohort, decay: float | np.ndarray, *, lr: float, momentum: float, l2: float) -> None:
    """SGD's step of every parameter of `cohort` that has a gradient, in place.

    `lr`, `momentum` and `l2` as in `optim.cpu.sgd`; `decay` and the errors as in `adam`.
    """
    _step(cohort, "sgd", {L2: l2, DECAY: decay, BETA1: momentum, STEP: lr})


def _step(cohort: Cohort, family: str, row: Columns) -> None:
    from optim.cuda.launch import Launch, upload

    parameters = cohort.parameters
    row[KEEP] = 1 - row[DECAY]
    # One row of coefficients for all tensors, or one for each where their counts or decays differ.
    each = any(np.size(value) > 1 for value in row.values())
    rows = len(parameters) if each else 1
    table = np.zeros((rows, COLUMNS, 1), np.float32)
    for column, value in row.items():
        table[:, column, 0] = value
    addresses = [moment.data_ptr() for some in cohort.moments for moment in some]
    if addresses != cohort.addresses:  # the moments have moved, and a launch would go on writing to where they were
        cohort.launches.clear()
        cohort.addresses = addresses
    if each not in cohort.launches:
        moments = cohort.moments or [cohort.scratch()]
        moments2 = moments[1] if family == "adam" else []
        groups = list(range(rows)) if each else [0] * len(parameters)
        cohort.launches[each] = Launch(parameters, moments[0], moments2, groups, 1, family)
    gradients = [p.grad for p in parameters]
    cohort.launches[each].step(gradients, upload(torch.from_numpy(table), parameters[0].device))
