"""On the CPU no slot is computed in vain, and how a trial was computed is kept: for resuming, in its row, for rerun."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from runner import rerun
from runner.config.settings import FULL, LOOSE, UNSTACKED
from runner.models.settings import ResNetSettings
from runner.records.read import read
from runner.training.rows import BestEpochs
from runner.training.stack import Stack
from runner.training.state import Run, capture, restore, tensors
from runner.training.train import train
from runner.trials.plan import Layout, StoredPlan, name, plan
from runner.trials.stack_size import slots
from runner.trials.trial import Trial
from tests.damage import FAST, check_went_on, command
from tests.helpers import images, tokens, trial

CPU = torch.device("cpu")
WIDTHS = (1, 3, 4, 5, 6, 8, 10, 12, 16, 32)
COUNTS = (1, 2, 3, 5, 7, 15, 16, 17, 33)
DATA = {size: images(size=size) for size in (8, 28)}


def trials(count: int, width: int = 5, batch: int = 64, size: int = 8) -> list[Trial]:
    model = ResNetSettings("resnet", 8, width)
    first = replace(trial(DATA[size], epochs=1, batch_size=batch), model=model)
    return [replace(first, seed=s) for s in range(count)]


@pytest.mark.parametrize("size", [8, 28])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_slot_of_a_plan_has_a_trial_and_no_trial_is_planned_twice(width: int, size: int) -> None:
    for count, batch, workers, typed in product(COUNTS, (1, 64), (1, 3), (0, 1, 2, 5, 16)):
        some = trials(count, width, batch, size)
        stacks = plan(some, Layout("cpu", typed, workers))
        assert sorted(t.id for stack in stacks for t in stack) == sorted(t.id for t in some)
        for stack in stacks:
            first = stack[0]
            assert {t.way for t in stack} == {first.way}
            assert slots(first.model, batch, first.positions, len(stack), first.way) == len(stack)
            assert (first.way == UNSTACKED) == (len(stack) == 1)
            assert not typed or len(stack) <= typed
        one_worker = plan(some, Layout("cpu", typed, 1))
        assert {t.id: t.way for s in stacks for t in s} == {t.id: t.way for s in one_worker for t in s}


@pytest.mark.parametrize(
    ("width", "count", "batch", "stacks"), [(5, 2, 1, 2), (8, 2, 1, 2), (5, 3, 1, 3), (5, 4, 1, 1)]
)
def test_few_trials_train_alone_in_batches_of_one_where_that_is_faster(
    width: int, count: int, batch: int, stacks: int
) -> None:
    assert len(plan(trials(count, width, batch), Layout("cpu"))) == stacks
    assert len(plan(trials(count, width, 2), Layout("cpu"))) == 1
    assert len(plan(trials(count, width, batch), Layout("cpu", 0, 1, exact=True))) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_as_many_slots_are_computed_as_there_are_trials_where_they_fill_units(width: int) -> None:
    """16 trials fill stacks of any width."""
    stacks = plan(trials(16, width), Layout("cpu"))
    assert all(len(Stack(stack, images(), CPU).trials) == len(stack) > 1 for stack in stacks)
    (single,) = plan(trials(1, width), Layout("cpu"))
    assert single[0].way == UNSTACKED
    assert len(Stack(single, images(), CPU).trials) == 1


def test_a_single_trial_calls_ordinary_convolutions() -> None:
    groups = []
    ordinary = F.conv2d

    def seen(*given: Any, **named: Any) -> torch.Tensor:
        groups.append(named.get("groups", 1))
        return ordinary(*given, **named)

    for exact, expected in ((False, {1}), (True, {16})):
        (stack,) = plan(trials(1), Layout("cpu", 0, 1, exact=exact))
        groups.clear()
        with mock.patch.object(F, "conv2d", seen):
            Stack(stack, images(), CPU).run_epoch(0)
        assert set(groups) == expected


@pytest.mark.parametrize("way", [LOOSE, UNSTACKED])
@pytest.mark.parametrize("case", ["resnet", "no norm", "shakeshake", "transformer", "tokens"])
def test_every_way_gives_the_same_network_to_rounding_in_float64(case: str, way: str) -> None:
    dataset = tokens() if case == "tokens" else images(flip=True, pad=1)
    model = {"tokens": "transformer", "no norm": "resnet"}.get(case, case)
    some = [trial(dataset, model, seed=s, epochs=3) for s in (0, 1)]
    if case == "no norm":
        some = [replace(t, model=ResNetSettings("resnet", 8, 4, norm="none")) for t in some]
    stacks = [Stack(one, dataset, CPU, torch.float64) for one in (some, [replace(some[1], way=way)])]
    for stack in stacks:
        for epoch in range(stack.epochs):
            stack.run_epoch(epoch)
    for together, alone in zip(stacks[0].parameters, stacks[1].parameters, strict=True):
        torch.testing.assert_close(together[1], alone[0], rtol=1e-9, atol=1e-9)
    for split in ("val", "test"):
        assert stacks[1].scores(split).loss[0] == pytest.approx(stacks[0].scores(split).loss[1], rel=1e-9)
    for a, b in zip(stacks[0].model.buffers(), stacks[1].model.buffers(), strict=True):
        torch.testing.assert_close(a[1], b[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("width", [4, 5, 6])
def test_in_loose_stacks_of_any_size_a_trial_ends_in_the_same_bits(width: int, norm: str) -> None:
    """So what is left of one goes on as it was, and rerun trains one trial only."""
    dataset = images(size=12, flip=True, pad=1)
    first = replace(trial(dataset, epochs=2, batch_size=7, lr=1e-3), model=ResNetSettings("resnet", 8, width, norm))
    some = [replace(first, seed=s, way=LOOSE) for s in range(7)]

    def losses(these: list[Trial]) -> dict[int, list[float]]:
        *_, last = train(these, dataset, CPU)
        return {row["seed"]: [row[f"{split}_loss"] for split in ("train", "val", "test")] for row in last.trials}

    whole = losses(some)
    for these in (some[:1], some[4:6], some[2:5]):
        found = losses(these)
        assert found == {seed: whole[seed] for seed in found}


def test_exact_marks_none_and_fills_up() -> None:
    for count in COUNTS:
        for stack in plan(trials(count), Layout("cpu", 0, 2, exact=True)):
            assert {t.way for t in stack} == {FULL}


def test_how_a_trial_is_computed_is_stored_with_the_plan(tmp_path: Path) -> None:
    some = trials(21)
    first = StoredPlan(tmp_path, nullcontext()).follow(some[:20], Layout("cpu", 16, 1))
    first += StoredPlan(tmp_path, nullcontext()).follow(some[20:], Layout("cpu", 16, 1))
    assert [(len(stack), stack[0].way) for stack in first] == [(16, FULL), (4, LOOSE), (1, UNSTACKED)]
    assert [name(stack).partition("-")[2] for stack in first] == ["", LOOSE, UNSTACKED]
    # What is left of a stack, one trial even, is computed as the stack was, whoever asks and for how many.
    left = StoredPlan(tmp_path, nullcontext()).follow([some[3], some[17], some[20]], Layout("cpu", 16, 1))
    assert [[t.way for t in stack] for stack in left] == [[FULL], [LOOSE], [UNSTACKED]]
    exact = StoredPlan(tmp_path, nullcontext()).follow([some[17], some[20]], Layout("cpu", 0, 1, exact=True))
    assert {t.way for stack in exact for t in stack} == {FULL}


@pytest.mark.parametrize(
    ("words", "noted"),
    [
        (("seed=0",), UNSTACKED),
        (("seed=0,1",), LOOSE),
        (("seed=0,1,2,3",), ""),
        (("seed=0", "exact=true"), ""),
        (("seed=0,1", "exact=true"), ""),
    ],
)
def test_a_row_names_the_way_and_rerun_takes_it(
    words: tuple[str, ...], noted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_went_on(command(tmp_path, "-m", *words, *FAST))
    study = tmp_path / "results" / "s"
    rows = read(study)
    assert set(rows["note"].fillna("")) == {noted}
    assert rerun.main([str(study), rows["trial"].iloc[-1]]) == 0
    assert capsys.readouterr().out.endswith("matched to the bit\n")


@pytest.mark.parametrize("way", [FULL, LOOSE, UNSTACKED])
def test_a_stack_that_goes_on_from_a_saved_state_ends_in_the_bits_of_an_undisturbed_one(way: str) -> None:
    some = [trial(DATA[8], seed=s, epochs=3, way=way) for s in range(1 if way == UNSTACKED else 3)]

    def run() -> Run:
        return Run(Stack(some, DATA[8], CPU), BestEpochs(len(some), None))

    whole, before, after = run(), run(), run()
    for epoch in range(3):
        whole.stack.run_epoch(epoch)
    before.stack.run_epoch(0)
    before.epoch = 1
    assert restore(after, capture(before, 0.0))
    for epoch in (1, 2):
        after.stack.run_epoch(epoch)
    for a, b in zip(tensors(whole.stack), tensors(after.stack), strict=True):
        assert torch.equal(a[: len(some)], b[: len(some)])


def test_with_exact_the_bits_are_those_of_any_other_stack(tmp_path: Path) -> None:
    losses = []
    for number, words in enumerate((["seed=0"], ["seed=0,1,2"])):
        check_went_on(command(tmp_path, "-m", *words, *FAST, f"study=n{number}", "exact=true", "workers=1"))
        rows = read(tmp_path / "results" / f"n{number}")
        losses.append(rows[rows["seed"] == 0][["train_loss", "val_loss", "test_loss"]].iloc[0].tolist())
    assert losses[0] == losses[1]
