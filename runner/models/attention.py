"""Scaled dot-product attention of a stack: `attention(q, k, v, causal)`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ATTENDED = 2**16 - 1  # examples of all trials together that flash attention takes in one call
# Positions up to which products of matrices are faster on a GPU, whose flash attention works in tiles of 64 and 128. A
# CPU's has no tiles: from 4 to 256 positions products took 0.95 to 2.5 times as long there, forward and backward.
SHORT = 16


def short(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """q [N, heads, Q, D], k, v [N, heads, T, D] to [N, heads, Q, D], as products of matrices."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if causal:
        later = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    return scores.softmax(-1).to(v.dtype) @ v


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Attention within trial and example: q [R, B, Q, heads, D], k, v [R, B, T, heads, D] to [R, B, Q, heads * D]."""
    q1, k1, v1 = (x.flatten(0, 1).transpose(1, 2) for x in (q, k, v))
    if q.is_cuda and k.shape[2] <= SHORT:
        y = short(q1, k1, v1, causal)
    elif len(q1) <= ATTENDED:
        y = F.scaled_dot_product_attention(q1, k1, v1, is_causal=causal)
    else:
        parts = zip(q1.split(ATTENDED), k1.split(ATTENDED), v1.split(ATTENDED), strict=True)
        y = torch.cat([F.scaled_dot_product_attention(*some, is_causal=causal) for some in parts])
    return y.transpose(1, 2).reshape(*q.shape[:3], -1)
