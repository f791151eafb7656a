"""The runner's three networks as one would write them for a single training run: `network(model, data)`.

Ordinary modules, no trial axis, nothing imported from the runner. Submodules have the names that the runner's have, so
that `load_trial(network, stacked, trial)` can copy one trial's weights out of a stack. `model` holds the keys of
configs/model, `Shape` what a dataset adds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STD = 0.02


@dataclass(frozen=True)
class Shape:
    """Of one example: (channels, height, width), or (tokens,) of `vocabulary` different ones."""

    example: tuple[int, ...]
    classes: int
    vocabulary: int = 0


def network(model: Mapping[str, Any], shape: Shape) -> nn.Module:
    """A network for images or, with one answer for each sequence, for tokens.

    `model`: the keys of configs/model; `shape`: of an example. It maps [B, *shape.example] to logits [B, classes].
    """
    keys = {key: value for key, value in model.items() if key != "name"}
    if model["name"] == "transformer":
        return Transformer(shape, **keys)
    kind = {"resnet": ResNet, "shakeshake": ShakeShake}[model["name"]]
    return kind(shape.example[0], shape.classes, **keys)


@torch.no_grad()
def load_trial(network: nn.Module, stacked: Mapping[str, Tensor], trial: int = 0) -> None:
    """Copy the weights of one `trial` from `stacked`, the state of a stacked network of the runner, into `network`.

    ValueError where the two are different networks.
    """
    own = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    if own.keys() != stacked.keys():
        raise ValueError(f"another network: {sorted(own.keys() ^ stacked.keys())}")
    for name, value in own.items():
        value.copy_(stacked[name][trial])


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, zero padding, He initialisation over fan-out."""
    made = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made


def stages(depth: int, width: int, inputs: int) -> Iterator[tuple[int, int, int]]:
    """Channels in, channels out and stride of each block, in three stages of (depth - 2) / 6."""
    for stage in range(3):
        for index in range((depth - 2) // 6):
            outputs = width * 2**stage
            yield inputs, outputs, 2 if stage > 0 and index == 0 else 1
            inputs = outputs


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs, 3)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, channels: int, classes: int, depth: int = 8, width: int = 8, norm: str = "batch") -> None:
        if norm != "batch":
            raise ValueError(f"norm={norm!r}: only batch normalisation is written here")
        super().__init__()
        self.stem = conv(channels, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(*(ResidualBlock(*block) for block in stages(depth, width, width)))
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        return self.head(self.blocks(x).mean((2, 3)))


class Shake(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x1: Tensor, x2: Tensor, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(b)
        return a * x1 + (1 - a) * x2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (b,), (gradient,) = ctx.saved_tensors, gradients
        return b * gradient, (1 - b) * gradient, None, None


class ShakeShortcut(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.straight = conv(inputs, outputs // 2, 1, stride)
        self.shifted = conv(inputs, outputs // 2, 1, stride)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.norm(torch.cat([self.straight(x), self.shifted(F.pad(x, (1, -1, 1, -1)))], 1))


class ShakeBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                conv(inputs, outputs, 3, stride),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
                conv(outputs, outputs, 3),
                nn.BatchNorm2d(outputs),
            )
            for _ in range(2)
        )
        self.shortcut = nn.Identity() if inputs == outputs else ShakeShortcut(inputs, outputs, stride)

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        x1, x2 = (branch(F.relu(x)) for branch in self.branches)
        if noise is None:
            return self.shortcut(x) + 0.5 * (x1 + x2)
        a, b = noise.to(x1.dtype)[:, :, None, None, None].unbind(1)
        return self.shortcut(x) + Shake.apply(x1, x2, a, b)


class ShakeShake(nn.Module):
    """26 2x`width`d; in training every image and block has two random numbers, drawn here if they are not given."""

    def __init__(self, channels: int, classes: int, depth: int = 26, width: int = 64, shake: bool = True) -> None:
        super().__init__()
        self.shake = shake
        self.stem = conv(channels, 16, 3)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.ModuleList(ShakeBlock(*block) for block in stages(depth, width, 16))
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if self.training and self.shake and noise is None:
            noise = torch.rand(len(x), 2 * len(self.blocks), device=x.device)
        x = self.norm(self.stem(x))
        for index, block in enumerate(self.blocks):
            x = block(x, None if noise is None else noise[:, 2 * index : 2 * index + 2])
        return self.head(F.relu(x).mean((2, 3)))


class TransformerBlock(nn.Module):
    def __init__(self, dim: int, heads: int, mlp: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, mlp * dim)
        self.down = nn.Linear(mlp * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Pre-norm; causal over tokens, all to all over the patches of an image."""

    def __init__(
        self, shape: Shape, layers: int = 2, dim: int = 128, heads: int = 4, mlp: int = 4, patch: int = 4
    ) -> None:
        super().__init__()
        self.patch, self.images = patch, not shape.vocabulary
        if self.images:
            channels, height, width = shape.example
            length = (height // patch) * (width // patch)
            self.embed: nn.Module = nn.Linear(channels * patch**2, dim)
        else:
            (length,) = shape.example
            self.embed = nn.Embedding(shape.vocabulary, dim)
        self.position = nn.Embedding(length, dim)
        self.blocks = nn.Sequential(*(TransformerBlock(dim, heads, mlp, not self.images) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, shape.classes)
        self._initialise(STD / math.sqrt(2 * layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(F.unfold(x, self.patch, stride=self.patch).transpose(1, 2) if self.images else x)
        x = self.blocks(x + self.position.weight)
        x = x.mean(1) if self.images else x[:, -1]
        return self.head(self.norm(x))

    def _initialise(self, small: float) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=small if name.endswith(("out.weight", "down.weight")) else STD)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
