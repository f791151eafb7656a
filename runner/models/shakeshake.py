"""The paper's network: 26 2x`width`d with shake-shake-image regularisation (Gastaldi 2017).

Follows the Lua code that the paper's authors used: no ReLU after the stem or after an addition, every stage
begins with a two-path shortcut. 11,653,978 parameters at width 64, 26,192,922 at 96 (10 classes).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.models import layers
from runner.models.resnet import stages
from runner.models.settings import ShakeShakeSettings


class Shake(torch.autograd.Function):
    """a * x1 + (1 - a) * x2 forward; the gradient is shared out by other numbers, b and 1 - b."""

    @staticmethod
    def forward(ctx: Any, x1: Tensor, x2: Tensor, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(b)
        return torch.lerp(x2, x1, a)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (b,), (gradient,) = ctx.saved_tensors, gradients
        first = b * gradient
        return first, gradient - first, None, None


class Shortcut(nn.Module):
    """Two 1x1 convolutions of a rectified image to half the channels each, the second on it moved by one pixel."""

    def __init__(self, trials: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.trials = trials
        self.straight = layers.Conv2d(trials, inputs, outputs // 2, 1, stride)
        self.shifted = layers.Conv2d(trials, inputs, outputs // 2, 1, stride)
        self.norm = layers.BatchNorm2d(trials, outputs)

    def forward(self, x: Tensor) -> Tensor:
        moved = F.pad(x, (1, -1, 1, -1))
        return self.norm(layers.join([self.straight(x), self.shifted(moved)], self.trials))


class Block(nn.Module):
    """Two branches, mixed, beside a shortcut: `inputs` channels a trial to `outputs`, 1 / `stride` the size."""

    def __init__(self, trials: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.branches = nn.ModuleList(self._branch(trials, inputs, outputs, stride) for _ in range(2))
        self.shortcut = Shortcut(trials, inputs, outputs, stride) if inputs != outputs else None

    @staticmethod
    def _branch(trials: int, inputs: int, outputs: int, stride: int) -> nn.Module:
        return nn.Sequential(
            layers.Conv2d(trials, inputs, outputs, 3, stride),
            layers.BatchNorm2d(trials, outputs),
            nn.ReLU(inplace=True),  # a norm's backward pass has no need of its output
            layers.Conv2d(trials, outputs, outputs, 3),
            layers.BatchNorm2d(trials, outputs),
        )

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        active = torch.relu(x)  # each branch begins with this one
        x1, x2 = (branch(active) for branch in self.branches)
        if noise is None:
            mixed = 0.5 * (x1 + x2)
        else:
            a, b = (layers.per_image(noise[..., i], self.outputs).to(x1.dtype) for i in range(2))
            mixed = Shake.apply(x1, x2, a, b)
        return (x if self.shortcut is None else self.shortcut(active)) + mixed


class ShakeShake(nn.Module):
    """Images [R, B, C, H, W] and noise [R, B, noise_width] in [0, 1) (None: no shaking) to logits [R, B, classes].

    R = `trials` and C = `channels`; `settings` have the sizes, and whether there is noise at all.
    """

    def __init__(self, settings: ShakeShakeSettings, trials: int, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = layers.Conv2d(trials, channels, 16, 3)
        self.norm = layers.BatchNorm2d(trials, 16)
        blocks = stages(settings.depth, settings.width, 16)
        self.blocks = nn.ModuleList(Block(trials, *block) for block in blocks)
        self.pool = layers.Pool(trials)
        self.head = layers.Linear(trials, 4 * settings.width, classes)
        self.noise_width = 2 * len(self.blocks) if settings.shake else 0

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        x = self.norm(self.stem(layers.pack(images)))
        for index, block in enumerate(self.blocks):
            x = block(x, None if noise is None else noise[..., 2 * index : 2 * index + 2])
        return self.head(self.pool(torch.relu(x)))
