"""On a GPU the size of a stack is the one that trains a trial fastest, found with few tries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from runner.config.settings import FULL, LANES, RunSettings
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.execution import estimate, gpu_stack_size, local
from runner.execution.gpu_stack_size import Size, measure_stack_sizes, search_size
from runner.execution.local import Resources
from runner.models.settings import ShakeShakeSettings
from runner.training import memory
from runner.training.graph import Graph
from runner.trials.plan import Chosen, Layout, StoredPlan, plan
from runner.trials.trial import Trial
from tests.helpers import images, tokens, trial

DATASET = images()
SOON = 30.0  # seconds: a deadline before any end. On a machine so busy that it has passed, the same must come out.
Seconds = Callable[[int], float]


def saturating(full: int, call: float = 1.0) -> Seconds:
    """A stack takes `call` as long as the device is not full, and proportionally longer from there."""
    return lambda n: call * max(1.0, n / full)


def grouped_is_slow(n: int) -> float:
    """Alone 1 s; together every trial takes 3."""
    return 1.0 if n == 1 else 3.0 * n


def always(seconds: float) -> bool:
    return True


@pytest.mark.parametrize(
    ("seconds", "first", "most", "expected"),
    [
        (saturating(16), 4, 100, 16),
        (saturating(16), 64, 100, 64),  # no smaller one is faster
        (saturating(1), 8, 100, 8),
        (saturating(1000), 8, 50, 32),  # as large as there are trials for
        (saturating(1000), 8, 5, 5),
        (grouped_is_slow, 8, 100, 1),
        (lambda n: 1.0 if n == 1 else 1.0 + n, 2, 100, 1),
        (lambda n: 1.0 + n**2 / 4, 16, 100, 2),  # the smaller the better, down to 2
        (lambda n: n * (1.0 + (n < 8)), 1, 1, 1),
    ],
)
def test_the_size_is_where_a_trial_takes_least(seconds: Seconds, first: int, most: int, expected: int) -> None:
    found = search_size(seconds, first, most, always)
    assert found.trials == expected
    assert found.seconds == pytest.approx(seconds(expected) / expected)
    assert found.seconds * gpu_stack_size.BETTER <= min(found.tried.values())


def test_what_has_no_room_is_halved_and_never_chosen() -> None:
    found = search_size(lambda n: math.inf if n > 6 else saturating(100)(n), 32, 100, always)
    assert (found.trials, found.tried[32]) == (4, math.inf)
    assert not math.isfinite(search_size(lambda n: math.inf, 4, 4, always).seconds)


def test_where_little_is_to_be_won_the_first_guess_stays() -> None:
    found = search_size(saturating(64), 8, 100, lambda each: False)
    assert (found.trials, list(found.tried)) == (8, [8])


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes that are tried, each as fast as on a device that eight trials fill."""
    sizes: list[int] = []

    def seconds(stack: list[Trial], dataset: Dataset, device: torch.device, run: RunSettings) -> float:
        sizes.append(len(stack))
        return saturating(8, 1e4)(len(stack))

    monkeypatch.setattr(estimate, "stack_seconds", seconds)
    monkeypatch.setattr(gpu_stack_size, "stack_size", lambda *_: 2)
    monkeypatch.setattr(gpu_stack_size, "STEPS", 1)
    return sizes


def trials(count: int, **more: Any) -> list[Trial]:
    return [trial(DATASET, seed=seed, **more) for seed in range(count)]


def sized(wanted: list[Trial], processes: int = 1, deadline: float | None = None) -> dict[Any, Size]:
    return measure_stack_sizes(wanted, {t.dataset: DATASET for t in wanted}, "cpu", processes, RunSettings(), deadline)


def test_every_shape_is_measured_and_several_gpus_share_its_trials(tried: list[int]) -> None:
    narrow, wide = trials(20), trials(20, batch_size=32)
    found = sized([*narrow, *wide])
    assert {shape: size.trials for shape, size in found.items()} == {narrow[0].stack_key: 8, wide[0].stack_key: 8}
    assert tried == [2, 4, 8, 16, 1] * 4  # each shape as one network and in lanes
    assert sized(narrow, processes=5)[narrow[0].stack_key].trials == 4


