"""The stored plan: a trial goes on in the stack that it was planned for, whatever came between."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from runner.models.settings import ShakeShakeSettings
from runner.trials.plan import Layout, Plan, StoredPlan, name, plan
from runner.trials.trial import Trial
from tests.helpers import images, trial

DATASET = images()


def trials(count: int) -> list[Trial]:
    return [trial(DATASET, seed=seed, epochs=1) for seed in range(count)]


def stored(folder: Path) -> StoredPlan:
    return StoredPlan(folder, nullcontext())


def ids(stacks: Plan) -> list[list[str]]:
    return [[t.id for t in stack] for stack in stacks]


def test_what_is_left_of_a_stored_stack_stays_together_in_its_order(tmp_path: Path) -> None:
    first = stored(tmp_path).follow(trials(12), Layout("cpu", 4, 1))
    left = [t for t in reversed(trials(12)) if t.id != first[1][0].id]
    again = stored(tmp_path).follow(left, Layout("cpu", 4, 1))
    assert sorted(ids(again)) == sorted([ids(first)[0], ids(first)[1][1:], ids(first)[2]])


def test_new_trials_do_not_move_those_that_were_planned(tmp_path: Path) -> None:
    first = stored(tmp_path).follow(trials(8), Layout("cpu", 4, 1))
    again = stored(tmp_path).follow(trials(10), Layout("cpu", 4, 1))
    assert ids(again)[:2] == ids(first)
    assert sorted(t for stack in ids(again) for t in stack) == sorted(t.id for t in trials(10))


def test_an_explicit_smaller_stack_replaces_a_larger_stored_one(tmp_path: Path) -> None:
    stored(tmp_path).follow(trials(8), Layout("cpu", 8, 1))
    assert [len(stack) for stack in stored(tmp_path).follow(trials(8), Layout("cpu", 2, 1))] == [2, 2, 2, 2]
    assert [len(stack) for stack in stored(tmp_path).follow(trials(8), Layout("cpu"))] == [2, 2, 2, 2]


def test_the_later_line_about_a_trial_counts(tmp_path: Path) -> None:
    (stack,) = stored(tmp_path).follow(trials(4), Layout("cpu", 4, 1))
    stored(tmp_path).add([stack[:2], stack[2:]])
    assert ids(stored(tmp_path).follow(trials(4), Layout("cpu", 4, 1))) == ids([stack[:2], stack[2:]])


@pytest.mark.parametrize("damage", ["abc,1", "x,y,z\n", "\n", "a,1,b,c\n"])
def test_a_torn_or_foreign_line_is_passed_over(tmp_path: Path, damage: str) -> None:
    first = stored(tmp_path).follow(trials(4), Layout("cpu", 2, 1))
    with (tmp_path / "plan.csv").open("a") as file:
        file.write(damage)
    assert ids(stored(tmp_path).follow(trials(6), Layout("cpu", 2, 1)))[:2] == ids(first)
    assert ids(stored(tmp_path).follow(trials(6), Layout("cpu", 2, 1)))[:2] == ids(first)


def test_a_stack_is_named_after_its_trials_and_their_order() -> None:
    assert name(trials(3)) == name(trials(3)) != name(trials(3)[::-1])


def test_large_networks_are_trained_one_by_one_on_the_cpu_and_together_on_a_gpu() -> None:
    dataset = images(size=32)
    wide = [
        replace(t, model=ShakeShakeSettings("shakeshake", 26, 16), batch_size=128)
        for t in (trial(dataset, seed=seed) for seed in range(8))
    ]
    assert [len(stack) for stack in plan(wide, Layout("cpu"))] == [1] * 8
    assert [len(stack) for stack in plan(wide, Layout("cpu", 4, 1))] == [1] * 8
    assert [len(stack) for stack in plan(wide, Layout("cuda"))] == [8]
    assert [len(stack) for stack in plan(wide, Layout("cuda", 4, 1))] == [4, 4]
