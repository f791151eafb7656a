"""A stack goes on from its checkpoint to the same rows, wherever it was stopped, whole or in halves."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from runner.config.schedules import RestartsSettings
from runner.config.settings import RunSettings
from runner.data.dataset import Dataset
from runner.records.schema import TIMING
from runner.system import signals
from runner.system.signals import Interrupted
from runner.training.checkpoint import Checkpoints, selected
from runner.training.train import train
from runner.trials.trial import Trial
from tests.helpers import images, optimizer, tokens, trial

CPU = torch.device("cpu")
CASES: dict[str, tuple[Dataset, str]] = {
    "resnet": (images(flip=True, pad=1), "resnet"),
    "shakeshake": (images(flip=True, pad=1), "shakeshake"),
    "transformer": (tokens(), "transformer"),
}
Rows = dict[str, dict[str, Any]]


def several(case: str, **more: Any) -> list[Trial]:
    """Adam, AdamW with a decay so small that it is saved up, restarts, and one that diverges."""
    base = trial(CASES[case][0], CASES[case][1], epochs=4, **more)
    return [
        replace(base, wd=1e-4),
        replace(base, seed=1, optimizer=optimizer("adam"), wd_convention="l2"),
        replace(base, lr=1e300),
        replace(base, schedule=RestartsSettings("restarts", t_0=1, t_mult=2)),
    ]


def rows(reports: Iterator[Any]) -> Rows:
    """Rows by table and key, without what a clock decides."""
    found = {}
    for report in reports:
        for table in ("curves", "cycles", "dynamics", "trials"):
            for row in getattr(report, table):
                key = f"{table} {row['trial']} {row.get('epoch')} {row.get('layer')}"
                found[key] = {name: value for name, value in row.items() if name not in TIMING}
    return found


def stopped(trials: list[Trial], dataset: Dataset, path: Path, at: int, run: RunSettings) -> tuple[Rows, bool]:
    """Train, stop at the `at`-th moment at which that is possible, go on; whether there was such a moment."""
    checkpoints, count = Checkpoints(path, [t.id for t in trials]), 0
    pulse = checkpoints.pulse

    def counting(state: Any) -> None:
        nonlocal count
        count += 1
        signals._number = 15 if count == at else 0
        pulse(state)

    checkpoints.pulse = counting  # type: ignore[method-assign]
    found: Rows = {}

    def collected() -> Iterator[Any]:
        try:
            yield from train(trials, dataset, CPU, run, checkpoints=checkpoints)
        except Interrupted:
            signals._number = 0

    found |= rows(collected())
    again = Checkpoints(path, [t.id for t in trials])
    if count < at:
        return found, False
    more = rows(train(trials, dataset, CPU, run, checkpoints=again, saved=again.load()))
    assert all(found[key] == more[key] for key in found.keys() & more.keys())
    return found | more, True


@pytest.mark.parametrize(
    ("case", "precision"),
    [
        ("resnet", "fp32"),
        pytest.param("resnet", "fp16", marks=pytest.mark.campaign),
        pytest.param("shakeshake", "fp32", marks=pytest.mark.campaign),
        ("transformer", "fp32"),
    ],
)
def test_a_stack_stopped_anywhere_ends_with_the_rows_of_an_undisturbed_one(
    case: str, precision: str, tmp_path: Path
) -> None:
    dataset, trials = CASES[case][0], several(case, precision=precision)
    run = RunSettings(eval_every=2, target_error=60.0, diagnostics=True)
    wanted, at = rows(train(trials, dataset, CPU, run)), 1
    while True:
        found, was_stopped = stopped(trials, dataset, tmp_path / "stack.pt", at, run)
        assert found.keys() == wanted.keys()
        assert _same(found, wanted)
        if not was_stopped:
            break
        at += 3
    assert at > 15


def _same(found: Rows, wanted: Rows) -> bool:
    """Equal to the bit, nan to nan."""
    return all(repr(found[key]) == repr(wanted[key]) for key in wanted)


def test_halves_go_on_from_the_checkpoint_of_the_whole(tmp_path: Path) -> None:
    dataset, trials = CASES["resnet"][0], several("resnet")
    wanted = rows(train(trials, dataset, CPU))
    whole = Checkpoints(tmp_path / "whole.pt", [t.id for t in trials])
    interrupted = train(trials, dataset, CPU, checkpoints=whole)
    found = rows(iter([next(interrupted), next(interrupted)]))
    signals._number = 15
    with pytest.raises(Interrupted):
        next(interrupted)
    signals._number = 0
    halves = [trials[:2], trials[2:]]
    parts = [Checkpoints(tmp_path / f"{i}.pt", [t.id for t in half]) for i, half in enumerate(halves)]
    whole.split(parts)
    assert not (tmp_path / "whole.pt").exists()
    for half, part in zip(halves, parts, strict=True):
        saved = part.load()
        assert saved is not None
        assert saved["epoch"] == 2
        found |= rows(train(half, dataset, CPU, checkpoints=part, saved=saved))
    assert _same(found, wanted)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "version", "trials", "pickle"])
def test_a_checkpoint_that_cannot_be_used_is_removed_and_said_so(damage: str, tmp_path: Path) -> None:
    told: list[str] = []
    ids = ["a", "b"]
    one = Checkpoints(tmp_path / "s.pt", ids, tell=told.append)
    one.save({"tensors": [torch.ones(2, 3)], "recorded": set()})
    text = one.path.read_bytes()
    if damage == "truncated":
        one.path.write_bytes(text[: len(text) // 2])
    elif damage == "garbage":
        one.path.write_bytes(b"\x00\xff" * 500)
    elif damage == "empty":
        one.path.write_bytes(b"")
    elif damage == "version":
        torch.save({"format": 999, "trials": ids}, one.path)
    elif damage == "trials":
        ids[0] = "c"
        one = Checkpoints(one.path, ["c", "b"], tell=told.append)
    else:
        one.path.write_bytes(pickle.dumps(_Evil(tmp_path / "ran")))
    assert one.load() is None
    assert len(told) == 1
    assert "begins again" in told[0]
    assert not one.path.exists()
    assert not (tmp_path / "ran").exists()


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_checkpoint_of_another_network_is_not_used(tmp_path: Path) -> None:
    dataset = images()
    told: list[str] = []
    mine, other = trial(dataset, epochs=2), trial(dataset, "transformer", epochs=2)
    theirs = Checkpoints(tmp_path / "s.pt", [mine.id], every=0.0, tell=told.append)
    next(train([other], dataset, CPU, checkpoints=theirs))
    found = rows(train([mine], dataset, CPU, checkpoints=theirs, saved=theirs.load()))
    assert _same(found, rows(train([mine], dataset, CPU)))
    assert any("another network" in line for line in told)


def test_a_disk_that_is_full_costs_the_checkpoint_and_not_the_training(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "file").write_text("")
    nowhere = Checkpoints(tmp_path / "file" / "s.pt", ["a"], every=0.0, tell=told.append)
    nowhere.pulse(lambda: {"tensors": [], "recorded": set()})
    assert len(told) == 1
    assert "going on without" in told[0]


def test_a_state_of_fewer_slots_has_those_slots_everywhere() -> None:
    state = {
        "tensors": [torch.arange(6.0).view(3, 2), torch.tensor([True, False, True])],
        "ledger_asked": torch.arange(6.0).view(2, 3),
        "best": [1.0, 2.0, 3.0],
        "progress": {"running_loss": [4.0, 5.0, 6.0]},
        "epoch": 7,
    }
    found = selected(state, [2, 0])
    assert found["tensors"][0].tolist() == [[4, 5], [0, 1]]
    assert found["tensors"][1].tolist() == [True, True]
    assert found["ledger_asked"].tolist() == [[2, 0], [5, 3]]
    assert found["best"] == [3.0, 1.0]
    assert found["progress"]["running_loss"] == [6.0, 4.0]
    assert found["epoch"] == 7
