"""A stack computed as so many ordinary networks, each on a CUDA stream of its own: `Lanes(model, lane)`.

A convolution over a stack is one grouped convolution, which CUDA's libraries compute slowly where a group has many
channels. A lane is an ordinary network with the weights of one trial. Parameters, their gradients and the buffers stay
those of the stack, [R, ...], so that optimizer, checkpoints and records know nothing of lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from runner.models.branches import Branches
from runner.models.build import Model

ALIGNED = 4  # float32 numbers in 16 bytes, at which the optimizer's wide accesses begin


class Lanes(nn.Module):
    """The network of `model`, [R, ...] in and out as there; `lane` is the same network for one trial.

    Of `lane` only the structure is used: it may live on torch's meta device. After a backward pass `gather` gives the
    stack's parameters their gradients. On the CPU a lane is computed after another.
    """

    def __init__(self, model: Model, lane: Model) -> None:
        super().__init__()
        self.model, self.lane, self.noise_width = model, Lane(lane), model.noise_width
        self.parts: list[nn.Parameter] = list(model.parameters())
        self.trials = len(self.parts[0])
        self.call: Callable[..., Tensor] = self.lane  # or what torch.compile makes of it
        self.leaves: list[list[Tensor]] = []  # of each lane the weights of the last forward pass, which get gradients

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """x [R, B, ...] and noise [R, B, noise_width] or None to logits [R, B, (T,) classes]."""
        weights = [p.detach().split(1) for p in self._low(x.device.type)]
        buffers = [b.split(1) for b in self.model.buffers()]
        self.leaves = []
        found = []
        with Branches(x.device, self.trials) as fork:
            for trial in range(self.trials):
                here = slice(trial, trial + 1)
                with fork(trial):
                    mine = [w[trial].detach().requires_grad_(torch.is_grad_enabled()) for w in weights]
                    self.leaves.append(mine)
                    its_noise = None if noise is None else noise[here]
                    found.append(self.call(mine, [b[trial] for b in buffers], x[here], its_noise))
        return torch.cat(found)

    @torch.no_grad()
    def gather(self) -> None:
        """Give every parameter [R, ...] the gradients of its lanes, brought together by one copy for each dtype."""
        for low in {leaf.dtype for leaf in self.leaves[0]}:
            places = [i for i, leaf in enumerate(self.leaves[0]) if leaf.dtype == low]
            pieces, starts, start = [], [], 0
            for i in places:
                pieces += [_in_memory_order(_gradient(lane[i])).flatten() for lane in self.leaves]
                starts.append(start)
                start += self.parts[i].numel()
                if start % ALIGNED:
                    pieces.append(pieces[0].new_zeros(ALIGNED - start % ALIGNED))
                    start += ALIGNED - start % ALIGNED
            whole = torch.cat(pieces).to(self.parts[0].dtype)
            for i, first in zip(places, starts, strict=True):
                p = self.parts[i]
                like = _in_memory_order(p)
                p.grad = _by_name(whole[first : first + p.numel()].view(like.shape))
        self.leaves = []

    def _low(self, device: str) -> list[Tensor]:
        """The parameters as lanes use them: filters in autocast's type, all cast by one call, the others as is."""
        found: list[Tensor] = [p.detach() for p in self.parts]
        if torch.is_autocast_enabled(device):
            filters = [p for p in found if p.dim() == 5]
            low = [torch.empty_like(p, dtype=torch.get_autocast_dtype(device)) for p in filters]
            if low:
                torch._foreach_copy_(low, filters)
            cast = iter(low)
            found = [next(cast) if p.dim() == 5 else p for p in found]
        return found


class Lane(nn.Module):
    """A network of one trial that is handed its weights and buffers [1, ...]: one compilation serves all lanes."""

    def __init__(self, network: Model) -> None:
        super().__init__()
        self.network = network
        self.names = [name for name, _ in network.named_parameters()]
        self.buffer_names = [name for name, _ in network.named_buffers()]

    def forward(self, weights: Sequence[Tensor], buffers: Sequence[Tensor], x: Tensor, noise: Tensor | None) -> Tensor:
        tensors = dict(zip(self.names, weights, strict=True)) | dict(zip(self.buffer_names, buffers, strict=True))
        logits: Tensor = functional_call(self.network, tensors, (x, noise))
        return logits


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None, "every parameter of a network takes part in every step"
    return leaf.grad


def _in_memory_order(t: Tensor) -> Tensor:
    """Filters [R, K, C, k, k] as [R, K, k, k, C], as `runner.models.layers.filters` stores them; others as is."""
    return t.permute(0, 1, 3, 4, 2) if t.dim() == 5 else t


def _by_name(t: Tensor) -> Tensor:
    """What `_in_memory_order` was given."""
    return t.permute(0, 1, 4, 2, 3) if t.dim() == 5 else t
