"""A sweep's time is estimated as training spends it: steps, and only those evaluations that the options ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
import torch

from runner.config.settings import RunSettings
from runner.data.dataset import Dataset
from runner.execution import estimate
from runner.trials.trial import Trial
from tests.helpers import images, trial

STEP, EXAMPLE, DRAWING = 2.0, 0.25, 0.5  # seconds


class Clocked:
    """A stack whose steps and evaluations take a known time on a clock of its own."""

    now = 0.0

    def __init__(self, trials: Sequence[Trial], dataset: Dataset, device: torch.device) -> None:
        self.per_epoch = -(-len(dataset.train) // trials[0].batch_size)
        self.splits = {name: getattr(dataset, name) for name in ("train", "val", "test")}
        self.known: set[str] = set()
        self.feed = SimpleNamespace(epoch=lambda epoch: self._take("drawing", DRAWING))

    def run_epoch(self, epoch: int) -> None:
        self._take("steps", DRAWING + STEP * self.per_epoch)

    def scores(self, split: str) -> None:
        self._take("scores", EXAMPLE * len(self.splits[split]))

    def _take(self, what: str, seconds: float) -> None:
        Clocked.now += seconds + (0.0 if what in self.known else 10.0)  # the first time takes longer
        self.known.add(what)


@pytest.mark.parametrize(
    ("run", "evaluated"),
    [
        (RunSettings(eval_every=1), lambda train, val, test: 6 * val + train + test),
        (RunSettings(eval_every=4), lambda train, val, test: 2 * val + train + test),
        (RunSettings(eval_every=4, eval_all=True), lambda train, val, test: 2 * (val + train + test)),
    ],
)
def test_time_is_that_of_the_steps_and_of_the_evaluations_asked_for(
    run: RunSettings, evaluated: Callable[[int, int, int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = images()
    one = trial(dataset, epochs=6)
    monkeypatch.setattr(estimate, "Stack", Clocked)
    monkeypatch.setattr(estimate, "time", SimpleNamespace(perf_counter=lambda: Clocked.now))
    steps = 6 * -(-len(dataset.train) // one.batch_size)
    examples = evaluated(len(dataset.train), len(dataset.val), len(dataset.test))
    found = estimate.stack_seconds([one], dataset, torch.device("cpu"), run)
    assert found == pytest.approx(steps * STEP + 6 * DRAWING + examples * EXAMPLE)


def test_a_stack_that_cannot_be_timed_is_left_to_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> float:
        raise ValueError("of no account here")

    monkeypatch.setattr(estimate, "stack_seconds", broken)
    dataset = images()
    assert estimate.seconds_per_trial([trial(dataset)], dataset, "cpu", 1, RunSettings()) == 0
