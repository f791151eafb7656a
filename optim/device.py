"""Steps of one network on CUDA: hands a cohort and its numbers to `optim.launch`, which this imports when first used.

Here lr and decay are host numbers of an eager step; for CUDA graphs use `optim.launch` itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from optim.cohort import Cohort
from optim.rules import BETA1, BETA2, BIAS2, COLUMNS, DECAY, EPS, KEEP, L2, RATE1, RATE2, STEP


def adam(
    cohort: Cohort,
    tensors: tuple[list[Tensor], ...],
    grad_scale: Tensor | None,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    l2: float,
    decay: float,
) -> None:
    count = cohort.count.item()
    row = {L2: l2, DECAY: decay, BETA1: beta1, RATE1: 1 - beta1, BETA2: beta2, RATE2: 1 - beta2, EPS: eps}
    row |= {STEP: lr / (1 - beta1**count), BIAS2: math.sqrt(1 - beta2**count)}
    _step(cohort, tensors, "adam", row, grad_scale)


def sgd(
    cohort: Cohort,
    tensors: tuple[list[Tensor], ...],
    grad_scale: Tensor | None,
    *,
    lr: float,
    momentum: float,
    l2: float,
    decay: float,
) -> None:
    _step(cohort, tensors, "sgd", {L2: l2, DECAY: decay, BETA1: momentum, STEP: lr}, grad_scale)


def _step(
    cohort: Cohort, tensors: tuple[list[Tensor], ...], family: str, row: dict[int, float], grad_scale: Tensor | None
) -> None:
    from optim.launch import Launch, upload  # here, for it asks for Triton

    parameters, gradients, *moments = tensors
    if family == "sgd" and not moments:
        moments = [cohort.scratch(parameters)]
    if cohort.launch is None:
        moments2 = moments[1] if family == "adam" else []
        cohort.launch = Launch(parameters, moments[0], moments2, [0] * len(parameters), 1, family, "torch")
    row[KEEP] = 1 - row[DECAY]
    columns = torch.tensor([row.get(column, 0.0) for column in range(COLUMNS)], dtype=torch.float64).float()
    scale = None if grad_scale is None else grad_scale.float().reciprocal().reshape(1)
    cohort.launch.step(gradients, upload(columns.view(1, COLUMNS, 1), parameters[0].device), scale=scale)
