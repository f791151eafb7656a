"""Devices: one unless more are asked for, one process for each, and what is not there is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.execution.pool import run, warm_up
from runner.execution.worker import Job
from runner.system import devices
from runner.system.devices import resolve, train_apart, worker_count
from tests.helpers import images, trial


@pytest.mark.parametrize(
    ("device", "asked", "found", "wanted"),
    [
        ("cpu", 1, 4, ("cpu",)),
        ("cpu", 0, 4, ("cpu",)),
        ("auto", 1, 0, ("cpu",)),
        ("auto", 0, 0, ("cpu",)),
        ("auto", 1, 4, ("cuda",)),
        ("auto", 0, 4, ("cuda:0", "cuda:1", "cuda:2", "cuda:3")),
        ("cuda", 2, 4, ("cuda:0", "cuda:1")),
        ("cuda", 0, 1, ("cuda",)),
        ("cuda:3", 1, 4, ("cuda:3",)),
    ],
)
def test_one_device_is_used_unless_more_are_asked_for(
    device: str, asked: int, found: int, wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_gpus", lambda: found)
    assert resolve(device, asked) == wanted


@pytest.mark.parametrize(
    ("device", "asked", "found"),
    [("cpu", 2, 4), ("auto", 2, 0), ("cuda", 1, 0), ("cuda", 5, 4), ("cuda:4", 1, 4), ("cuda:1", 2, 4)],
)
def test_devices_that_are_not_there_are_refused(
    device: str, asked: int, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_gpus", lambda: found)
    with pytest.raises(UserError, match="device"):
        resolve(device, asked)


def test_every_gpu_gets_one_process_and_no_more_than_there_are_stacks() -> None:
    assert worker_count(0, ("cuda:0", "cuda:1", "cuda:2"), 10) == 3
    assert worker_count(8, ("cuda:0", "cuda:1", "cuda:2"), 2) == 2
    assert worker_count(8, ("cuda",), 10) == 1


def test_each_process_trains_on_its_own_device_into_the_same_records(tmp_path: Path) -> None:
    dataset = images()
    trials = [trial(dataset, seed=seed, epochs=1) for seed in range(6)]
    plan = [[t] for t in trials]
    stamps = {"study": "s", "phase": "search"}
    job = Job(tmp_path, plan, {trials[0].dataset: dataset}, "cpu:0", stamps, devices=("cpu:0", "cpu"))
    told: list[tuple[str, object]] = []
    run(job, 2, lambda kind, content: told.append((kind, content)))
    assert sum(kind == "trials" for kind, _ in told) == 6
    assert (tmp_path / "trials.csv").read_text().count("\n") == 7


def test_a_driver_that_only_the_loader_finds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers, where it is on LD_LIBRARY_PATH and in no cache."""

    def load(file: str) -> object:
        if file != "libcuda.so.1":
            raise OSError(file)
        return object()

    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    monkeypatch.setattr("ctypes.CDLL", load)
    assert [devices._is_installed(*driver) for driver in devices.DRIVERS] == [True, False]


def test_one_trial_gets_a_process_of_its_own_where_a_core_is_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 2)
    assert train_apart(0, ("cpu",), 1)  # so that this process can import what the report needs
    assert not train_apart(1, ("cpu",), 1)  # as the user asks
    assert not train_apart(0, ("cuda",), 1)
    assert train_apart(2, ("cpu",), 2)
    monkeypatch.setattr(devices, "cores", lambda: 1)
    assert not train_apart(0, ("cpu",), 5)


def test_another_thread_than_the_main_one_trains_its_single_stack_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 2)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(train_apart(0, ("cpu",), 1)))
    thread.start()
    thread.join()
    assert (train_apart(0, ("cpu",), 1), answers) == (True, [False])


def test_a_thread_may_ask_for_workers() -> None:
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            warm_up()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert errors == []
