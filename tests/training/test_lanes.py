"""Lanes train the networks of a stack: the same seeds, schedules, evaluations, states and neighbours that diverge."""

from __future__ import annotations

import pytest
import torch

from runner.config.settings import LANES
from runner.data.dataset import Dataset
from runner.models.lanes import Lanes
from runner.models.layers import Conv2d
from runner.training.memory import predicted
from runner.training.rows import BestEpochs
from runner.training.stack import Stack
from runner.training.state import Run, capture, restore
from runner.trials.trial import Trial
from tests.helpers import images, tokens, trial

CPU = torch.device("cpu")
CASES: dict[str, tuple[Dataset, str]] = {
    "resnet": (images(70, flip=True, pad=1), "resnet"),
    "shakeshake": (images(70, flip=True, pad=1), "shakeshake"),
    "transformer": (tokens(70), "transformer"),
    "patches": (images(70), "transformer"),
}
RATES = (1e-3, 1e-2, 3e-2)


def trials(case: str, lanes: bool, rates: tuple[float, ...] = RATES) -> list[Trial]:
    dataset, model = CASES[case]
    found = [trial(dataset, model, seed=i % 2, lr=lr, epochs=3) for i, lr in enumerate(rates)]
    return [one.computed(LANES) for one in found] if lanes else found


def trained(case: str, some: list[Trial], dtype: torch.dtype = torch.float64, epochs: int = 3) -> Stack:
    stack = Stack(some, CASES[case][0], CPU, dtype)
    for epoch in range(epochs):
        stack.run_epoch(epoch)
    return stack


def kept(stack: Stack) -> list[torch.Tensor]:
    return [t.detach()[: stack.count] for t in [*stack.parameters, *stack.model.buffers()]]


@pytest.mark.parametrize("case", CASES)
def test_lanes_train_and_evaluate_as_a_stack_does(case: str) -> None:
    stack, lanes = trained(case, trials(case, False)), trained(case, trials(case, True))
    assert isinstance(lanes.network, Lanes)
    for a, b in zip(kept(stack), kept(lanes), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    for split in ("train", "val", "test"):
        assert lanes.scores(split).loss == pytest.approx(stack.scores(split).loss, rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_the_bits_of_a_lane_do_not_depend_on_its_neighbours(case: str) -> None:
    together = trained(case, trials(case, True), torch.float32)
    for i, one in enumerate(trials(case, True)):
        alone = trained(case, [one], torch.float32)
        assert all(torch.equal(a[0], b[i]) for a, b in zip(kept(alone), kept(together), strict=True))


def test_a_lane_that_diverges_leaves_the_others_as_they_are() -> None:
    case = "resnet"
    wild = trials(case, True, (1e-3, 1e30, 3e-2))
    found, calm = trained(case, wild), trained(case, [wild[0]])
    assert found.died_at()[1] >= 0
    assert all(torch.equal(a[0], b[0]) for a, b in zip(kept(calm), kept(found), strict=True))


def test_lanes_go_on_from_a_saved_state_as_if_nothing_had_happened() -> None:
    case = "shakeshake"
    some = trials(case, True)
    whole = trained(case, some, torch.float32)
    first = trained(case, some, torch.float32, epochs=2)
    later = Run(Stack(some, CASES[case][0], CPU), BestEpochs(len(some), None))
    assert restore(later, capture(Run(first, BestEpochs(len(some), None), epoch=2), 0.0))
    later.stack.run_epoch(2)
    assert all(torch.equal(a, b) for a, b in zip(kept(whole), kept(later.stack), strict=True))


def test_no_convolution_of_a_lane_is_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = Conv2d.forward

    def noted(self: Conv2d, x: torch.Tensor) -> torch.Tensor:
        seen.append(self.trials)
        return forward(self, x)

    monkeypatch.setattr(Conv2d, "forward", noted)
    trained("resnet", trials("resnet", True), epochs=1)
    assert set(seen) == {1}


def test_filters_are_cast_once_for_all_lanes() -> None:
    dataset, model = CASES["resnet"]
    some = [trial(dataset, model, seed=i, precision="bf16", way=LANES) for i in range(3)]
    stack = Stack(some, dataset, CPU)
    stack.run_epoch(0)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in stack.parameters)
    assert all(p.grad is not None and p.grad.stride() == p.stride() for p in stack.parameters)


def test_the_memory_of_lanes_can_be_predicted() -> None:
    dataset = CASES["resnet"][0]
    one, three = (predicted(trials("resnet", True)[:n], dataset, CPU) for n in (1, 3))
    assert one < three
