"""A stack computed as so many ordinary networks, each on a CUDA stream of its own: `Lanes(model, lane)`.

A convolution over a stack is one grouped convolution, which CUDA's libraries compute slowly where a group has many
channels. A lane is an ordinary network with the weights of one trial, and lanes run side by side. Parameters, their
gradients and the buffers stay those of the stack, [R, ...], so that optimizer, checkpoints and records know nothing of
lanes: a forward pass hands each lane its slices of the weights, and `gather` brings the slices' gradients together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from optim.stacked import gradient_of
from runner.models.branches import Branches
from runner.models.build import Model

ALIGNED = 4  # float32 numbers in 16 bytes: the optimizer's wide accesses must begin at a multiple of these


class Lanes(nn.Module):
    """The network of `model`, with the same inputs and outputs, [R, ...]. After a backward pass call `gather`.

    Args:
        model: the stack, whose parameters and buffers are used.
        lane: the same network for one trial. Only its structure is used, so it may live on torch's meta device.

    On a CPU the lanes are computed one after another.
    """

    def __init__(self, model: Model, lane: Model) -> None:
        super().__init__()
        self.model, self.lane, self.noise_width = model, Lane(lane), model.noise_width
        self.parts: list[nn.Parameter] = list(model.parameters())
        self.trials = len(self.parts[0])
        self.call: Callable[..., Tensor] = self.lane  # a caller may put what torch.compile makes of it here
        # For each lane its weights in the last forward pass. They are leaves of autograd, so that backward leaves their
        # gradients with them, and does not add slices up into gradients of the stack one by one.
        self.leaves: list[list[Tensor]] = []

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """x [R, B, ...] and noise [R, B, noise_width] or None to logits [R, B, (T,) classes]."""
        weights = [
            p.detach().split(1) for p in self._autocast_parameters(x.device.type)
        ]  # R views [1, ...] of each parameter
        buffers = [b.split(1) for b in self.model.buffers()]
        self.leaves = []
        logits = []
        with Branches(x.device, self.trials) as fork:
            for trial in range(self.trials):
                one = slice(trial, trial + 1)
                with fork(trial):
                    leaves = [w[trial].detach().requires_grad_(torch.is_grad_enabled()) for w in weights]
                    self.leaves.append(leaves)
                    lane_noise = None if noise is None else noise[one]
                    logits.append(self.call(leaves, [b[trial] for b in buffers], x[one], lane_noise))
        return torch.cat(logits)

    @torch.no_grad()
    def gather(self) -> None:
        """Give every parameter [R, ...] the gradients of its lanes, brought together by one copy for each dtype.

        A GPU makes one copy of many tensors faster than it launches a copy for each. The gradients of a parameter are
        then a part of that copy, in the order in which the parameter lies in memory.
        """
        for low in {leaf.dtype for leaf in self.leaves[0]}:
            of_dtype = [i for i, leaf in enumerate(self.leaves[0]) if leaf.dtype == low]
            pieces, starts, start = [], [], 0
            for i in of_dtype:
                pieces += [_in_memory_order(gradient_of(lane[i])).flatten() for lane in self.leaves]
                starts.append(start)
                start += self.parts[i].numel()
                if start % ALIGNED:  # fill up, so that the next parameter begins at a multiple
                    pieces.append(pieces[0].new_zeros(ALIGNED - start % ALIGNED))
                    start += ALIGNED - start % ALIGNED
            whole = torch.cat(pieces).to(self.parts[0].dtype)
            for i, first in zip(of_dtype, starts, strict=True):
                p = self.parts[i]
                like = _in_memory_order(p)
                p.grad = _in_parameter_order(whole[first : first + p.numel()].view(like.shape))
        self.leaves = []

    def _autocast_parameters(self, device: str) -> list[Tensor]:
        """The parameters as lanes use them: filters in autocast's type, all cast by one call, the others unchanged."""
        parameters: list[Tensor] = [p.detach() for p in self.parts]
        if torch.is_autocast_enabled(device):
            filters = [p for p in parameters if p.dim() == 5]
            low = [torch.empty_like(p, dtype=torch.get_autocast_dtype(device)) for p in filters]
            if low:
                torch._foreach_copy_(low, filters)
            cast = iter(low)
            parameters = [next(cast) if p.dim() == 5 else p for p in parameters]
        return parameters


class Lane(nn.Module):
    """A network of one trial that is handed its weights and buffers [1, ...], so that one compilation serves all."""

    def __init__(self, network: Model) -> None:
        super().__init__()
        self.network = network
        self.names = [name for name, _ in network.named_parameters()]
        self.buffer_names = [name for name, _ in network.named_buffers()]

    def forward(self, weights: Sequence[Tensor], buffers: Sequence[Tensor], x: Tensor, noise: Tensor | None) -> Tensor:
        tensors = dict(zip(self.names, weights, strict=True)) | dict(zip(self.buffer_names, buffers, strict=True))
        logits: Tensor = functional_call(self.network, tensors, (x, noise))
        return logits


def _in_memory_order(t: Tensor) -> Tensor:
    """Filters [R, K, C, k, k] as [R, K, k, k, C], contiguous, see `runner.models.layers.filters`; others unchanged."""
    return t.permute(0, 1, 3, 4, 2) if t.dim() == 5 else t


def _in_parameter_order(t: Tensor) -> Tensor:
    """The inverse of `_in_memory_order`."""
    return t.permute(0, 1, 4, 2, 3) if t.dim() == 5 else t
