"""On a GPU: an epoch of recorded steps trains as plain steps do, and waits for nothing inside."""

from __future__ import annotations

import pytest
import torch

from runner.config.settings import FULL, LANES
from runner.data.dataset import Dataset
from runner.training.graph import Graph
from runner.training.stack import Stack
from tests.helpers import images, tokens, trial

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CASES: dict[str, tuple[Dataset, str]] = {
    "resnet": (images(90, flip=True, pad=1), "resnet"),
    "shakeshake": (images(90, flip=True, pad=1), "shakeshake"),
    "transformer": (tokens(90), "transformer"),
}


@pytest.fixture(autouse=True)
def _one_way_to_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise cuDNN may add up a gradient in another order in every run, and rounds what it multiplies to TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def trained(case: str, graph: bool, precision: str, epochs: int = 4, way: str = FULL) -> Stack:
    dataset, model = CASES[case]
    trials = [
        trial(dataset, model, seed=s, lr=lr, precision=precision, epochs=epochs, way=way)
        for s, lr in ((0, 1e-3), (1, 1e-2))
    ]
    stack = Stack(trials, dataset, torch.device("cuda"))
    assert stack.graph is not None
    if not graph:
        stack.graph = None
    for epoch in range(epochs):
        stack.run_epoch(epoch)
    return stack


def assert_alike(one: Stack, other: Stack, precision: str) -> None:
    """Tensor by tensor, the difference is small beside the tensor."""
    for a, b in zip(one.parameters, other.parameters, strict=True):
        assert torch.isfinite(a).all()
        assert (a - b).norm() <= (1e-3 if precision == "fp32" else 3e-2) * a.norm().clamp(min=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("way", [FULL, LANES])
@pytest.mark.parametrize("case", CASES)
def test_recorded_steps_train_as_plain_steps_do(case: str, way: str, precision: str) -> None:
    plain, recorded = trained(case, False, precision, way=way), trained(case, True, precision, way=way)
    assert recorded.graph is not None
    assert recorded.graph.full.graph is not None
    assert recorded.graph.rest.graph is not None  # 90 examples in batches of 16
    assert_alike(plain, recorded, precision)


@pytest.mark.parametrize("case", CASES)
def test_lanes_train_as_a_stack_does(case: str) -> None:
    assert_alike(trained(case, True, "fp32"), trained(case, True, "fp32", way=LANES), "fp32")


def test_no_step_of_an_epoch_waits_for_the_device() -> None:
    stack = trained("resnet", True, "fp32", epochs=3)
    assert stack.graph is not None
    with stack.graph.epoch(stack._rows(2)):
        torch.cuda.set_sync_debug_mode("error")
        try:
            for step in range(stack.per_epoch):
                stack.graph.run(step)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_step_that_cannot_be_recorded_leaves_the_process_fit_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Graph, "refused", False)
    dataset, model = CASES["resnet"]
    stack = Stack([trial(dataset, model, epochs=2)], dataset, torch.device("cuda"))
    stack.model.register_forward_hook(lambda module, given, logits: logits * float(torch.isfinite(logits).all()))
    with pytest.warns(UserWarning, match="cannot be a CUDA graph and runs without"):
        stack.run_epoch(0)
    del stack
    torch.cuda.empty_cache()
    monkeypatch.setattr(Graph, "refused", False)
    assert trained("resnet", True, "fp32").graph is not None


def test_lomo_trains() -> None:
    dataset = images(90)
    stack = Stack([trial(dataset, name="lomo", lr=0.01, wd_convention="torch")], dataset, torch.device("cuda"))
    stack.run_epoch(0)
    assert bool(stack.live.all())
