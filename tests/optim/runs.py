"""Runs that are saved by one optimizer and go on with another: `Run`, each class in `MAKES`, and ways of DCP."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

import optim

LR, WD = 3e-4, 1e-4  # the paper's decay; torch's is WD / LR
Make = Callable[[Any], torch.optim.Optimizer]
MAKES: dict[str, Make] = {
    "Adam": lambda p: optim.Adam(p, LR, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, LR, weight_decay=WD / LR),
    "AdamW exact": lambda p: optim.AdamW(p, LR, weight_decay=WD / LR, release=False),
    "AdamW paper": lambda p: optim.AdamW(p, LR, weight_decay=WD, convention="paper"),
    "SGD": lambda p: optim.SGD(p, LR, 0.9, weight_decay=0.1),
    "SGD plain": lambda p: optim.SGD(p, LR),
    "SGDW": lambda p: optim.SGDW(p, LR, 0.9, weight_decay=WD / LR),
    "SGDW paper": lambda p: optim.SGDW(p, LR, 0.9, weight_decay=WD, convention="paper"),
    "SparseAdamW": lambda p: optim.SparseAdamW(p, LR, weight_decay=WD / LR),
    "SparseAdamW paper": lambda p: optim.SparseAdamW(p, LR, weight_decay=WD, convention="paper"),
    "LOMO": lambda p: optim.LOMO(p, LR, weight_decay=WD / LR),
    "Lookahead paper": lambda p: optim.Lookahead(MAKES["AdamW paper"](p), 2),
    "Lookahead SGDW": lambda p: optim.Lookahead(MAKES["SGDW paper"](p), 2),
    "torch AdamW": lambda p: torch.optim.AdamW(p, LR, weight_decay=WD / LR),
    "torch Adam": lambda p: torch.optim.Adam(p, LR, weight_decay=0.1),
    "torch SGD": lambda p: torch.optim.SGD(p, LR, 0.9, weight_decay=0.1),
}
WAYS = {
    "whole": StateDictOptions(),
    "flattened": StateDictOptions(flatten_optimizer_state_dict=True),
    "full": StateDictOptions(full_state_dict=True),
    "not strict": StateDictOptions(full_state_dict=True, strict=False),
}


class Run:
    """A small network in two groups of other rates, of which a layer is frozen, under a falling rate."""

    def __init__(self, make: Make) -> None:
        torch.manual_seed(0)
        self.model: Any = nn.Sequential(
            nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 1)
        ).double()
        self.model[2].requires_grad_(False)
        rest = [p for layer in self.model[1:] for p in layer.parameters()]
        self.optimizer = make([{"params": list(self.model[0].parameters()), "lr": 1e-3}, {"params": rest}])
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 / (1 + step / 4))
        self.steps = 0

    def train(self, steps: int) -> list[Tensor]:
        for _ in range(steps):
            self.steps += 1
            self.optimizer.zero_grad()
            x = torch.randn(6, 4, generator=torch.Generator().manual_seed(self.steps)).double()
            self.model(x).square().sum().backward()
            self.optimizer.step()
            self.schedule.step()
        return list(self.model.parameters())

    def saved(self, way: str) -> Any:
        return copy.deepcopy(get_optimizer_state_dict(self.model, self.optimizer, options=WAYS[way]))

    def resumed(self, other: Run, file: Any) -> Run:
        self.optimizer.load_state_dict(file)
        return self._follows(other)

    def goes_on(self, other: Run, file: Any, way: str) -> Run:
        """From a checkpoint of the other's optimizer, its weights and its schedule."""
        set_optimizer_state_dict(self.model, self.optimizer, copy.deepcopy(file), options=WAYS[way])
        return self._follows(other)

    def _follows(self, other: Run) -> Run:
        self.model.load_state_dict(other.model.state_dict())
        self.schedule.load_state_dict(copy.deepcopy(other.schedule.state_dict()))
        self.steps = other.steps
        return self


def edited(make: Make) -> Make:
    """The same with another decay in its groups than the one that was saved."""

    def made(p: Any) -> torch.optim.Optimizer:
        optimizer = make(p)
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.77
        return optimizer

    return made


def assert_goes_on(there: Run, here: Run) -> None:
    assert here.schedule.last_epoch == there.schedule.last_epoch == there.steps
    for a, b in zip(here.train(4), there.train(4), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def started(name: str) -> Run:
    run = Run(MAKES[name])
    run.train(3)
    return run
