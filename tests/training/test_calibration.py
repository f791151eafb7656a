"""Calibration is what its papers define, for every trial of a stack, in every way that one is computed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torch import Tensor

from runner.config.settings import FULL, LANES, LOOSE, UNSTACKED
from runner.training.calibration import BINS, bin_gaps, brier_scores, ece
from runner.training.evaluate import Scores
from runner.training.stack import Stack
from runner.training.train import train
from tests.helpers import images, tokens, trial

CPU = torch.device("cpu")
CASES = {
    "resnet": (images(70), "resnet"),
    "shakeshake": (images(70), "shakeshake"),
    "tokens": (tokens(70), "transformer"),
    "text": (tokens(70, per_position=True), "transformer"),
}


def ece_of(p: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """In percent, as Guo et al. 2017 write it: bin by bin, its share times |accuracy - mean confidence|."""
    confidence, total = p.max(1), 0.0
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(100 * total)


def drawn(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [3, count, classes] of forecasts that are timid, bold and bolder, and what came true [count]."""
    rng = np.random.default_rng(0)
    logits = np.array([0.3, 2.0, 6.0])[:, None, None] * rng.standard_normal((3, count, classes))
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True), rng.integers(0, classes, count)


@pytest.mark.parametrize("classes", [2, 5, 97])
def test_both_measures_are_those_of_other_software(classes: int) -> None:
    p, y = drawn(500, classes)
    tensor, target = torch.from_numpy(p), torch.from_numpy(y).expand(3, -1)
    brier = brier_scores(tensor, target) / 500
    error = ece(bin_gaps(tensor, tensor.argmax(-1) == target), 500)
    for k in range(3):
        whole = brier_score_loss(y, p[k] if classes > 2 else p[k, :, 1], labels=range(classes), scale_by_half=False)
        assert float(brier[k]) == pytest.approx(whole)
        assert float(error[k]) == pytest.approx(ece_of(p[k], p[k].argmax(1) == y))
    assert float(error[2]) > float(error[0])  # the bold are often wrong


def test_a_confidence_on_the_border_of_two_bins_is_in_the_lower_one() -> None:
    """In (0.2, 0.4] of five bins lie 0.4 and 0.3; of 15 bins (4/15, 6/15] holds them apart."""
    p = torch.tensor([[[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.4, 0.25, 0.35]]], dtype=torch.float64)
    gaps = bin_gaps(p, torch.tensor([[True, False, False]]))
    assert gaps.shape == (1, BINS)
    assert [m for m in range(BINS) if gaps[0, m]] == [5]  # the sixth, which ends at 0.4
    assert float(gaps[0, 5]) == pytest.approx(1 - 3 * 0.4)
    sure = bin_gaps(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[False]]))
    assert float(sure[0, -1]) == -1


def test_forecasts_without_a_number_have_no_calibration() -> None:
    p, y = (torch.from_numpy(a) for a in drawn(20, 4))
    p[1, 3] = math.nan
    error = ece(bin_gaps(p, p.argmax(-1) == y), 20)
    assert error.isnan().tolist() == (brier_scores(p, y.expand(3, -1))).isnan().tolist() == [False, True, False]


def own(stack: Stack, split: str) -> tuple[list[float], list[float]]:
    """ECE and Brier score of each trial from its probabilities, put together here in numpy."""
    data = stack.splits[split]
    x = stack.feed.images.plain(data.x) if stack.feed.images is not None else data.x.long()
    stack.scored.eval()
    with torch.no_grad(), stack.autocast:
        logits: Tensor = stack.scored(x.expand(len(stack.trials), *x.shape))
    logits = logits[: stack.count].flatten(1, -2)
    p, y = logits.double().softmax(-1).numpy(), data.y.numpy().reshape(-1)
    # Of equal logits, which bf16 often has, either may be the answer: here that which counts as an error too.
    best = logits.topk(5, -1).indices[..., 0] if p.shape[-1] > 5 else logits.argmax(-1)
    errors = [ece_of(one, answers == y) for one, answers in zip(p, best.numpy(), strict=True)]
    return errors, [brier_score_loss(y, one, labels=range(p.shape[-1])) for one in p]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("way", "count"), [(FULL, 1), (FULL, 3), (FULL, 8), (LOOSE, 3), (UNSTACKED, 1), (LANES, 3)])
@pytest.mark.parametrize("case", CASES)
def test_a_stack_measures_what_its_probabilities_say(case: str, way: str, count: int, precision: str) -> None:
    dataset, model = CASES[case]
    some = [
        replace(trial(dataset, model, seed=s, lr=lr), precision=precision, way=way)
        for s, lr in zip(range(count), (1e-3, 1e-2, 3e-2) * 3, strict=False)
    ]
    stack = Stack(some, dataset, CPU)
    for epoch in range(3):
        stack.run_epoch(epoch)
    stack.evaluated = 7  # in batches, the last of which is smaller
    scores = stack.scores("test")
    errors, briers = own(stack, "test")
    assert scores.brier is not None
    assert len(scores.brier) == count
    # Another batch size may round logits otherwise, in bf16 by 1 / 256, and an answer may then be in another bin.
    within = 1e-5 if precision == "fp32" else 0.02
    assert scores.brier == pytest.approx(briers, abs=within)
    stack.evaluated = 10**6
    assert stack.scores("test").ece == pytest.approx(errors, rel=1e-5)


def test_the_rows_of_trials_have_the_calibration_of_the_test_set_and_none_if_they_diverged() -> None:
    dataset = images()
    *_, last = train([trial(dataset), trial(dataset, lr=1e300)], dataset, CPU)
    good, bad = last.trials
    stack = Stack([trial(dataset)], dataset, CPU)
    for epoch in range(stack.epochs):
        stack.run_epoch(epoch)
    scores = stack.scores("test")
    assert ([good["test_ece"]], [good["test_brier"]]) == (scores.ece, scores.brier)
    assert stack.scores("val").ece is None  # it is measured where it is recorded
    assert 0 < good["test_brier"] < 2
    assert math.isnan(bad["test_ece"])
    assert math.isnan(bad["test_brier"])


def test_the_first_scores_are_those_of_the_first_trials() -> None:
    scores = Scores([1.0, 2.0], [3.0, 4.0], None, [5.0, 6.0], [7.0, 8.0])
    assert scores.of_first(1) == Scores([1.0], [3.0], None, [5.0], [7.0])
