"""Gradients are clipped trial by trial, alike in every way to compute a stack; what has no limit is left to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from runner.config.settings import FULL, LANES, LOOSE, UNSTACKED
from runner.training.stack import Stack
from runner.trials.trial import Trial
from tests.helpers import images, tokens, trial

CPU = torch.device("cpu")
CASES = {"resnet": images(70), "transformer": tokens(70)}
LIMITS = (None, 0.02, 0.5)


def trained(case: str, some: list[Trial], dtype: torch.dtype = torch.float64) -> Stack:
    stack = Stack(some, CASES[case], CPU, dtype)
    for epoch in range(2):
        stack.run_epoch(epoch)
    return stack


def clipped(case: str, limits: tuple[float | None, ...] = LIMITS) -> list[Trial]:
    return [trial(CASES[case], case, seed=i, epochs=2, clip_norm=limit) for i, limit in enumerate(limits)]


@pytest.mark.parametrize("way", [FULL, LOOSE, LANES])
@pytest.mark.parametrize("case", CASES)
def test_a_stack_clips_as_each_trial_alone(case: str, way: str) -> None:
    some = clipped(case)
    together = trained(case, [one.computed(way) for one in some])
    for slot, one in enumerate(some):
        alone = trained(case, [one.computed(UNSTACKED)])
        for a, b in zip(alone.parameters, together.parameters, strict=True):
            torch.testing.assert_close(a[0], b[slot], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_a_limit_of_one_trial_changes_no_bit_of_another(case: str) -> None:
    some, others = clipped(case), clipped(case, (None, None, None))
    one, other = trained(case, some, torch.float32), trained(case, others, torch.float32)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(one.parameters, other.parameters, strict=True))
    assert not all(torch.equal(a[1], b[1]) for a, b in zip(one.parameters, other.parameters, strict=True))


def test_a_trial_that_diverges_leaves_its_neighbours_as_they_are() -> None:
    some = clipped("resnet")
    wild = [some[0], replace(some[1], lr=1e30), some[2]]
    found, calm = trained("resnet", wild, torch.float32), trained("resnet", some, torch.float32)
    assert found.died_at()[1] >= 0
    for slot in (0, 2):
        assert all(torch.equal(a[slot], b[slot]) for a, b in zip(found.parameters, calm.parameters, strict=True))


def test_the_norm_of_an_update_without_momentum_is_at_most_the_limit() -> None:
    """SGD at rate 1 without momentum and decay moves by the gradient itself."""
    one = trial(images(16), "resnet", "sgd", lr=1.0, wd=0.0, epochs=1, clip_norm=0.01)
    one = replace(one, optimizer=replace(one.optimizer, momentum=0.0), batch_size=16)
    stack = Stack([one], images(16), CPU, torch.float64)
    stats = stack.run_epoch(0)
    assert stats.update_norm[0] == pytest.approx(0.01, rel=1e-3)
