"""Every way to compute a stack's step that the bench compares trains the same networks."""

from __future__ import annotations

import pytest
import torch

from runner.data.dataset import Dataset
from scripts.bench.stack_ways import way
from tests.helpers import images, tokens, trial

CPU = torch.device("cpu")
CASES: dict[str, tuple[Dataset, str]] = {
    "resnet": (images(70, flip=True, pad=1), "resnet"),
    "shakeshake": (images(70, flip=True, pad=1), "shakeshake"),
    "transformer": (tokens(70), "transformer"),
}


@pytest.mark.parametrize("case", CASES)
def test_all_ways_train_the_same_networks(case: str) -> None:
    dataset, model = CASES[case]
    trials = [trial(dataset, model, seed=i % 2, lr=1e-3 * (1 + i)) for i in range(4)]
    stacks = [way(each, trials, dataset, CPU) for each in ("stack", "lanes")]
    for stack in stacks:
        stack.run_epoch(0)
    engine, other = ([*stack.parameters, *stack.model.buffers()] for stack in stacks)
    for a, b in zip(engine, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lanes-1", "stack+fast", "bmm"])
def test_an_unknown_way_is_refused(name: str) -> None:
    dataset, model = CASES["resnet"]
    with pytest.raises(ValueError, match="must be stack or lanes"):
        way(name, [trial(dataset, model)], dataset, CPU)
