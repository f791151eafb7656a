"""Any `torch.nn.Module` as R networks side by side: `UserModule(settings, dataset, trials)`.

It has the parameters of its trials stacked, [R, ...], as the models that are written for stacks, so that the optimizer,
checkpoints and records do not know the difference. `torch.func.vmap` computes all trials at once;
`runner.models.module_lanes` one after another.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.func import functional_call, vmap

from runner.data.imported import imported
from runner.errors import UserError
from runner.models.settings import ModuleSettings

SEED_NUMBERS = 2  # of an example's random numbers, that seed what a module draws in a forward pass


class UserModule(nn.Module):
    """R copies of somebody's module.

    Args:
        settings: how to make one.
        trials: R.
        draws: whether the module draws random numbers in a forward pass, as dropout does. It is then seeded for each
            trial and batch, and can only be computed in lanes.
    """

    def __init__(self, settings: ModuleSettings, trials: int, draws: bool) -> None:
        super().__init__()
        self.settings, self.trials, self.draws = settings, trials, draws
        self.noise_width = SEED_NUMBERS if draws else 0
        # In a tuple, for its parameters are no part of this network.
        self.template = (made(settings, torch.Generator()),)
        # What does not train is kept like a buffer: the optimizer never sees it.
        self.trained = [name for name, p in self.template[0].named_parameters() if p.requires_grad]
        for name, tensor in tensors_of(self.template[0]).items():
            shape = (trials, *tensor.shape)
            if name in self.trained:
                self.register_parameter(key_of(name), nn.Parameter(torch.zeros(shape, dtype=tensor.dtype)))
            else:
                self.register_buffer(key_of(name), torch.zeros(shape, dtype=tensor.dtype))
        self.names = list(tensors_of(self.template[0]))

    @torch.no_grad()
    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """Give each trial the tensors of a module made under its own seed, drawn by its generator."""
        for slot, generator in enumerate(generators):
            for name, tensor in tensors_of(made(self.settings, generator)).items():
                self._own(name)[slot].copy_(tensor)

    def decays(self) -> list[bool]:
        """For each parameter whether it is a weight, and no norm's scale, bias or embedding."""
        owners = {f"{path}.{name}".lstrip("."): module for path, module in self.template[0].named_modules()
                  for name, _ in module.named_parameters(recurse=False)}  # fmt: skip
        return [_is_weight(name, owners[name], self._own(name)) for name in self.trained]

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """x [R, B, ...] and noise [R, B, noise_width] or None to logits [R, B, (T,) classes]."""
        template = self.template[0]
        if template.training != self.training:
            template.train(self.training)
        tensors = {name: self._own(name) for name in self.names}

        def one(own: dict[str, Tensor], batch: Tensor) -> Tensor:
            found: Tensor = functional_call(template, own, (batch,))
            return found

        together: Tensor = vmap(one)(tensors, x)
        return together

    def _own(self, name: str) -> Tensor:
        found: Tensor = getattr(self, key_of(name))
        return found


def made(settings: ModuleSettings, generator: torch.Generator) -> nn.Module:
    """A module, its numbers drawn under a seed that the generator gives; all global generators stay as they were.

    UserError where it cannot be made, or is no module.
    """
    make = imported(settings.make, "model.make")
    try:
        # Memory is predicted with tensors that have none, but a module may look at the numbers that it begins with.
        with unset_fake_temporarily(), torch.device("cpu"):
            seed = int(torch.randint(2**31, (), generator=generator))
        with unset_fake_temporarily(), torch.device("cpu"), _globally(seed):
            module = make(**(settings.args or {}))
    except (Exception, SystemExit) as error:  # other people's code
        raise UserError(
            f"model.make={settings.make} model.args={settings.args}: cannot be made ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(module, nn.Module):
        raise UserError(f"model.make={settings.make}: gave {type(module).__name__}, which is no torch.nn.Module")
    return module


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name; those that are one tensor under two names have the first of them."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def key_of(name: str) -> str:
    """What a stack's parameter or buffer is called: the name without dots, which torch does not take."""
    return name.replace(".", "/")


_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def _is_weight(name: str, owner: nn.Module, stacked: Tensor) -> bool:
    """Whether a parameter is a weight, by what it belongs to.

    A norm or embedding that is no class of torch is known by its shape or name: scales have one axis, and tables of
    positions or class tokens are called so.
    """
    last = name.rpartition(".")[2]
    if isinstance(owner, (*_NORMS, *_EMBEDDINGS)) or last.endswith("bias") or stacked.dim() <= 2:
        return False
    return not any(word in last for word in ("embed", "token"))


def generator_states() -> tuple[bytes, object, bytes]:
    """Of torch's, Python's and NumPy's global generators, to be compared."""
    numpy: Any = np.random.get_state()  # noqa: NPY002 (a module may draw from this one)
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), repr(numpy[1:3]).encode() + bytes(numpy[1])


@contextmanager
def kept_generators() -> Iterator[None]:
    """All global generators that a module may draw from go on afterwards as if nothing had been drawn within."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002


def seed_generators(seed: int) -> None:
    """Seed them all, of the CPU."""
    torch.random.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002


@contextmanager
def _globally(seed: int) -> Iterator[None]:
    with kept_generators():
        seed_generators(seed)
        yield
