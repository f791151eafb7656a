"""How well the probabilities of networks fit what comes true: `brier_scores` and `bin_gaps` of a batch, and `ece`.

All is per trial, on the device of the logits, and each sum runs over the last axis of its tensor, so that a trial's
numbers do not depend on how many others are in its stack. A probability that is nan makes both measures nan.
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 15  # as in Guo et al. 2017


def brier_scores(probabilities: Tensor, target: Tensor) -> Tensor:
    """The sum over examples of the Brier score of each answer in its original form, which lies between 0 and 2.

    sum_k (p_k - [k = y])^2, over all classes (Brier 1950, equation 2). For two classes this is twice the score of
    binary forecasts, which counts the positive class alone.

    Args:
        probabilities: [R, B, (T,) K].
        target: int64 [R, B(, T)].

    Returns: float64 [R]; divided by the number of answers it is the score.
    """
    classes = torch.arange(probabilities.shape[-1], device=target.device)
    missed = probabilities - (target[..., None] == classes).to(probabilities.dtype)
    return missed.square().sum(-1).double().flatten(1).sum(1)


def bin_gaps(probabilities: Tensor, hit: Tensor) -> Tensor:
    """For each bin of confidence the number of right answers minus the sum of their confidences.

    Bin m of M holds the answers whose confidence, the largest probability, is in ((m - 1) / M, m / M] (Guo et al. 2017,
    section 2).

    Args:
        probabilities: [R, B, (T,) K].
        hit: bool [R, B(, T)], whether the likeliest class is the right one.

    Returns: float64 [R, BINS], which adds up over batches; `ece` makes a measure of it.
    """
    confidence = probabilities.amax(-1).double().flatten(1)
    upper = torch.arange(1, BINS + 1, device=confidence.device)[:, None]
    # The bin's number is confidence * BINS, rounded up.
    inside = (confidence * BINS).ceil()[:, None] == upper  # [R, BINS, answers]
    gaps = (hit.flatten(1).double() - confidence)[:, None]
    # A product, so that a gap of nan stays one; no scatter_add, which on CUDA adds in an order of its own each time.
    return (gaps * inside).sum(-1)


def ece(gaps: Tensor, answers: int) -> Tensor:
    """The expected calibration error of so many answers in percent (Guo et al. 2017, equation 3): [R].

    The mean over answers of |accuracy - confidence| of their bin. `gaps`: [R, BINS], summed over all batches.
    """
    return 100 * gaps.abs().sum(-1) / answers
