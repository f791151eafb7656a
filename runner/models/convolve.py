"""A stack's convolution on a GPU, in the way that is fast for its shape: `convolve(x, weight, stride, padding)`.

Measured on an H100 in bfloat16 (results/gpu): cuDNN computes one grouped convolution of 16 trials up to three times as
fast as 16 ordinary ones where a group has as many channels in as out, and up to twenty times slower where the numbers
differ or are 256. On a CPU a stack keeps its grouped convolution: for the shapes of these networks' shortcuts a product
of matrices took 0.9 to 2.3 times as long.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.models.branches import Branches

GROUPED = 128  # channels of a trial up to which a grouped convolution is faster
THIN = 3  # channels of an image, for which both ways are as fast


def convolve(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve image activations with the filters of each trial.

    Args:
        x: [B, R * C, H, W], channels last.
        weight: filters [R, K, C, k, k].
        stride: in pixels, of rows and columns.
        padding: zeros on each side, in pixels.

    Returns: [B, R * K, h, w], in autocast's type where that is on.
    """
    trials, outputs, inputs, kernel, _ = weight.shape
    if trials == 1 or inputs <= THIN or (kernel > 1 and inputs == outputs <= GROUPED):
        return F.conv2d(x, weight.flatten(0, 1), stride=stride, padding=padding, groups=trials)
    if kernel == 1:
        return product(x, weight, stride)
    if torch.is_autocast_enabled(x.device.type):
        low = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(low), weight.to(low)
    y: Tensor = Apart.apply(x, weight, stride, padding)
    return y


def product(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution with filters of one pixel as a batched product of matrices.

    `x`: [B, R * C, H, W]; `weight`: [R, K, C, 1, 1]; `stride`: in pixels. Returns [B, R * K, h, w].
    """
    trials, outputs, inputs, _, _ = weight.shape
    picked = x[:, :, ::stride, ::stride].permute(0, 2, 3, 1)
    pixels = picked.reshape(-1, trials, inputs).transpose(0, 1)
    y = torch.bmm(pixels, weight.view(trials, outputs, inputs).transpose(1, 2)).transpose(0, 1)
    return y.reshape(*picked.shape[:3], trials * outputs).permute(0, 3, 1, 2)


class Apart(torch.autograd.Function):
    """An ordinary convolution for each trial, side by side on streams of their own, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        parts = _parts(x, len(weight))
        with Branches(x.device, len(parts)) as fork:
            outputs = []
            for trial, part in enumerate(parts):
                with fork(trial):
                    outputs.append(F.conv2d(part, weight[trial], stride=stride, padding=padding))
        return torch.cat(outputs, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        (stride, padding), trials = ctx.geometry, len(weight)
        given = list(zip(_parts(gradients[0], trials), _parts(x, trials), weight, strict=True))
        # No bias; stride, padding, dilation; not transposed, no output padding, one group; gradients of input, weight.
        options = None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [True, True, False]
        with Branches(x.device, trials) as fork:
            derivatives = []
            for trial, (gradient, part, filters) in enumerate(given):
                with fork(trial):
                    derivatives.append(torch.ops.aten.convolution_backward(gradient, part, filters, *options))
        by_input, by_weight, _ = zip(*derivatives, strict=True)
        # Stacked in the memory order of the weights, so that the optimizer need not copy the gradient.
        of_weights = torch.stack([g.permute(0, 2, 3, 1) for g in by_weight]).permute(0, 1, 4, 2, 3)
        return torch.cat(by_input, 1), of_weights, None, None


def _parts(x: Tensor, trials: int) -> list[Tensor]:
    """The activations of each trial, [B, C, H, W] with channels last, from one copy of [B, R * C, H, W]."""
    apart = x.permute(0, 2, 3, 1).unflatten(-1, (trials, -1)).permute(3, 0, 1, 2, 4).contiguous()
    return [part.permute(0, 3, 1, 2) for part in apart]
