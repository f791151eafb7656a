"""Layers whose parameters carry a leading trial axis: R networks of one shape computed side by side.

Models are written from these alone, and only this file knows how activations are laid out. Images are
[batch, trials * channels, height, width], so that a convolution over a stack is one grouped convolution and batch
normalisation needs nothing special; features and tokens are [trials, batch, ..., width]. No layer mixes trials: what
happens to one cannot reach its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.models.convolve import convolve
from runner.models.loose import LooseBias, LooseNorm, LoosePool


class Layer(nn.Module):
    """A module with parameters [R, ...] for R = `trials` networks."""

    def __init__(self, trials: int) -> None:
        super().__init__()
        self.trials = trials
        self.own: dict[str, Tensor] = {}  # parameters and buffers of one trial, [...]: see `runner.models.build.single`
        self.loose = False  # whether to round all channels alike: see `runner.models.build.loosen`

    def parameter(self, *shape: int) -> nn.Parameter:
        """A new parameter [R, *shape] of zeros."""
        return nn.Parameter(torch.zeros(self.trials, *shape))

    def flat(self, name: str) -> Tensor:
        """The parameter or buffer `name`, [R, n, ...], as [R * n, ...], as layers of image activations take it."""
        return self.own[name] if self.own else getattr(self, name).flatten(0, 1)

    def draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        """The initial values of one trial by parameter name, drawn by `generator`: here scales of 1 and biases of 0."""
        own = self.named_parameters(recurse=False)
        return {name: torch.full(p.shape[1:], float(name == "weight")) for name, p in own}


@torch.no_grad()
def initialise(model: nn.Module, generators: Sequence[torch.Generator]) -> None:
    """Give each trial its initial weights, in place.

    Equal generators give equal networks, wherever they stand in the stack.

    Args:
        model: a network of R trials, made of the layers here.
        generators: R of them, on the CPU, so that every device starts from the same numbers.
    """
    for module in model.modules():
        if isinstance(module, Layer):
            for slot, generator in enumerate(generators):
                for name, value in module.draw(generator).items():
                    module.get_parameter(name)[slot].copy_(value)


def filters(trials: int, outputs: int, inputs: int, kernel: int) -> Tensor:
    """Zeros for a weight [trials, outputs, inputs, kernel, kernel], with channels last in memory as image activations.

    With another layout a convolution would copy the weight, and its gradient back, in every step.
    """
    return torch.zeros(trials, outputs, kernel, kernel, inputs).permute(0, 1, 4, 2, 3)


class Conv2d(Layer):
    """Convolution without bias, zero padding kernel // 2; He initialisation over fan-out, as in fb.resnet.torch.

    Image activations [B, R * inputs, H, W] to [B, R * outputs, h, w], h = ceil(H / stride) for an odd `kernel`.
    """

    def __init__(self, trials: int, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(trials)
        self.stride, self.padding = stride, kernel // 2
        self.weight = nn.Parameter(filters(trials, outputs, inputs, kernel))

    def draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        _, outputs, _, kernel, _ = self.weight.shape
        std = math.sqrt(2 / (kernel * kernel * outputs))
        return {"weight": torch.randn(self.weight.shape[1:], generator=generator) * std}

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return convolve(x, self.weight, self.stride, self.padding)
        return F.conv2d(x, self.flat("weight"), stride=self.stride, padding=self.padding, groups=self.trials)


class BatchNorm2d(Layer):
    """Batch normalisation of image activations, for each of `channels` of each trial; momentum 0.1, eps 1e-5."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, trials: int, channels: int) -> None:
        super().__init__(trials)
        self.weight = self.parameter(channels)
        self.bias = self.parameter(channels)
        self.register_buffer("running_mean", torch.zeros(trials, channels))
        self.register_buffer("running_var", torch.ones(trials, channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, var, weight, bias = map(self.flat, ("running_mean", "running_var", "weight", "bias"))
        if self.loose and self.training:
            y: Tensor = LooseNorm.apply(x, weight, bias, mean, var)
            return y
        return F.batch_norm(x, mean, var, weight, bias, training=self.training)


class Bias2d(Layer):
    """A bias for each of `channels` of image activations: what is left in a network without batch normalisation."""

    def __init__(self, trials: int, channels: int) -> None:
        super().__init__(trials)
        self.bias = self.parameter(channels)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.flat("bias")
        y: Tensor = LooseBias.apply(x, bias) if self.loose else x + bias[:, None, None]
        return y


class Pool(Layer):
    """Global average pooling: image activations to features [R, B, C]."""

    def forward(self, x: Tensor) -> Tensor:
        means: Tensor = LoosePool.apply(x) if self.loose else x.mean((2, 3))
        return means.unflatten(1, (self.trials, -1)).transpose(0, 1)


class Linear(Layer):
    """Features [R, ..., inputs] to [R, ..., outputs]. `std` None: torch's default, uniform in 1 / sqrt(inputs)."""

    def __init__(self, trials: int, inputs: int, outputs: int, std: float | None = None) -> None:
        super().__init__(trials)
        self.std = std
        self.weight = self.parameter(outputs, inputs)
        self.bias = self.parameter(outputs)

    def draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        shape = self.weight.shape[1:]
        if self.std is None:
            bound = 1 / math.sqrt(shape[1])
            weight = (torch.rand(shape, generator=generator) * 2 - 1) * bound
        else:
            weight = torch.randn(shape, generator=generator) * self.std
        return {"weight": weight, "bias": torch.zeros(shape[0])}

    def forward(self, x: Tensor) -> Tensor:
        # Of one trial all axes but the last are rows: one ordinary product of two matrices.
        if self.own:
            flat = F.linear(x.reshape(-1, x.shape[-1]), self.own["weight"], self.own["bias"])
            return flat.view(*x.shape[:-1], flat.shape[-1])
        y = torch.baddbmm(self.bias[:, None], x.flatten(1, -2), self.weight.transpose(1, 2))
        return y.view(*x.shape[:-1], y.shape[-1])


class LayerNorm(Layer):
    """Layer normalisation over the last axis of [R, ..., dim], R = `trials`; eps 1e-5."""

    def __init__(self, trials: int, dim: int) -> None:
        super().__init__(trials)
        self.weight = self.parameter(dim)
        self.bias = self.parameter(dim)

    def forward(self, x: Tensor) -> Tensor:
        if self.own:
            return F.layer_norm(x, x.shape[-1:], self.own["weight"], self.own["bias"])
        # Scale and bias differ between trials, so that they are applied after normalising all at once.
        shape = (self.trials,) + (1,) * (x.dim() - 2) + (-1,)
        return torch.addcmul(self.bias.view(shape), F.layer_norm(x, x.shape[-1:]), self.weight.view(shape))


class Embedding(Layer):
    """Tokens int64 [R, ..., T], below `tokens`, to [R, ..., T, dim]; normal initial values with deviation `std`."""

    def __init__(self, trials: int, tokens: int, dim: int, std: float) -> None:
        super().__init__(trials)
        self.std = std
        self.sparse = False  # whether the gradient is sparse, with the rows that were looked up; one trial only
        self.weight = self.parameter(tokens, dim)

    def draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        return {"weight": torch.randn(self.weight.shape[1:], generator=generator) * self.std}

    def forward(self, tokens: Tensor) -> Tensor:
        if self.own:
            return F.embedding(tokens, self.own["weight"])
        if self.sparse:
            looked_up: Tensor = _Rows.apply(self.weight, tokens)
            return looked_up
        # One table of all trials' rows, in which each trial's tokens begin behind those of the trial before.
        first = torch.arange(self.trials, device=tokens.device) * self.weight.shape[1]
        shape = (self.trials,) + (1,) * (tokens.dim() - 1)
        return F.embedding(tokens + first.view(shape), self.weight.flatten(0, 1))

    def rows(self) -> Tensor:
        """All of the table, as it is added to tokens [R, B, tokens, dim]."""
        return self.own["weight"] if self.own else self.weight[:, None]


class _Rows(torch.autograd.Function):
    """Rows of a weight [1, N, dim], with a sparse gradient: torch's own sparse embedding takes no trial axis."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, tokens: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.shape = weight.shape
        return F.embedding(tokens, weight[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (tokens,) = ctx.saved_tensors
        rows = tokens.flatten()
        indices = torch.stack([torch.zeros_like(rows), rows])
        values = gradient.flatten(0, -2)
        return torch.sparse_coo_tensor(indices, values, ctx.shape, check_invariants=False), None


def pack(images: Tensor) -> Tensor:
    """`images` [R, B, C, H, W] to the layout of image activations, [B, R * C, H, W] with channels last."""
    return images.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def join(parts: Sequence[Tensor], trials: int) -> Tensor:
    """Concatenate image activations, `parts` [B, R * C_i, H, W], along each of R = `trials` trials' own channels."""
    # Joined with channels first, the result and all activations after it would have channels first in memory.
    last = [x.permute(0, 2, 3, 1).unflatten(-1, (trials, -1)) for x in parts]
    return torch.cat(last, -1).flatten(-2).permute(0, 3, 1, 2)


def per_image(coefficients: Tensor, channels: int) -> Tensor:
    """`coefficients` [R, B], one per trial and image, as [B, R * channels, 1, 1]: to scale image activations."""
    return coefficients.t().repeat_interleave(channels, 1)[:, :, None, None]
