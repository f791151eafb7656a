"""On the CPU no slot is computed in vain, and how a trial was computed is kept: for resuming, in its row, for rerun."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from runner import rerun
from runner.models.settings import ResNetSettings
from runner.models.sizes import pays, slot_cost, slots, unit
from runner.packing import NOTE
from runner.plan import Plan, StoredPlan, name, plan
from runner.reading import read
from runner.training.stack import Stack
from runner.trials import Trial
from tests.helpers import images, tokens, trial
from tests.runner.damage import QUICK, check_went_on, command

CPU = torch.device("cpu")
WIDTHS = (1, 3, 4, 5, 6, 8, 10, 12, 16, 32)
COUNTS = (1, 2, 3, 5, 7, 15, 16, 17, 33)
DATA = {size: images(size=size) for size in (8, 28)}


def trials(count: int, width: int = 5, batch: int = 64, size: int = 8) -> list[Trial]:
    model = ResNetSettings("resnet", 8, width)
    first = replace(trial(DATA[size], epochs=1, batch_size=batch), model=model)
    return [replace(first, seed=s) for s in range(count)]


def computed(stacks: Plan) -> float:
    """What the stacks take by the cost model, in networks by themselves."""
    found = 0.0
    for stack in stacks:
        first = stack[0]
        shape = (first.model, first.batch_size, first.facts.pixels)
        many = slots(*shape, len(stack), first.unstacked)
        found += many * (1.0 if many == 1 else slot_cost(*shape, many))
    return found


@pytest.mark.parametrize("size", [8, 28])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_plan_takes_longer_than_its_trials_one_by_one(width: int, size: int) -> None:
    for count in COUNTS:
        for batch in (1, 7, 64):
            for workers in (1, 2, 3):
                some = trials(count, width, batch, size)
                stacks = plan(some, "cpu", 0, workers)
                assert sorted(t.id for stack in stacks for t in stack) == sorted(t.id for t in some)
                assert computed(stacks) <= count
                for typed in (1, 2, 5, 16):
                    stacks = plan(some, "cpu", typed, workers)
                    assert computed(stacks) <= count
                    assert max(map(len, stacks)) <= typed


@pytest.mark.parametrize("width", WIDTHS)
def test_as_many_slots_are_computed_as_there_are_trials_where_they_fill_units(width: int) -> None:
    """16 trials fill stacks of any width."""
    stacks = plan(trials(16, width), "cpu", 0, 1)
    assert all(len(Stack(stack, images(), CPU).trials) == len(stack) > 1 for stack in stacks)
    (single,) = plan(trials(1, width), "cpu", 0, 1)
    assert single[0].unstacked
    assert len(Stack(single, images(), CPU).trials) == 1


def test_a_single_trial_calls_ordinary_convolutions() -> None:
    groups = []
    ordinary = F.conv2d

    def seen(*given: Any, **named: Any) -> torch.Tensor:
        groups.append(named.get("groups", 1))
        return ordinary(*given, **named)

    for exact, expected in ((False, {1}), (True, {16})):
        (stack,) = plan(trials(1), "cpu", 0, 1, exact=exact)
        groups.clear()
        with mock.patch.object(F, "conv2d", seen):
            Stack(stack, images(), CPU).run_epoch(0)
        assert set(groups) == expected


@pytest.mark.parametrize("case", ["resnet", "shakeshake", "transformer", "tokens"])
def test_an_unstacked_trial_equals_the_stacked_one_to_rounding_in_float64(case: str) -> None:
    dataset = tokens() if case == "tokens" else images(flip=True, pad=1)
    some = [trial(dataset, "transformer" if case == "tokens" else case, seed=s, epochs=3) for s in (0, 1)]
    stacks = [Stack(one, dataset, CPU, torch.float64) for one in (some, [replace(some[1], unstacked=True)])]
    for stack in stacks:
        for epoch in range(stack.epochs):
            stack.run_epoch(epoch)
    for together, alone in zip(stacks[0].parameters, stacks[1].parameters, strict=True):
        torch.testing.assert_close(together[1], alone[0], rtol=1e-9, atol=1e-9)
    for split in ("val", "test"):
        assert stacks[1].scores(split).loss[0] == pytest.approx(stacks[0].scores(split).loss[1], rel=1e-9)
    for a, b in zip(stacks[0].model.buffers(), stacks[1].model.buffers(), strict=True):
        torch.testing.assert_close(a[1], b[0], rtol=1e-9, atol=1e-9)


def test_exact_marks_none_and_fills_up() -> None:
    for count in COUNTS:
        for stack in plan(trials(count), "cpu", 0, 2, exact=True):
            assert not any(t.unstacked for t in stack)


def test_the_last_slots_of_a_stack_are_left_empty_only_where_that_is_sooner() -> None:
    shape = (ResNetSettings("resnet", 8, 5), 16, 64)
    assert unit(shape[0]) == 16
    assert pays(*shape, 0, 15)
    assert not pays(*shape, 0, 1)
    assert not pays(*shape, 16, 1)
    assert [len(s) for s in plan(trials(18), "cpu", 0, 1)] == [16, 1, 1]


def test_how_a_trial_is_computed_is_stored_with_the_plan(tmp_path: Path) -> None:
    some = trials(17)
    first = StoredPlan(tmp_path, nullcontext()).follow(some, "cpu", 0, 1)
    assert [t.unstacked for stack in first for t in stack] == [False] * 16 + [True]
    assert [name(stack).endswith(NOTE) for stack in first] == [False, True]
    # What is left of a stack, one trial even, is computed as the stack was, whoever asks and for how many.
    left = StoredPlan(tmp_path, nullcontext()).follow([some[3], some[16]], "cpu", 0, 1)
    assert [[t.unstacked for t in stack] for stack in left] == [[False], [True]]
    exact = StoredPlan(tmp_path, nullcontext()).follow([some[16]], "cpu", 0, 1, exact=True)
    assert [t.unstacked for stack in exact for t in stack] == [False]


def test_a_row_names_the_way_and_rerun_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_went_on(command(tmp_path, "-m", "seed=0", *QUICK))
    check_went_on(command(tmp_path, "-m", "seed=0", *QUICK, "study=t", "exact=true"))
    rows = {study: read(tmp_path / "results" / study).iloc[0] for study in ("s", "t")}
    assert rows["s"]["note"] == NOTE
    assert rows["t"]["note"] != NOTE
    assert rows["s"]["trial"] == rows["t"]["trial"]
    for study, row in rows.items():
        assert rerun.main([str(tmp_path / "results" / study), row["trial"]]) == 0
        assert capsys.readouterr().out.endswith("matched to the bit\n")


def test_with_exact_the_bits_are_those_of_any_other_stack(tmp_path: Path) -> None:
    losses = []
    for number, words in enumerate((["seed=0"], ["seed=0,1,2"])):
        check_went_on(command(tmp_path, "-m", *words, *QUICK, f"study=n{number}", "exact=true", "workers=1"))
        rows = read(tmp_path / "results" / f"n{number}")
        losses.append(rows[rows["seed"] == 0][["train_loss", "val_loss", "test_loss"]].iloc[0].tolist())
    assert losses[0] == losses[1]
