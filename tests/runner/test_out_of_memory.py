"""Out of memory anywhere in a step: the stack is halved and goes on to the same rows; one trial alone is a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import runner.training.step as step_module
from optim.stacked import Stacked
from runner.columns import TIMING
from runner.execute import Job, work
from runner.reading import read
from runner.training.options import Options
from runner.training.stack import Stack
from runner.trials import Trial
from tests.helpers import images, trial
from tests.runner.damage import TWO, command

DATASET = images(flip=True, pad=1)
TRIALS = [trial(DATASET, seed=seed, epochs=3) for seed in range(4)]
PER_EPOCH = 3  # steps
ERRORS = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
    "python": MemoryError(),
}


def job(folder: Path, trials: list[Trial] = TRIALS) -> Job:
    stamps = {"study": "s", "phase": "search"}
    # Every pulse saves, so that halves go on from the middle of an epoch.
    return Job(folder, [trials], {TRIALS[0].dataset: DATASET}, "cpu", stamps, options=Options(checkpoint_every=0.0))


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calm")
    work(job(folder), lambda *_: None)
    return folder


class Memory:
    """Runs out in the part `where` of a step: for a stack for which `full(trials, steps)` says so."""

    def __init__(
        self,
        where: str,
        error: Exception,
        full: Callable[[list[Trial], int], bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.error, self.full = error, full
        self.trials: list[Trial] = []
        self.steps = self.raised = 0
        honest_init = Stack.__init__

        def init(stack: Stack, trials: Any, *rest: Any, **more: Any) -> None:
            self.trials, self.steps = list(trials), 0
            honest_init(stack, trials, *rest, **more)

        monkeypatch.setattr(Stack, "__init__", init)
        owner, name = {
            "forward": (step_module, "losses"),  # of what the network says
            "backward": (torch.Tensor, "backward"),
            "optimizer": (Stacked, "step"),
        }[where]
        honest = getattr(owner, name)

        def part(*given: Any, **more: Any) -> Any:
            found = honest(*given, **more)
            self.steps += 1
            if self.full(self.trials, self.steps):
                self.raised += 1
                raise self.error  # after the work is done: gradients and parameters have moved
            return found

        monkeypatch.setattr(owner, name, part)


def assert_same(folder: Path, calm: Path) -> None:
    for table, keys in (("trials", ["trial"]), ("curves", ["trial", "epoch"])):
        mine, wanted = (
            read(f, table).drop(columns=list(TIMING), errors="ignore").sort_values(keys, ignore_index=True)
            for f in (folder, calm)
        )
        pd.testing.assert_frame_equal(mine, wanted)


@pytest.mark.parametrize("at", [1, PER_EPOCH + 2])
@pytest.mark.parametrize(("where", "error"), [("forward", "gpu"), ("backward", "cpu"), ("optimizer", "python")])
def test_a_stack_that_runs_out_of_memory_is_halved_and_ends_with_the_same_rows(
    where: str, error: str, at: int, tmp_path: Path, calm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    memory = Memory(where, ERRORS[error], lambda trials, step: len(trials) > 2 and step == at, monkeypatch)
    work(job(tmp_path), lambda kind, content: notes.append(content) if kind == "note" else None)
    monkeypatch.undo()
    assert memory.raised == 1
    (note,) = notes
    assert note.startswith(f"a stack of 4 failed ({type(ERRORS[error]).__name__}")
    assert note.endswith("trying it in two halves")
    assert "\n" not in note
    assert_same(tmp_path, calm)
    assert set(read(tmp_path)["stack"]) == {2}
    assert not list((tmp_path / ".state" / "stacks").iterdir())
    assert (tmp_path / "plan.csv").read_text().count("\n") == 1 + 4  # the halves, for the next command


@pytest.mark.parametrize("where", ["forward", "backward", "optimizer"])
def test_a_trial_that_has_no_room_even_alone_is_a_failed_row_and_the_others_are_as_ever(
    where: str, tmp_path: Path, calm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Any]] = []
    Memory(where, ERRORS["gpu"], lambda trials, step: any(t.seed == 2 for t in trials) and step == 2, monkeypatch)
    work(job(tmp_path), lambda kind, content: told.append((kind, content)))
    monkeypatch.undo()
    frame = read(tmp_path).set_index("seed")
    assert frame["status"].to_dict() == {0: "ok", 1: "ok", 3: "ok", 2: "failed"}
    assert frame.loc[2, "note"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    failed = [content for kind, content in told if kind == "trials" and content[0][1] == "failed"]
    assert failed == [[(TRIALS[2].id, "failed", frame.loc[2, "note"])]]
    honest = read(calm).set_index("seed").drop(index=2)
    columns = [name for name in honest.columns if name not in TIMING]
    pd.testing.assert_frame_equal(frame.loc[[0, 1, 3], columns], honest[columns], check_dtype=False)


def no_memory() -> None:
    """A machine on which nothing fits."""

    def part(*_: Any, **__: Any) -> Any:
        raise ERRORS["cpu"]

    step_module.losses = part


def test_a_command_whose_trials_have_no_room_says_why_and_ends_with_status_1(tmp_path: Path) -> None:
    said = command(tmp_path, *TWO, before=no_memory)
    assert "Traceback" not in said.text
    assert said.code == 1
    assert said.err.count("failed: RuntimeError: [enforce fail at alloc_cpu.cpp:124]") == 2
    assert said.err.count("a stack of 2 failed (RuntimeError") == 1
    assert "2 of 2 trials failed; see the note column" in said.out
    assert list(read(tmp_path / "results" / "s")["status"]) == ["failed", "failed"]
