"""Somebody's module one trial after another: `ModuleLanes(model)`, each trial a module of its own.

`lanes(settings, dataset, model)` gives those of any model.

The parameters and buffers of these modules lie in the memory of the stack's, so that a forward pass is the module's
own, without a call more. On a GPU each has a CUDA stream, as lanes have.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from runner.data.dataset import Dataset
from runner.models.branches import Branches
from runner.models.build import Model, build
from runner.models.lanes import Lanes
from runner.models.module import UserModule, kept_generators, key_of, seed_generators
from runner.models.settings import ModelSettings


def lanes(settings: ModelSettings, dataset: Dataset, model: Model) -> Lanes:
    """The network of `model`, made of these settings, computed as so many ordinary networks."""
    if isinstance(model, UserModule):
        return ModuleLanes(model)
    with torch.device("meta"):  # only the structure of a lane is used
        return Lanes(model, build(settings, dataset, 1))


class ModuleLanes(Lanes):
    """The network of `model`, with the same inputs and outputs, [R, ...]. After a backward pass call `gather`."""

    def __init__(self, model: UserModule) -> None:
        nn.Module.__init__(self)
        self.model, self.noise_width, self.draws = model, model.noise_width, model.draws
        self.parts = list(model.parameters())
        self.trials = model.trials
        # In a tuple, for their parameters are those of the stack.
        self.modules_of = tuple(_bound(model, slot) for slot in range(model.trials))
        self.leaves = [[module.get_parameter(name) for name in model.trained] for module in self.modules_of]

    def train(self, mode: bool = True) -> ModuleLanes:
        super().train(mode)
        for module in self.modules_of:
            if module.training != mode:
                module.train(mode)
        return self

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """x [R, B, ...] and noise [R, B, noise_width] or None to logits [R, B, (T,) classes]."""
        logits = []
        with Branches(x.device, self.trials) as fork:
            for trial, module in enumerate(self.modules_of):
                with fork(trial):
                    if self.draws and not isinstance(x, FakeTensor):
                        with _seeded(x.device, None if noise is None else noise[trial, 0]):
                            logits.append(module(x[trial]))
                    else:
                        logits.append(module(x[trial]))
        return torch.stack(logits) if logits[1:] else logits[0][None]

    @torch.no_grad()
    def gather(self) -> None:
        """Give every parameter [R, ...] the gradients of its modules; one that nothing came to has zeros."""
        for index, p in enumerate(self.parts):
            grads = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in self._leaves_of(index)]
            p.grad = torch.stack(grads) if grads[1:] else grads[0][None]
            for leaf in self._leaves_of(index):
                leaf.grad = None

    def _leaves_of(self, index: int) -> list[nn.Parameter]:
        return [leaves[index] for leaves in self.leaves]  # type: ignore[misc]


@torch.no_grad()
def _bound(model: UserModule, slot: int) -> nn.Module:
    """A module whose numbers lie where the stack has those of a trial.

    Where memory is predicted the stack's tensors have no memory, and the module keeps its own.
    """
    with unset_fake_temporarily():
        module = deepcopy(model.template[0])
    if any(isinstance(tensor, FakeTensor) for tensor in (*model.parameters(), *model.buffers())):
        return module
    for name, p in list(module.named_parameters()):
        p.data = getattr(model, key_of(name)).data[slot]
        p.grad = None
    for name, _ in list(module.named_buffers()):
        owner, _, last = name.rpartition(".")
        module.get_submodule(owner)._buffers[last] = getattr(model, key_of(name))[slot]
    return module


@contextmanager
def _seeded(device: torch.device, numbers: Tensor | None) -> Iterator[None]:
    """What is drawn within depends on `numbers` alone: two of a trial's random numbers of its batch.

    In an evaluation there are none, and each batch begins with the same seed.
    """
    first, second = (0, 0) if numbers is None else (int(part * 2**24) for part in numbers.tolist())
    seed = first * 2**24 + second
    with kept_generators(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_generators(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield
