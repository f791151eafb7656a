"""Any module trains as a trial: as torch trains it alone, in a stack or one by one, whatever its neighbours are."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.config.schedules import ScheduleSettings
from runner.config.settings import FULL, LANES
from runner.data.dataset import Dataset
from runner.models.lanes import Lanes
from runner.models.module import UserModule, made
from runner.models.settings import ModuleSettings
from runner.models.tried import draws
from runner.training.feed import Feed, generator
from runner.training.rows import BestEpochs
from runner.training.stack import Stack
from runner.training.state import Run, capture, restore
from runner.trials.trial import Trial
from tests.helpers import images, tokens, trial

CPU = torch.device("cpu")
MODULES = "tests.models.modules"
CASES: dict[str, tuple[Dataset, dict[str, Any] | None]] = {
    "Cnn": (images(70, flip=True, pad=1), None),
    "Reader": (tokens(70, per_position=True), {"width": 4}),
    "Tied": (images(70), None),
}


def settings(name: str, args: dict[str, Any] | None = None) -> ModuleSettings:
    return ModuleSettings("module", f"{MODULES}:{name}", args)


def trials(
    case: str, way: str, args: dict[str, Any] | None = None, rates: tuple[float, ...] = (1e-3, 1e-2)
) -> list[Trial]:
    dataset, own = CASES[case]
    module = settings(case, (own or {}) | (args or {}))
    constant = ScheduleSettings("constant")
    found = [
        replace(trial(dataset, name="adam", seed=i, lr=lr, epochs=2, schedule=constant), model=module)
        for i, lr in enumerate(rates)
    ]
    return [one.computed(way) for one in found]


def trained(case: str, some: list[Trial], dtype: torch.dtype = torch.float64, epochs: int = 2) -> Stack:
    stack = Stack(some, CASES[case][0], CPU, dtype)
    for epoch in range(epochs):
        stack.run_epoch(epoch)
    return stack


def kept(stack: Stack, slot: int) -> list[Tensor]:
    return [t.detach()[slot] for t in [*stack.parameters, *stack.model.buffers()]]


def by_torch(case: str, one: Trial) -> nn.Module:
    """The trial as a plain loop around torch.optim.Adam would train it, on the same batches."""
    dataset = CASES[case][0]
    assert isinstance(one.model, ModuleSettings)
    module = made(one.model, generator(one.seed, "init")).double()
    optimizer = torch.optim.Adam(module.parameters(), lr=one.lr, weight_decay=one.wd)
    feed = Feed(dataset, [one.seed], one.batch_size, 0, CPU, torch.float64)
    for epoch in range(one.epochs):
        feed.epoch(epoch)
        for step in range(one.per_epoch):
            x, y, _ = feed.batch(step)
            optimizer.zero_grad()
            logits = module(x[0])
            answers = y[0].flatten()
            F.cross_entropy(logits.flatten(0, -2), answers, label_smoothing=one.label_smoothing).backward()
            if one.clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), one.clip_norm)
            optimizer.step()
    return module


def check_as_by_torch(case: str, some: list[Trial]) -> Stack:
    """Train a stack, whose tensors and losses must be those of each trial alone in plain torch."""
    stack = trained(case, some)
    for slot, one in enumerate(some):
        alone = by_torch(case, one)
        for name, tensor in {**dict(alone.named_parameters()), **dict(alone.named_buffers())}.items():
            own = getattr(stack.model, name.replace(".", "/"))[slot]
            torch.testing.assert_close(own.detach(), tensor.detach(), rtol=1e-9, atol=1e-12)
        alone.eval()
        test = CASES[case][0].test
        x = torch.from_numpy(test.x)
        x = stack.feed.images.plain(x) if stack.feed.images is not None else x.long()
        loss = F.cross_entropy(alone(x).flatten(0, -2), torch.from_numpy(test.y).flatten())
        assert stack.scores("test").loss[slot] == pytest.approx(float(loss), rel=1e-9)
    return stack


@pytest.mark.parametrize("way", [FULL, LANES])
@pytest.mark.parametrize("case", CASES)
def test_a_module_trains_as_torch_trains_it_alone(case: str, way: str) -> None:
    stack = check_as_by_torch(case, trials(case, way))
    assert isinstance(stack.network, Lanes) == (way == LANES)
    assert isinstance(stack.model, UserModule)


@pytest.mark.parametrize("way", [FULL, LANES])
def test_gradients_are_clipped_for_each_trial_and_labels_smoothed_as_torch_does_it(way: str) -> None:
    limits = (None, 0.05, 0.4, 1e9)
    some = [
        replace(one, clip_norm=limit, label_smoothing=0.1)
        for one, limit in zip(trials("Reader", way, rates=(1e-2,) * 4), limits, strict=True)
    ]
    stack = check_as_by_torch("Reader", some)
    assert stack.step.clip is not None
    one, other = (trained("Reader", [replace(some[0], clip_norm=limit)]) for limit in (None, 0.05))
    assert one.step.clip is None
    assert not torch.equal(kept(one, 0)[0], kept(other, 0)[0])


@pytest.mark.parametrize("case", CASES)
def test_the_bits_of_a_module_do_not_depend_on_how_many_are_stacked(case: str) -> None:
    rates = (1e-3, 1e-2, 3e-2, 1e-3, 1e-2)
    for way in (FULL, LANES):
        together = trained(case, trials(case, way, rates=rates), torch.float32)
        alone = trained(case, trials(case, way, rates=rates)[:1], torch.float32)
        assert all(map(torch.equal, kept(alone, 0), kept(together, 0)))


def test_a_module_that_draws_random_numbers_draws_its_own_in_any_company_and_after_any_resume() -> None:
    dropping = trials("Cnn", LANES, {"drop": 0.5}, (1e-3, 1e-2, 3e-2))
    dataset = CASES["Cnn"][0]
    assert isinstance(dropping[0].model, ModuleSettings)
    assert draws(dropping[0].model, dataset)
    assert not draws(settings("Cnn"), dataset)
    together, apart = trained("Cnn", dropping, torch.float32), trained("Cnn", dropping[1:2], torch.float32)
    assert all(map(torch.equal, kept(apart, 0), kept(together, 1)))
    again = [replace(dropping[1], seed=7).computed(LANES)]
    assert not torch.equal(kept(trained("Cnn", again, torch.float32), 0)[0], kept(apart, 0)[0])

    def run() -> Run:
        return Run(Stack(dropping, dataset, CPU), BestEpochs(3, None))

    class StoppedError(Exception):
        pass

    def stop(taken: int) -> None:
        first.step = taken
        if taken == 2:
            raise StoppedError

    first = run()
    with pytest.raises(StoppedError):
        first.stack.run_epoch(0, 0, stop)
    state = capture(first, 0.0)
    second = run()
    assert restore(second, state)
    second.stack.run_epoch(0, second.step)
    second.stack.run_epoch(1)
    for slot in range(3):
        assert all(map(torch.equal, kept(second.stack, slot), kept(together, slot)))


@pytest.mark.parametrize("way", [FULL, LANES])
def test_a_module_that_diverges_leaves_its_neighbours_as_they_are(way: str) -> None:
    wild = trials("Cnn", way, rates=(1e-3, 1e30, 3e-2))
    calm = trials("Cnn", way, rates=(1e-3, 1e-2, 3e-2))
    found, other = trained("Cnn", wild, torch.float32), trained("Cnn", calm, torch.float32)
    assert found.died_at()[1] >= 0
    for slot in (0, 2):
        assert all(map(torch.equal, kept(found, slot), kept(other, slot)))


def test_what_is_a_weight_is_told_by_what_it_belongs_to() -> None:
    reader = UserModule(settings("Reader"), 3, False)
    weights = dict(zip(reader.trained, reader.decays(), strict=True))
    assert {name for name, weight in weights.items() if weight} == {"head.weight"}
    assert "frozen" not in weights  # it is not trained
    assert set(weights) == {
        "pos_embed",
        "gain",
        "tokens.weight",
        "norm.weight",
        "norm.bias",
        "head.weight",
        "head.bias",
    }


def test_each_trial_is_made_under_its_own_seed_and_nothing_else_is_disturbed() -> None:
    states: list[Callable[[], Any]] = [torch.get_rng_state, random.getstate, lambda: np.random.get_state()[1]]  # noqa: NPY002
    before = [state() for state in states]
    one, same, other = (made(settings("Cnn"), generator(seed, "init")) for seed in (3, 3, 4))
    for earlier, state in zip(before, states, strict=True):
        assert np.array_equal(np.asarray(earlier, dtype=object), np.asarray(state(), dtype=object))
    weights = [module.get_parameter("conv.weight") for module in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
