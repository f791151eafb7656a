"""What somebody's module gives for a batch, found out by trying it: `draws(settings, dataset)`.

It is tried once in a process for each module and shape of an example, also before anything is trained, so that a
module that does not fit its data is refused in one line.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn.parameter import UninitializedParameter

from runner.data.code_place import source_hash
from runner.data.dataset import Dataset
from runner.errors import UserError
from runner.models.module import generator_states, kept_generators, made
from runner.models.settings import ModuleSettings

Shape = tuple[int, ...]


class Hashed:
    """Settings as a key of a cache: the arguments may be lists and mappings."""

    def __init__(self, settings: ModuleSettings) -> None:
        self.settings, self.key = settings, (settings.make, repr(settings.args), settings.source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashed) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def logits_shape(dataset: Dataset) -> Shape:
    """Of an example's logits: [classes], or [T, classes] where every position is answered."""
    return (*dataset.train.y.shape[1:], dataset.classes)


def a_batch(shape: Shape, numbers: bool) -> Tensor:
    """Normal numbers in place of standardised images, or tokens 0."""
    g = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=g) if numbers else torch.zeros(shape, dtype=torch.int64)


def draws(settings: ModuleSettings, dataset: Dataset) -> bool:
    """Whether the module draws random numbers in a forward pass of training.

    Raises:
        UserError: where its file is another than that of the settings, it cannot be made, cannot take a batch of this
            dataset, or gives something else than logits.
    """
    return _draws(Hashed(settings), dataset.example, dataset.kind != "tokens", logits_shape(dataset))


@lru_cache(maxsize=64)
def _draws(hashed: Hashed, shape: Shape, numbers: bool, outputs: Shape) -> bool:
    settings = hashed.settings
    place = f"model.make={settings.make}"
    if source_hash(settings.make) != settings.source:
        raise UserError(f"{place}: its file is not the one of the row ({settings.source}); it was changed since")
    with unset_fake_temporarily(), torch.device("cpu"), kept_generators():
        module = made(settings, torch.Generator().manual_seed(0)).train()
        _check_parameters(module, place)
        before = generator_states()
        try:
            logits = module(a_batch((2, *shape), numbers))
        except Exception as error:  # other people's code
            first = (str(error).splitlines() or [""])[0]
            raise UserError(
                f"{place}: cannot take a batch {[2, *shape]} of the dataset ({type(error).__name__}: {first})"
            ) from error
        drew = before != generator_states()
    given = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if given != [2, *outputs]:
        raise UserError(f"{place}: gives {given} for a batch of 2, and the dataset needs logits {[2, *outputs]}")
    if not logits.is_floating_point() or not logits.requires_grad:
        raise UserError(f"{place}: gives {logits.dtype} on which no parameter has a part; nothing could be trained")
    return drew


def _check_parameters(module: nn.Module, place: str) -> None:
    """UserError for parameters that cannot be trained side by side with those of other trials."""
    named = dict(module.named_parameters())
    if lazy := next((name for name, p in named.items() if isinstance(p, UninitializedParameter)), ""):
        raise UserError(f"{place}: {lazy} has no shape before the first batch; give the layer its sizes")
    if not any(p.requires_grad for p in named.values()):
        raise UserError(f"{place}: has no parameter to train")
    for name, p in named.items():
        if p.requires_grad and (p.dtype != torch.float32 or p.layout != torch.strided):
            raise UserError(f"{place}: {name} is {p.dtype} ({p.layout}); parameters must be torch.float32, dense")
