"""A trial that diverges is recorded with its epoch, and its neighbours in the stack do not notice, to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from runner.training.train import train
from runner.trials.trial import Trial
from tests.helpers import images, trial

SOME = images()
# What goes wrong: a rate that throws the weights away, and a loss of inf, whose gradients are inf and nan.
BAD = {"lr 1e6": {"lr": 1e6}, "a loss of inf": {"loss_multiplier": 1e39}}


def rows(trials: list[Trial]) -> dict[str, dict[str, Any]]:
    """By id: what trials.csv and curves.csv would get, without what only tells the time."""
    found: dict[str, dict[str, Any]] = {}
    for report in train(trials, SOME, torch.device("cpu")):
        for row in [*report.curves, *report.trials]:
            mine = found.setdefault(row["trial"], {})
            timing = ("seconds", "samples_per_second", "peak_mib", "started", "stack")
            mine |= {f"{key} {row.get('epoch')}": value for key, value in row.items() if key not in timing}
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("what", BAD)
def test_a_diverging_trial_leaves_its_neighbours_rows_as_they_are(what: str, precision: str) -> None:
    # In fp16 it takes some steps to find that no loss scale helps.
    plain = trial(SOME, epochs=8 if precision == "fp16" else 3, batch_size=4, precision=precision)
    healthy = [replace(plain, seed=1), replace(plain, lr=3e-3)]
    bad = replace(plain, seed=2, **BAD[what])
    alone = rows(healthy)
    together = rows([healthy[0], bad, healthy[1]])
    for one in healthy:
        # As text, for nan is not equal to itself.
        assert {k: repr(v) for k, v in together[one.id].items()} == {k: repr(v) for k, v in alone[one.id].items()}
    (status,) = [value for key, value in together[bad.id].items() if key.startswith("status")]
    (note,) = [value for key, value in together[bad.id].items() if key.startswith("note")]
    assert status == "diverged"
    assert "diverged in epoch" in note
    assert "warm-up" in note or precision == "fp16"
