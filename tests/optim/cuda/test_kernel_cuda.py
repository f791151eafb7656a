"""On a GPU: its bits are the CPU's, a replayed graph steps as eager steps do, moved addresses are noticed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from optim.cuda.launch import upload
from optim.rules import Rule
from tests.optim.mixed_stack import ADAMS, MANY_16, ODD, SGDS, STEPS, Stack, make, torchs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def run(stack: Stack) -> list[Tensor]:
    launch, table = stack.launch(), upload(stack.table(), torch.device("cuda"))
    for step, gradients in enumerate(stack.gradients):
        launch.step(gradients, table[step], stack.live(step).cuda())
    return stack.state()


@pytest.mark.skipif("AVX" not in torch.backends.cpu.get_cpu_capability(), reason="the CPU has no fma")
@pytest.mark.parametrize("rules", [ADAMS, SGDS], ids=["adam", "sgd"])
def test_the_gpu_has_the_bits_of_torchs_fused_cpu_step(rules: list[Rule]) -> None:
    stack = make(rules, MANY_16, "cuda")
    wanted = torchs(stack)
    for mine, theirs in zip(run(stack), wanted, strict=True):
        if rules is SGDS:  # without momentum torch keeps no buffer
            mine, theirs = mine[:2], theirs[:2]
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("shapes", [MANY_16, ODD], ids=["wide", "odd"])
def test_a_replayed_graph_steps_as_eager_steps_do(shapes: list[tuple[int, ...]]) -> None:
    eager, graphed = make(ADAMS, shapes, "cuda"), make(ADAMS, shapes, "cuda")
    launch, table = graphed.launch(), graphed.table().cuda()
    clock = torch.full((1,), -1, dtype=torch.int32, device="cuda")
    live = torch.ones(4, dtype=torch.bool, device="cuda")
    inputs = [torch.zeros_like(g) for g in graphed.gradients[0]]
    launch.prepare(table, live, clock=clock)
    graph = torch.cuda.CUDAGraph()
    with launch.capture(), torch.cuda.graph(graph):
        clock += 1
        launch.step([g * 1.0 for g in inputs], table, live, clock=clock)  # gradients in the graph's own memory
    for step in range(STEPS):
        for mine, g in zip(inputs, graphed.gradients[step], strict=True):
            mine.copy_(g)
        live.copy_(graphed.live(step))
        launch.check()
        graph.replay()
    assert clock.tolist() == [STEPS - 1]
    for a, b in zip(run(eager), graphed.state(), strict=True):
        assert torch.equal(a, b)


def test_two_graphs_and_eager_steps_share_a_launch() -> None:
    eager, mixed = make(ADAMS, ODD, "cuda"), make(ADAMS, ODD, "cuda")
    launch, table = mixed.launch(), mixed.table().cuda()
    row = table[0].clone()
    launch.prepare(row)
    graphs = []
    for step in (0, 1):
        graphs.append(torch.cuda.CUDAGraph())
        with launch.capture(), torch.cuda.graph(graphs[-1]):
            launch.step([g * 1.0 for g in mixed.gradients[step]], row)
    for step in range(3):
        row.copy_(table[step])
        if step < 2:
            graphs[step].replay()
        else:
            launch.step(mixed.gradients[step], row)
    plain = eager.launch()
    for step in range(3):
        plain.step(eager.gradients[step], table[step])
    for a, b in zip(eager.state(), mixed.state(), strict=True):
        assert torch.equal(a, b)


def test_a_step_in_a_graph_without_capture_is_refused() -> None:
    stack = make(ADAMS, ODD, "cuda")
    launch, table = stack.launch(), stack.table().cuda()
    launch.prepare(table[0])
    with pytest.raises(RuntimeError, match="capture"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        launch.step(stack.gradients[0], table[0])


def test_moved_gradients_and_parameters_are_noticed() -> None:
    still, moving = make(ADAMS, ODD, "cuda"), make(ADAMS, ODD, "cuda")
    launch, table = moving.launch(), moving.table().cuda()
    keep = []  # so that no address comes again
    for step, gradients in enumerate(moving.gradients):
        keep += [[p.data for p in moving.parameters], [g.clone() for g in gradients]]
        for p in moving.parameters:
            p.data = p.data.clone()
        launch.step(keep[-1], table[step], moving.live(step).cuda())
    for a, b in zip(run(still), moving.state(), strict=True):
        assert torch.equal(a, b)
