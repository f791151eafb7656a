"""Small statistics of weights and steps, in float64: `turn`, `correlation`, `coefficient_of_variation`."""

from __future__ import annotations

import torch
from torch import Tensor


def neurons(weight: Tensor) -> Tensor:
    """The weights of one trial's layer as one row for each output: [out, ...] to [out, n]; a vector is one row."""
    return weight.flatten(1) if weight.dim() > 1 else weight[None]


def turn(old: Tensor, new: Tensor) -> Tensor:
    """The angle between the rows of two matrices [N, n], in radians; exact for small ones, where a cosine is not."""
    a, b = (x / x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny) for x in (old, new))
    return 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1))


def coefficient_of_variation(x: Tensor) -> float | None:
    """Standard deviation over mean; None where there is no spread to speak of."""
    mean = float(x.mean())
    return float(x.std(unbiased=False)) / abs(mean) if len(x) > 1 and mean else None


def correlation(x: Tensor, y: Tensor) -> float | None:
    """Spearman's rank correlation; None where one of them is constant."""
    if len(x) < 3 or bool((x == x[0]).all()) or bool((y == y[0]).all()):
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(x.cpu().numpy(), y.cpu().numpy()).statistic)
