"""What the kernel computes, shown by Triton's interpreter on CPU tensors; `test_kernel_semantics` runs this file.

By itself: TRITON_INTERPRET=1 python -m pytest tests/simulators/interpreted_kernel.py
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
from torch import Tensor

from optim import reference
from optim.cuda.launch import Launch
from optim.rules import Rule
from tests.optim.mixed_stack import ADAMS, ENDS, MANY_16, ODD, SGDS, STEPS, Stack, make, torchs, ulps

FMA = triton.__version__ >= "3.9" and "AVX" in torch.backends.cpu.get_cpu_capability()
EXACT = pytest.mark.skipif(not FMA, reason="exact where the interpreter (Triton 3.9) and the CPU have a true fma")


def run(stack: Stack, scale: Tensor | None = None) -> list[Tensor]:
    launch, table = stack.launch(), stack.table()
    for step, gradients in enumerate(stack.gradients):
        launch.step(gradients, table[step], stack.live(step), scale)
    return stack.state()


@EXACT
@pytest.mark.parametrize("rules", [ADAMS, SGDS], ids=["adam", "sgd"])
def test_a_mixed_stack_is_torchs_fused_step_bit_for_bit(rules: list[Rule]) -> None:
    stack = make(rules, MANY_16)
    wanted = torchs(stack)
    for mine, theirs in zip(run(stack), wanted, strict=True):
        if rules is SGDS:  # without momentum torch keeps no buffer
            mine, theirs = mine[:2], theirs[:2]
        assert torch.equal(mine, theirs)


@EXACT
def test_odd_sizes_are_torchs_fused_adam_within_two_ulp() -> None:
    stack = make(ADAMS, ODD)
    wanted = torchs(stack)
    for mine, theirs in zip(run(stack), wanted, strict=True):
        assert int(ulps(mine, theirs).max()) <= 2


def test_odd_sizes_are_torchs_fused_sgd_to_rounding() -> None:
    stack = make(SGDS, ODD)
    wanted = torchs(stack)
    for mine, theirs in zip(run(stack)[:3], wanted[:3], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rules", [ADAMS, [*SGDS, Rule("sgdw", 0.1, 1e-3)]], ids=["adam", "sgd"])
def test_the_step_is_the_papers_formula(rules: list[Rule]) -> None:
    stack = make(rules, ODD)
    thetas = [p.double().numpy() for p in stack.parameters]
    found = run(stack)
    for tensor, theta in enumerate(thetas):
        for trial, rule in enumerate(rules):
            x, m, v = theta[trial], np.zeros(ODD[tensor]), np.zeros(ODD[tensor])
            lam = rule.wd if rule.optimizer in ("adam", "sgd") else rule.wd * rule.lr
            lam *= rule.decay_all or len(ODD[tensor]) > 1
            for step in range(ENDS[trial]):
                g, eta = stack.gradients[step][tensor][trial].double().numpy(), float(stack.etas[trial, step])
                if rule.family == "adam":
                    betas = rule.beta1, rule.beta2, rule.eps
                    x, m, v = getattr(reference, rule.optimizer)(x, g, m, v, step + 1, rule.lr, eta, lam, *betas)
                else:
                    x, m = getattr(reference, rule.optimizer)(x, g, m, rule.lr, eta, lam, rule.beta1)
            np.testing.assert_allclose(found[tensor][trial].double(), x, rtol=1e-5, atol=3e-7 * np.abs(x).max())


def test_scale_multiplies_each_trials_gradients() -> None:
    scale = torch.tensor([0.5, 1.0, 0.3, 2.0])
    scaled, plain = make(ADAMS, ODD), make(ADAMS, ODD)
    for gradients in plain.gradients:
        for g in gradients:
            g.mul_(scale.view(-1, *[1] * (g.dim() - 1)))
    for one, other in zip(run(scaled, scale=scale), run(plain), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("offset", [0, 1, 4])
def test_nothing_is_written_outside_at_any_size_or_alignment(offset: int) -> None:
    for size in (1, 5, 511, 513, 1023, 1024, 1025, 2048):
        guarded = [torch.full((size + 16,), 7.0) for _ in range(3)]
        p, m, v = (t[offset : offset + size] for t in guarded)
        g = torch.full((size,), 2.0)
        Launch([p], [m], [v], [0], 1, "adam").step([g], make(ADAMS[:1], [(size,)]).table()[0])
        for t, inside in zip(guarded, (p, m, v), strict=True):
            assert bool((t[:offset] == 7).all())
            assert bool((t[offset + size :] == 7).all())
            assert bool((inside == inside[0]).all())
            assert float(inside[0]) != 7


def test_a_frozen_trial_keeps_its_bits_and_its_infinities_to_itself() -> None:
    clean, dirty = make(ADAMS, ODD), make(ADAMS, ODD)
    frozen = torch.tensor([True, False, True, True])
    before = [p.clone() for p in dirty.parameters]
    for stack, bad in ((clean, 0.0), (dirty, torch.inf)):
        for g in stack.gradients[0]:
            g[1] = bad
        stack.launch().step(stack.gradients[0], stack.table()[0], frozen)
    for a, b in zip(clean.state(), dirty.state(), strict=True):
        assert torch.equal(a, b)
    for p, start in zip(dirty.parameters, before, strict=True):
        assert torch.equal(p[1], start[1])
        assert not torch.equal(p[0], start[0])


def test_a_clock_takes_the_rows_that_eager_steps_take() -> None:
    eager, clocked = make(ADAMS, ODD), make(ADAMS, ODD)
    clock = torch.full((1,), -1, dtype=torch.int32)
    launch, table = clocked.launch(), clocked.table()
    for step, gradients in enumerate(clocked.gradients):
        clock += 1
        launch.step(gradients, table, clocked.live(step), clock=clock)
    for a, b in zip(run(eager), clocked.state(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("clock", "rests"), [(-1, True), (0, False), (STEPS - 1, False), (STEPS, True)])
def test_trials_rest_where_the_clock_is_outside_the_table(clock: int, rests: bool) -> None:
    stack = make(ADAMS, ODD)
    before = stack.state()
    stack.launch().step(stack.gradients[0], stack.table(), clock=torch.tensor([clock], dtype=torch.int32))
    for a, b in zip(before, stack.state(), strict=True):
        assert [bool(torch.equal(x, y)) for x, y in zip(a, b, strict=True)] == [rests] * 4


def test_a_tensor_without_gradient_is_left_alone() -> None:
    stack, whole = make(ADAMS, ODD), make(ADAMS, ODD)
    before = stack.state()
    stack.launch().step([stack.gradients[0][0], None, stack.gradients[0][2]], stack.table()[0])
    whole.launch().step(whole.gradients[0], whole.table()[0])
    for i, (a, b, start) in enumerate(zip(stack.state(), whole.state(), before, strict=True)):
        assert torch.equal(a, start if i % 3 == 1 else b)


def test_moved_gradients_and_parameters_are_noticed() -> None:
    still, moving = make(ADAMS, ODD), make(ADAMS, ODD)
    launch, table = moving.launch(), moving.table()
    keep = []  # so that no address comes again
    for step, gradients in enumerate(moving.gradients):
        keep += [[p.data for p in moving.parameters], [g.clone() for g in gradients]]
        for p in moving.parameters:
            p.data = p.data.clone()
        launch.step(keep[-1], table[step], moving.live(step))
    for a, b in zip(run(still), moving.state(), strict=True):
        assert torch.equal(a, b)


def test_layouts_without_gaps_are_stepped_where_they_are_whatever_layout_the_gradient_has() -> None:
    shape = (6, 4, 3, 3)
    table = make(ADAMS[:1], [shape]).table()
    start, g = torch.randn(shape), torch.randn(shape)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        for other in (torch.contiguous_format, torch.channels_last):
            p = start.clone(memory_format=layout)
            home = p.data_ptr()
            launch = Launch([p], [torch.zeros_like(p)], [torch.zeros_like(p)], [0], 1, "adam")
            for step in range(3):
                launch.step([(g * (step + 1)).contiguous(memory_format=other)], table[step])
            assert p.data_ptr() == home
            assert p.is_contiguous(memory_format=layout)
            found.append(p)
    assert all(torch.equal(p, found[0]) for p in found)


class TestCapture:
    """The contract of a CUDA graph, with the question whether one is being captured answered by the test."""

    @pytest.fixture
    def stack(self) -> Stack:
        return make(ADAMS, ODD)

    @pytest.fixture
    def launch(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Launch:
        launch = stack.launch()
        self.capturing = False
        monkeypatch.setattr(launch, "_capturing", lambda: self.capturing)
        return launch

    def capture(self, launch: Launch, stack: Stack, gradients: list[Tensor | None], steps: int = 1) -> None:
        try:
            with launch.capture():
                self.capturing = True
                for _ in range(steps):
                    launch.step(gradients, stack.table()[0])
                self.capturing = False
        finally:
            self.capturing = False

    def test_preparing_steps_nothing(self, launch: Launch, stack: Stack) -> None:
        before = stack.state()
        launch.prepare(stack.table()[0])
        assert all(torch.equal(a, b) for a, b in zip(before, stack.state(), strict=True))

    def test_addresses_are_filled_in_after_the_capture(self, launch: Launch, stack: Stack) -> None:
        before = stack.state()
        launch.prepare(stack.table()[0])
        self.capture(launch, stack, stack.gradients[0])
        assert all(torch.equal(a, b) for a, b in zip(before, stack.state(), strict=True))
        (tables, controls), row = launch._graphs[0], [g.data_ptr() for g in stack.gradients[0]]
        assert tables.tolist() == [row]
        launch._start(len(launch._blocks), tables[0], controls)  # as a replay would
        eager = make(ADAMS, ODD)
        eager.launch().step(eager.gradients[0], eager.table()[0])
        assert all(torch.equal(a, b) for a, b in zip(eager.state(), stack.state(), strict=True))

    def test_a_step_outside_of_capture_is_refused(self, launch: Launch, stack: Stack) -> None:
        self.capturing = True
        with pytest.raises(RuntimeError, match=r"needs `with launch.capture\(\)"):
            launch.step(stack.gradients[0], stack.table()[0])

    def test_capture_inside_of_a_graph_is_refused(self, launch: Launch) -> None:
        self.capturing = True
        with pytest.raises(RuntimeError, match="enter launch"), launch.capture():
            pass

    def test_a_parameter_without_gradient_is_refused(self, launch: Launch, stack: Stack) -> None:
        launch.prepare(stack.table()[0])
        with pytest.raises(RuntimeError, match=r"parameters \[1\] have no gradient"):
            self.capture(launch, stack, [stack.gradients[0][0], None, stack.gradients[0][2]])
        assert not launch._graphs

    def test_a_first_launch_is_refused(self, launch: Launch, stack: Stack) -> None:
        launch.prepare(stack.table()[0], live=stack.live(0))  # another variant
        with pytest.raises(RuntimeError, match="prepare"):
            self.capture(launch, stack, stack.gradients[0])

    @pytest.mark.parametrize("steps", [0, 2])
    def test_more_or_fewer_steps_than_announced_are_refused(self, launch: Launch, stack: Stack, steps: int) -> None:
        launch.prepare(stack.table()[0])
        with pytest.raises(RuntimeError, match="announced"):
            self.capture(launch, stack, stack.gradients[0], steps)

    def test_parameters_that_moved_after_a_capture_are_refused_until_release(
        self, launch: Launch, stack: Stack
    ) -> None:
        launch.prepare(stack.table()[0])
        self.capture(launch, stack, stack.gradients[0])
        launch.check()
        launch.step(stack.gradients[1], stack.table()[1])  # eager steps beside a graph are fine
        old = stack.parameters[0].data
        stack.parameters[0].data = old.clone()
        for refused in (launch.check, lambda: launch.step(stack.gradients[1], stack.table()[1])):
            with pytest.raises(RuntimeError, match="has moved"):
                refused()
        launch.release()
        launch.step(stack.gradients[1], stack.table()[1])
        assert not torch.equal(stack.parameters[0].data, old)