def test_too_little_to_train_is_not_measured(tried: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not sized(trials(1))
    assert not sized(trials(4), processes=4)
    assert not sized([replace(t, optimizer=replace(t.optimizer, name="sparse_adamw")) for t in trials(4)])
    monkeypatch.setattr(gpu_stack_size, "STEPS", 10**6)
    assert not sized(trials(20))
    assert not tried


def test_little_time_left_is_not_spent_on_trying(tried: list[int]) -> None:
    assert sized(trials(20), deadline=time.time() + SOON)[trials(1)[0].stack_key].trials == 2
    assert tried == [2, 2]


def test_a_shape_that_cannot_be_tried_is_left_to_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(stack: list[Trial], *_: object) -> float:
        if len(stack) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if stack[0].batch_size == 32:
            raise RuntimeError("a kernel that does not compile")
        return 1e4

    monkeypatch.setattr(estimate, "stack_seconds", seconds)
    monkeypatch.setattr(gpu_stack_size, "STEPS", 1)
    found = sized([*trials(20), *trials(20, batch_size=32)])
    assert {shape: size.trials for shape, size in found.items()} == {trials(1)[0].stack_key: 2}


def test_a_size_that_no_graph_serves_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(stack: list[Trial], *_: object) -> float:
        Graph.refused = len(stack) > 8
        return saturating(4, 1e4)(len(stack))

    monkeypatch.setattr(estimate, "stack_seconds", seconds)
    monkeypatch.setattr(gpu_stack_size, "STEPS", 1)
    monkeypatch.setattr(Graph, "refused", False)
    sized(trials(40))
    assert not Graph.refused


@pytest.mark.campaign
def test_several_gpus_leave_the_parent_without_any() -> None:
    assert gpu_stack_size.measure_in_subprocess([], {}, "cpu", 2, RunSettings(), None) == {}
    assert gpu_stack_size.measure_in_subprocess("nonsense") == {}


def test_without_room_for_a_trial_nothing_is_said(tried: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "room", lambda *_: "needs more")
    assert not sized(trials(20))
    assert not tried


def test_a_plan_follows_the_measured_size_unless_one_is_asked_for() -> None:
    wanted = trials(20)
    sizes = {wanted[0].stack_key: Chosen(5)}
    assert [len(stack) for stack in plan(wanted, Layout("cuda", 0, 1, sizes))] == [5] * 4
    assert [len(stack) for stack in plan(wanted, Layout("cuda", 10, 1, sizes))] == [10] * 2
    assert [len(stack) for stack in plan(wanted, Layout("cuda", 0, 3, sizes))] == [3, 3, 4, 3, 3, 4]


def test_a_plan_follows_the_measured_way_unless_one_is_asked_for(tmp_path: Path) -> None:
    wanted = trials(4)
    sizes = {wanted[0].stack_key: Chosen(4, LANES)}

    def ways(device: str, compute: str = "auto") -> list[str]:
        stacks = StoredPlan(tmp_path, nullcontext()).follow(wanted, Layout(device, 0, 1, sizes, compute=compute))
        return [trial.way for stack in stacks for trial in stack]

    assert ways("cuda") == [LANES] * 4
    assert ways("cuda", "stack") == [FULL] * 4
    assert ways("cuda") == [FULL] * 4  # as stored last
    assert ways("cuda", "lanes") == [LANES] * 4
    assert ways("cpu") == [LANES] * 4  # a rerun elsewhere computes what was planned


def test_exact_trials_are_planned_anew_whatever_else_is_asked_for(tmp_path: Path) -> None:
    stored = StoredPlan(tmp_path, nullcontext())
    assert {t.way for stack in stored.follow(trials(3), Layout("cpu")) for t in stack} != {FULL}
    exact = stored.follow(trials(3), Layout("cpu", 0, 1, exact=True, compute="stack"))
    assert {t.way for stack in exact for t in stack} == {FULL}


def test_wide_networks_go_in_lanes_where_nothing_was_measured() -> None:
    narrow, wide = (replace(trial(DATASET), model=ShakeShakeSettings("shakeshake", width=width)) for width in (16, 64))
    assert plan([narrow], Layout("cuda"))[0][0].way == FULL
    assert plan([wide], Layout("cuda"))[0][0].way == LANES
    assert plan([trial(tokens(), "transformer")], Layout("cuda"))[0][0].way == FULL


def test_a_command_measures_a_shape_once_and_says_what_it_found(
    tried: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def on_cpu(new: list[Trial], datasets: dict[DatasetSettings, Dataset], device: str, *more: Any) -> dict[Any, Any]:
        return measure_stack_sizes(new, datasets, "cpu", *more)

    monkeypatch.setattr(local, "measure_stack_sizes", on_cpu)
    wanted = trials(20)
    resources = Resources(RunSettings(compute="stack"), {wanted[0].dataset: DATASET}, ("cuda",))
    found = {wanted[0].stack_key: Chosen(8)}
    assert resources.layout(wanted, 1).measured == resources.layout(wanted[:3], 1).measured == found
    assert tried == [2, 4, 8, 16, 1]
    said = capsys.readouterr().out
    assert said == (
        "stacks of 8 (seconds of a trial, by the size of its stack: "
        "1: 1e+04 s, 2: 5e+03 s, 4: 2.5e+03 s, 8: 1.25e+03 s, 16: 1.25e+03 s)\n"
    )
    sized_by_hand = replace(resources, run=RunSettings(stack=4))
    assert sized_by_hand.layout(trials(30, epochs=6), 1).measured == {}
    assert Resources(RunSettings(), {}, ("cpu",)).layout(wanted, 1).measured == {}
