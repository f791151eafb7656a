"""A pre-norm Transformer for token sequences and for images cut into patches.

Tokens: causal; one class per example is read at the last position, one class per position everywhere.
Images: every patch sees every other; the class is read from the average over patches.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.models import layers
from runner.models.settings import TransformerSettings

STD = 0.02  # GPT-2's initial standard deviation
ATTENDED = 2**16 - 1  # examples of all trials together that flash attention takes in one call
# Positions up to which products of matrices are faster on a GPU, whose flash attention works in tiles of 64 and 128. A
# CPU's has no tiles: from 4 to 256 positions products took 0.95 to 2.5 times as long there, forward and backward.
SHORT = 16


def short(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """q [N, heads, Q, D], k, v [N, heads, T, D] to [N, heads, Q, D], as products of matrices.

    `causal`: no position sees those after it; Q is then T.
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if causal:
        later = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    return scores.softmax(-1).to(v.dtype) @ v


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Attention within trial and example: q [R, B, Q, heads, D], k, v [R, B, T, heads, D] to [R, B, Q, heads * D].

    `causal`: no position sees those after it; Q is then T.
    """
    q1, k1, v1 = (x.flatten(0, 1).transpose(1, 2) for x in (q, k, v))
    if q.is_cuda and k.shape[2] <= SHORT:
        y = short(q1, k1, v1, causal)
    elif len(q1) <= ATTENDED:
        y = F.scaled_dot_product_attention(q1, k1, v1, is_causal=causal)
    else:
        parts = zip(q1.split(ATTENDED), k1.split(ATTENDED), v1.split(ATTENDED), strict=True)
        y = torch.cat([F.scaled_dot_product_attention(*some, is_causal=causal) for some in parts])
    return y.transpose(1, 2).reshape(*q.shape[:3], -1)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); what joins the residual starts smaller in deep networks."""

    def __init__(self, settings: TransformerSettings, trials: int, causal: bool) -> None:
        super().__init__()
        dim, small = settings.dim, STD / math.sqrt(2 * settings.layers)
        self.heads, self.causal = settings.heads, causal
        self.norm1 = layers.LayerNorm(trials, dim)
        self.qkv = layers.Linear(trials, dim, 3 * dim, STD)
        self.out = layers.Linear(trials, dim, dim, small)
        self.norm2 = layers.LayerNorm(trials, dim)
        self.up = layers.Linear(trials, dim, settings.mlp * dim, STD)
        self.down = layers.Linear(trials, settings.mlp * dim, dim, small)

    def forward(self, x: Tensor, last: bool = False) -> Tensor:
        """Positions x [R, B, T, dim] to as many; `last`: to the last alone, [R, B, 1, dim], in under half the work."""
        q, k, v = self.qkv(self.norm1(x)).view(*x.shape[:-1], 3, self.heads, -1).unbind(-3)
        if last:  # the last position sees all others, causal or not
            q, x = q[:, :, -1:], x[:, :, -1:]
        x = x + self.out(attention(q, k, v, self.causal and not last))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Tokens int64 [R, B, T] or images [R, B, C, H, W] to logits [R, B, classes] or [R, B, T, classes]."""

    noise_width = 0

    def __init__(
        self,
        settings: TransformerSettings,
        trials: int,
        shape: tuple[int, ...],
        classes: int,
        vocabulary: int,
        per_position: bool,
    ) -> None:
        """`shape`: of one example, (T,) tokens of `vocabulary` values, or (C, H, W) of an image with `vocabulary` 0.

        `per_position`: a class for each position, or else one for the example.
        """
        super().__init__()
        self.patch, self.per_position, self.images = settings.patch, per_position, not vocabulary
        if self.images:
            channels, height, width = shape
            length = (height // self.patch) * (width // self.patch)
            self.embed: nn.Module = layers.Linear(trials, channels * self.patch**2, settings.dim)
        else:
            (length,) = shape
            self.embed = layers.Embedding(trials, vocabulary, settings.dim, STD)
        self.position = layers.Embedding(trials, length, settings.dim, STD)
        self.blocks = nn.ModuleList(Block(settings, trials, not self.images) for _ in range(settings.layers))
        self.norm = layers.LayerNorm(trials, settings.dim)
        self.head = layers.Linear(trials, settings.dim, classes, STD)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        x = self.embed(self._patches(x) if self.images else x)
        x = x + self.position.rows()
        for number, block in enumerate(self.blocks, 1):
            x = block(x, last=number == len(self.blocks) and not (self.per_position or self.images))
        if not self.per_position:
            x = x.mean(2) if self.images else x[:, :, -1]
        return self.head(self.norm(x))

    def _patches(self, images: Tensor) -> Tensor:
        """[R, B, C, H, W] to [R, B, patches, C * patch * patch]."""
        cut = images.unfold(3, self.patch, self.patch).unfold(4, self.patch, self.patch)
        return cut.permute(0, 1, 3, 4, 2, 5, 6).flatten(4).flatten(2, 3)
