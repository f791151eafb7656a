"""Steps of one network on CUDA: hands a cohort and its numbers to `optim.cuda.launch`, imported when first used.

Here lr and decay are host numbers of an eager step; for CUDA graphs use `optim.cuda.launch` itself.
"""

from __future__ import annotations

import numpy as np
import torch

from optim.base.cohort import Cohort
from optim.rules import BETA1, BETA2, BIAS2, COLUMNS, DECAY, EPS, KEEP, L2, RATE1, RATE2, STEP

Columns = dict[int, float | np.ndarray]  # of a row of coefficients; an array where each tensor has its own


def adam(
    cohort: Cohort, decay: float | np.ndarray, *, lr: float, beta1: float, beta2: float, eps: float, l2: float
) -> None:
    """Adam's step of every parameter that has a gradient; `decay`: the fraction removed of all, or of each."""
    assert cohort.counts is not None, "Adam counts its steps"
    one = cohort.counts.common()
    # 0 is the count of one that has no gradient yet, and is passed over.
    count = np.maximum(cohort.counts.values.astype(np.float64), 1) if one is None else np.array([one])
    row: Columns = {L2: l2, DECAY: decay, BETA1: beta1, RATE1: 1 - beta1, BETA2: beta2, RATE2: 1 - beta2, EPS: eps}
    row |= {STEP: lr / (1 - beta1**count), BIAS2: np.sqrt(1 - beta2**count)}
    _step(cohort, "adam", row)


def sgd(cohort: Cohort, decay: float | np.ndarray, *, lr: float, momentum: float, l2: float) -> None:
    """The same of SGD."""
    _step(cohort, "sgd", {L2: l2, DECAY: decay, BETA1: momentum, STEP: lr})


def _step(cohort: Cohort, family: str, row: Columns) -> None:
    from optim.cuda.launch import Launch, upload  # here, for it asks for Triton

    parameters = cohort.parameters
    row[KEEP] = 1 - row[DECAY]
    each = any(np.size(value) > 1 for value in row.values())
    rows = len(parameters) if each else 1
    table = np.zeros((rows, COLUMNS, 1), np.float32)
    for column, value in row.items():
        table[:, column, 0] = value
    addresses = [moment.data_ptr() for some in cohort.moments for moment in some]
    if addresses != cohort.addresses:  # a launch would go on writing where they were
        cohort.launches.clear()
        cohort.addresses = addresses
    if each not in cohort.launches:
        moments = cohort.moments or [cohort.scratch()]
        moments2 = moments[1] if family == "adam" else []
        groups = list(range(rows)) if each else [0] * len(parameters)
        cohort.launches[each] = Launch(parameters, moments[0], moments2, groups, 1, family)
    gradients = [p.grad for p in parameters]
    cohort.launches[each].step(gradients, upload(torch.from_numpy(table), parameters[0].device))
