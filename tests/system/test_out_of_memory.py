"""Out of memory anywhere in a step: the stack is halved and goes on to the same rows; one alone waits, or is open.

An error in recording or restoring is no failure of a trial either.
"""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import runner.training.step as step_module
from optim.stacked import Stacked
from runner.config.settings import RunSettings
from runner.errors import UserError
from runner.execution import worker
from runner.execution.worker import Job, work
from runner.records.read import read
from runner.records.records import Records
from runner.records.schema import TIMING
from runner.system import shortage
from runner.system.signals import Interrupted
from runner.training.checkpoint import Checkpoints
from runner.training.stack import Stack
from runner.trials.trial import Trial
from tests.damage import TWO, check_went_on, command
from tests.helpers import images, trial

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
    return Job(folder, [trials], {TRIALS[0].dataset: DATASET}, "cpu", stamps, run=RunSettings(checkpoint_every=0.0))


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortage, "WAITS", (0.01, 0.02))


@pytest.mark.parametrize(("where", "error"), [("forward", "gpu"), ("backward", "cpu"), ("optimizer", "python")])
def test_a_trial_that_has_no_room_even_alone_is_left_open_and_the_others_are_as_ever(
    where: str, error: str, tmp_path: Path, calm: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    told: list[tuple[str, Any]] = []
    memory = Memory(
        where, ERRORS[error], lambda trials, step: any(t.seed == 2 for t in trials) and step == 2, monkeypatch
    )
    work(job(tmp_path), lambda kind, content: told.append((kind, content)))
    monkeypatch.undo()
    assert read(tmp_path).set_index("seed")["status"].to_dict() == {0: "ok", 1: "ok", 3: "ok"}
    assert [content[0] for kind, content in told if kind == "open"] == [[TRIALS[2].id]]
    assert memory.raised > 3  # in a stack of 4 and of 2, and alone again and again
    work(job(tmp_path), lambda *_: None)  # the same command, when there is memory
    assert_same(tmp_path, calm)
    assert not list((tmp_path / ".state" / "stacks").iterdir())


def test_memory_that_was_short_for_a_while_leaves_no_trace(
    tmp_path: Path, calm: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    tries = 0

    def full(trials: list[Trial], step: int) -> bool:
        nonlocal tries
        tries += step == 2
        return step == 2 and tries < 10  # the whole, its halves, and each trial alone once

    Memory("forward", ERRORS["cpu"], full, monkeypatch)
    told: list[str] = []
    work(job(tmp_path), lambda kind, content: told.append(kind))
    monkeypatch.undo()
    assert "open" not in told
    assert_same(tmp_path, calm)


def no_memory() -> None:
    """A machine on which nothing fits."""

    def part(*_: Any, **__: Any) -> Any:
        raise ERRORS["cpu"]

    step_module.losses = part
    shortage.WAITS = (0.01, 0.02)


def test_a_command_whose_trials_have_no_room_says_what_helps_and_ends_with_status_1(tmp_path: Path) -> None:
    said = command(tmp_path, *TWO, before=no_memory)
    assert "Traceback" not in said.text
    assert said.code == 1
    assert said.err.count("a stack of 2 failed (RuntimeError") == 1
    assert "2 search trials left open for want of memory (RuntimeError: [enforce fail at alloc_cpu.cpp:124]" in said.out
    assert "workers=1" in said.out
    assert not (tmp_path / "results" / "s" / "trials.csv").exists()
    check_went_on(command(tmp_path, *TWO))
    assert list(read(tmp_path / "results" / "s")["status"]) == ["ok", "ok"]


@pytest.mark.parametrize(
    "error",
    [
        *ERRORS.values(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("could not create a memory object"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("can't start new thread"),
    ],
)
def test_want_of_memory_is_known_by_any_library_s_name(error: Exception) -> None:
    assert shortage.is_shortage(error)
    outer = ValueError("something else")
    outer.__cause__ = error
    assert shortage.is_shortage(outer)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), OSError(errno.EIO, "?"), KeyError("memory")]
)
def test_other_errors_are_none(error: Exception) -> None:
    assert not shortage.is_shortage(error)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), UserError("curves.csv: cannot be read")])
@pytest.mark.parametrize("where", ["append_curves", "append_trials", "has_curves"])
def test_an_error_while_recording_or_restoring_is_no_failure_of_a_trial(
    where: str, error: Exception, tmp_path: Path, calm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / ".state" / "stacks"
    with monkeypatch.context() as patch:  # a first command, which is interrupted with an epoch on record
        patch.setattr(worker, "_record", interrupted_after(worker._record))
        with pytest.raises(Interrupted):
            work(job(tmp_path), lambda *_: None)
    assert list(saved.glob("*.pt"))

    def refuse(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Records, where, refuse)
    with pytest.raises(type(error)):
        work(job(tmp_path), lambda *_: None)
    monkeypatch.undo()
    assert not (tmp_path / "trials.csv").exists()
    assert list(saved.glob("*.pt"))
    work(job(tmp_path), lambda *_: None)
    assert_same(tmp_path, calm)


def interrupted_after(honest: Callable[..., None]) -> Callable[..., None]:
    def record(report: Any, *rest: Any) -> None:
        honest(report, *rest)
        if report.epoch == 2:
            raise Interrupted(15)

    return record


def test_a_checkpoint_that_cannot_be_read_just_now_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, raised in ((errno.EIO, UserError), (errno.ENOMEM, OSError)):
        path = tmp_path / "s.pt"
        path.write_bytes(b"state")

        def refuse(*_: Any, code: int = number) -> Any:
            raise OSError(code, "cannot")

        monkeypatch.setattr(zipfile, "ZipFile", refuse)
        with pytest.raises(raised):
            Checkpoints(path, ["a"]).load()
        assert path.exists()
