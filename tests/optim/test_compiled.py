"""torch.compile of a training step breaks its graph at the optimizer, whose step is the one without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import optim
from tests.optim.citizens import Make

KINDS: dict[str, Make] = {
    "Adam": lambda p: optim.Adam(p, 0.1),
    "AdamW": lambda p: optim.AdamW(p, 0.1),
    "SGD": lambda p: optim.SGD(p, 0.1, 0.9),
    "SGDW": lambda p: optim.SGDW(p, 0.1, 0.9, weight_decay=0.1),
    "SparseAdamW": lambda p: optim.SparseAdamW(p, 0.1),
    "LOMO": lambda p: optim.LOMO(p, 0.1),
    "Lookahead": lambda p: optim.Lookahead(optim.AdamW(p, 0.1), 2),
}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def trained(name: str, compiled: bool) -> list[Tensor]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = KINDS[name](model.parameters())
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()

    run = torch.compile(step, backend="eager") if compiled else step
    for _ in range(4):
        run(torch.randn(5, 3))
        schedule.step()
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("name", KINDS)
def test_a_compiled_training_step_ends_where_the_plain_one_does(name: str) -> None:
    for a, b in zip(trained(name, True), trained(name, False), strict=True):
        torch.testing.assert_close(a, b)


def test_a_compiled_function_that_only_steps_runs() -> None:
    p = torch.ones(3, requires_grad=True)
    optimizer = optim.SGD([p], 1.0)
    p.grad = torch.ones(3)
    torch.compile(lambda: optimizer.step(), backend="eager")()
    assert p.tolist() == [0, 0, 0]


def test_other_functions_are_still_compiled() -> None:
    seen = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        seen.append(len(list(graph.graph.nodes)))
        return graph.forward

    optim.SparseAdamW([torch.ones(3, requires_grad=True)])

    @torch.no_grad()
    def doubled(x: Tensor) -> Tensor:
        return 2 * x

    assert torch.compile(doubled, backend=backend)(torch.ones(2)).tolist() == [2, 2]
    assert seen
