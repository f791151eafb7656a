"""On a GPU: an epoch of recorded steps trains as plain steps do, and waits for nothing inside."""

from __future__ import annotations

import pytest
import torch

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


def trained(case: str, graph: bool, precision: str, epochs: int = 4) -> Stack:
    dataset, model = CASES[case]
    trials = [
        trial(dataset, model, seed=s, lr=lr, precision=precision, epochs=epochs) for s, lr in ((0, 1e-3), (1, 1e-2))
    ]
    stack = Stack(trials, dataset, torch.device("cuda"))
    assert stack.graph is not None
    if not graph:
        stack.graph = None
    for epoch in range(epochs):
        stack.run_epoch(epoch)
    return stack


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("case", CASES)
def test_recorded_steps_train_as_plain_steps_do(case: str, precision: str) -> None:
    plain, recorded = trained(case, False, precision), trained(case, True, precision)
    assert recorded.graph is not None
    assert recorded.graph.full.graph is not None
    assert recorded.graph.rest.graph is not None  # 90 examples in batches of 16
    for a, b in zip(plain.parameters, recorded.parameters, strict=True):
        torch.testing.assert_close(
            a, b, rtol=1e-3 if precision == "fp32" else 0.1, atol=1e-4 if precision == "fp32" else 0.02
        )


def test_no_step_of_an_epoch_waits_for_the_device() -> None:
    stack = trained("resnet", True, "fp32", epochs=3)
    assert stack.graph is not None
    stack.graph.begin(stack._rows(2))
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
    stack = Stack([trial(dataset, name="lomo", lr=0.01)], dataset, torch.device("cuda"))
    stack.run_epoch(0)
    assert bool(stack.live.all())
