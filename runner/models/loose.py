"""Operations on the CPU whose bits for a channel do not depend on how many channels there are: `LooseNorm` and others.

torch's reductions, and the backward pass of its batch normalisation, go through the channels in vectors, and through
those that are left over one by one. The two ways add up in another order, or the compiler fuses other operations, so
that a channel is rounded by its place. Here the same results are made of single additions and multiplications over
whole tensors, which are rounded in one way only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MOMENTUM, EPS = 0.1, 1e-5
FOLD = 16  # rows of pixels that are gone through as one, for a row of few channels is too short to be fast


class LooseNorm(torch.autograd.Function):
    """Training mode: x [B, C, H, W], weight and bias [C]; the running mean and variance [C] are updated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        y, batch_mean, scale = torch.native_batch_norm(x, weight, bias, mean, var, True, MOMENTUM, EPS)
        ctx.save_for_backward(x, weight, batch_mean, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, scale = ctx.saved_tensors
        (gradient,) = gradients
        _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, scale, True, EPS, [False, True, True]
        )
        channels = x.shape[1]
        rows = x.numel() // channels
        fold = next(n for n in range(FOLD, 0, -1) if rows % n == 0)
        # The gradient of the input: g minus its mean, minus its projection on the centred input, times weight / std. It
        # is computed in the memory of one tensor.
        projection = by_weight * scale / rows
        per_channel = (mean, projection, by_bias / rows, scale * weight)
        mean, projection, average, slope = (t.repeat(fold) for t in per_channel)
        flat = [t.permute(0, 2, 3, 1).reshape(rows // fold, fold * channels) for t in (x, gradient)]
        by_input = (flat[0] - mean).mul_(projection).add_(average)
        torch.sub(flat[1], by_input, out=by_input).mul_(slope)
        shape = (x.shape[0], x.shape[2], x.shape[3], channels)
        return by_input.to(x.dtype).view(shape).permute(0, 3, 1, 2), by_weight, by_bias, None, None


class LooseBias(torch.autograd.Function):
    """x [B, C, H, W] plus bias [C]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        ctx.dtype = bias.dtype
        return x + bias[:, None, None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        zero, one = (torch.full(gradient.shape[1:2], value, dtype=ctx.dtype) for value in (0.0, 1.0))
        # Batch normalisation's backward pass sums the gradient over each channel, and rounds all channels alike. With
        # mean 0 and deviation 1 that sum is the gradient of a bias.
        *_, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, gradient, None, None, None, zero, one, True, EPS, [False, False, True]
        )
        return gradient, by_bias


class LoosePool(torch.autograd.Function):
    """The mean over the pixels: [B, C, H, W] to [B, C]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        # Pixel by pixel: a mean over pixels would be rounded by the place of the channel.
        first, *others = x.flatten(2).unbind(2)
        total = first.clone()
        for pixel in others:
            total += pixel
        return total.div_(1 + len(others))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        batch, channels, height, width = ctx.shape
        each = (gradients[0] / (height * width)).view(batch, 1, 1, channels)
        return each.expand(batch, height, width, channels).contiguous().permute(0, 3, 1, 2)
