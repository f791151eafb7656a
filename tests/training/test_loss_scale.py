"""Loss scaling: each trial's scale moves as torch.amp.GradScaler's would, and an overflow is nobody else's business."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from runner.training import precision
from runner.training.precision import LossScale
from runner.training.stack import Stack
from runner.training.train import train
from tests.helpers import images, trial

CPU = torch.device("cpu")


def torchs_scales(finite: list[bool]) -> list[float]:
    """GradScaler's scale after each of these steps."""
    p = torch.ones(1, requires_grad=True)
    optimizer, found = torch.optim.SGD([p], 0.0), []
    scaler = torch.amp.GradScaler("cpu", growth_interval=precision.INTERVAL)
    for good in finite:
        optimizer.zero_grad()
        scaler.scale(p.sum() * (1.0 if good else float("inf"))).backward()
        scaler.step(optimizer)
        scaler.update()
        found.append(scaler.get_scale())
    return found


def test_each_trials_scale_moves_as_gradscalers(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(precision, "INTERVAL", 5)
    pattern = np.random.default_rng(0).random((60, 4)) < 0.85
    scale, mine = LossScale(4, CPU), []
    for finite in pattern:
        scale.update(torch.from_numpy(finite))
        mine.append(scale.value.tolist())
    assert [list(column) for column in zip(*mine, strict=True)] == [
        torchs_scales(column.tolist()) for column in pattern.T
    ]


def weights(stack: Stack) -> list[list[Tensor]]:
    return [[p[i].detach().clone() for p in stack.parameters] for i in range(stack.count)]


def test_an_overflow_makes_its_trial_skip_a_step_and_nobody_else() -> None:
    dataset = images()
    trials = [trial(dataset, seed=seed, precision="fp16", epochs=3) for seed in range(3)]
    calm, disturbed = Stack(trials, dataset, CPU), Stack(trials, dataset, CPU)
    for stack in (calm, disturbed):
        assert stack.step.scale is not None
        stack.step.scale.value.fill_(2.0**10)
    assert disturbed.step.scale is not None
    disturbed.step.scale.value[1] = 2.0**126  # its gradients overflow until the scale has come down
    before = weights(disturbed)
    for stack in (calm, disturbed):
        stack.run_epoch(0)
    assert disturbed.live.tolist()[:3] == [True] * 3
    assert disturbed.step.scale.value.tolist()[:3] == [2.0**10, 2.0**123, 2.0**10]
    for i in (0, 2):
        assert all(map(torch.equal, weights(calm)[i], weights(disturbed)[i]))
    assert all(map(torch.equal, before[1], weights(disturbed)[1]))


def test_fp16_training_ends_near_fp32_training() -> None:
    dataset = images(size=8)
    found = []
    for kind in ("fp32", "fp16"):
        *_, last = train([trial(dataset, precision=kind, epochs=8, seed=s) for s in range(2)], dataset, CPU)
        found.append([(row["status"], row["train_loss"]) for row in last.trials])
    for (status, loss), (other, wanted) in zip(found[1], found[0], strict=True):
        assert status == other == "ok"
        assert abs(loss - wanted) < 0.05 * (1 + wanted)


def test_a_trial_that_no_scale_can_save_diverges_and_its_neighbour_keeps_its_bits() -> None:
    dataset = images()
    good = trial(dataset, precision="fp16", epochs=12)
    *_, together = train([good, replace(good, lr=1e300)], dataset, CPU)
    *_, alone = train([good], dataset, CPU)
    assert [row["status"] for row in together.trials] == ["ok", "diverged"]
    assert together.trials[0]["train_loss"] == alone.trials[0]["train_loss"]
