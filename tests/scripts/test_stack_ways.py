"""Every way to compute a stack's step that the bench compares trains the same networks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from stack_ways import way

from runner.data.dataset import Dataset
from runner.models import layers
from tests.helpers import images, tokens, trial

CPU = torch.device("cpu")
CASES: dict[str, tuple[Dataset, str]] = {
    "resnet": (images(70, flip=True, pad=1), "resnet"),
    "shakeshake": (images(70, flip=True, pad=1), "shakeshake"),
    "transformer": (tokens(70), "transformer"),
}


@pytest.mark.parametrize("name", ["nchw", "bmm", "lanes"])
@pytest.mark.parametrize("case", CASES)
def test_all_ways_train_the_same_networks(case: str, name: str) -> None:
    dataset, model = CASES[case]
    trials = [trial(dataset, model, seed=i % 2, lr=1e-3 * (1 + i)) for i in range(4)]
    stacks = [way(each, trials, dataset, CPU) for each in ("stack", name)]
    for stack in stacks:
        stack.run_epoch(0)
    engine, other = ([*stack.parameters, *stack.model.buffers()] for stack in stacks)
    for a, b in zip(engine, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "first"), [("stack", False), ("nchw", True)])
def test_channels_come_first_in_one_way_only(name: str, first: bool) -> None:
    dataset, model = CASES["resnet"]
    stack = way(name, [trial(dataset, model, seed=i) for i in range(2)], dataset, CPU)
    found: list[torch.Tensor] = []
    for module in stack.model.modules():
        if isinstance(module, layers.Conv2d):
            module.register_forward_hook(lambda *told: found.append(told[-1]))
    stack.run_epoch(0)
    assert len(found) > 5
    assert all(y.is_contiguous() == first for y in found)


@pytest.mark.parametrize("name", ["lanes-1", "stack+fast", "rows"])
def test_an_unknown_way_is_refused(name: str) -> None:
    dataset, model = CASES["resnet"]
    with pytest.raises(ValueError, match="must be stack, lanes, nchw or bmm"):
        way(name, [trial(dataset, model)], dataset, CPU)
