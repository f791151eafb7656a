"""How stacks of somebody's module are computed on a CPU: `module_way(settings, dataset, batch_size)`.

As one network for all trials, if it can be, has the same numbers in a stack of any size, and is faster so; else one
trial after the other. It is found out once in a process for each module and shape of a batch.
"""

from __future__ import annotations

import time
import warnings
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from runner.config.settings import FULL, LANES
from runner.data.dataset import Dataset
from runner.models.lanes import Lanes
from runner.models.module import UserModule, made
from runner.models.module_lanes import ModuleLanes
from runner.models.settings import ModuleSettings
from runner.models.tried import Hashed, Shape, a_batch, draws, logits_shape
from runner.training.evaluate import losses

SIZES = (2, 3, 8)  # stacks whose numbers are compared
LARGE = 10**6  # parameters, from which trials one by one are in no stack
TIMED = 8  # trials in the stack that is timed
SECONDS = 0.3  # about how long each way is timed


class Way(NamedTuple):
    """FULL or LANES; for LANES why, in words that follow 'one by one: ', whether it must be so, and how many at most.

    Trials one by one in a stack gain from a common step of the optimizer, which for large networks is nothing beside
    the memory that they take.
    """

    way: str
    why: str = ""
    must: bool = False
    most: int = 0  # trials in a stack; 0: as many as for other networks


def module_way(settings: ModuleSettings, dataset: Dataset, batch_size: int) -> Way:
    """How to compute stacks of the module.

    Args:
        settings: of the module.
        dataset: of whose batches it is tried.
        batch_size: examples in a batch.

    Raises:
        UserError: for a module that does not fit the dataset (see `runner.models.tried.draws`).
    """
    shape = (min(batch_size, len(dataset.train)), *dataset.example)
    hashed = Hashed(settings)
    if draws(settings, dataset):
        way = Way(LANES, "it draws random numbers, each trial its own", must=True)
    else:
        way = _tried(hashed, shape, dataset.kind != "tokens", logits_shape(dataset))
    return way._replace(most=1) if way.way == LANES and _parameters(hashed) > LARGE else way


@lru_cache(maxsize=64)
def _parameters(hashed: Hashed) -> int:
    return sum(p.numel() for p in made(hashed.settings, torch.Generator()).parameters())


@lru_cache(maxsize=64)
def _tried(hashed: Hashed, shape: Shape, numbers: bool, outputs: Shape) -> Way:
    torch.set_num_threads(1)  # as a worker process does
    with warnings.catch_warnings(action="ignore"):  # vmap says of some operations that they are slow, which is timed
        most = max(TIMED, *SIZES)
        x = a_batch(shape, numbers).expand(most, *shape)
        y = torch.zeros(most, shape[0], *outputs[:-1], dtype=torch.int64)
        try:
            found = [_first(hashed.settings, x[:size], y[:size]) for size in SIZES]
            if any(not torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True)):
                return Way(LANES, "its numbers would depend on how many trials are in a stack")
            stack, lanes = _network(hashed.settings, TIMED), _network(hashed.settings, TIMED)
            together, apart = _times([stack, ModuleLanes(lanes)], x[:TIMED], y[:TIMED])
        except Exception as error:  # vmap has no rule for everything, and says for what; a module may raise anything
            first = (str(error).splitlines() or [""])[0][:120]
            return Way(LANES, f"it cannot be computed as a stack ({first})", must=True)
    return Way(FULL) if together <= apart else Way(LANES, "which is faster for this shape")


def _network(settings: ModuleSettings, trials: int) -> UserModule:
    network = UserModule(settings, trials, False)
    network.initialise([torch.Generator().manual_seed(seed) for seed in range(trials)])
    return network.train()


def _step(network: UserModule | Lanes, x: Tensor, y: Tensor) -> None:
    losses(network(x, None), y).mean(1).sum().backward()
    if isinstance(network, Lanes):
        network.gather()


def _first(settings: ModuleSettings, x: Tensor, y: Tensor) -> list[Tensor]:
    """The first trial's gradients and buffers after a step of a stack of as many trials as `x` has."""
    network = _network(settings, len(x))
    _step(network, x, y)
    return [t[0] for t in (*(p.grad for p in network.parameters() if p.grad is not None), *network.buffers())]


def _times(networks: list[UserModule | Lanes], x: Tensor, y: Tensor) -> list[float]:
    """The shortest time of a step of each, in seconds, taken in turns."""
    best = [float("inf")] * len(networks)
    end = time.perf_counter() + SECONDS * len(networks)
    while time.perf_counter() < end or max(best) == float("inf"):
        for index, network in enumerate(networks):
            began = time.perf_counter()
            _step(network, x, y)
            best[index] = min(best[index], time.perf_counter() - began)
    return best
