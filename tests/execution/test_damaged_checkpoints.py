"""Whatever is wrong with a checkpoint: its stack begins again, and ends with the rows of an undisturbed one."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from runner.config.settings import RunSettings
from runner.execution.worker import Job, work
from runner.records.read import read
from runner.records.schema import TIMING
from runner.system.signals import Interrupted
from runner.training.checkpoint import KEYS, Checkpoints
from tests.damage import TWO, Damage, check_went_on, command, half
from tests.helpers import images, trial

DATASET = images(flip=True, pad=1)
TRIALS = [trial(DATASET, seed=seed, epochs=3) for seed in range(2)]
BEGUN = "; its stack begins again"


def job(folder: Path) -> Job:
    stamps = {"study": "s", "phase": "search"}
    run = RunSettings(checkpoint_every=0.0)
    return Job(folder, [TRIALS], {TRIALS[0].dataset: DATASET}, "cpu", stamps, run=run)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of an undisturbed run."""
    folder = tmp_path_factory.mktemp("calm")
    work(job(folder), lambda *_: None)
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that ended with a checkpoint behind it, one epoch on record and two to go."""
    folder, honest = tmp_path_factory.mktemp("stopped"), Checkpoints.save

    def save(self: Checkpoints, state: dict[str, Any]) -> None:
        assert state.keys() == KEYS
        honest(self, state)
        if state["recorded"] == {1}:
            raise Interrupted(15)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(Interrupted):
            work(job(folder), lambda *_: None)
    return folder


def state_with(**more: Any) -> Damage:
    """The checkpoint, whole, with other entries."""
    return lambda path: torch.save(torch.load(path, weights_only=True) | more, path)


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without(key: str) -> Damage:
    def damage(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        del state[key]
        torch.save(state, path)

    return damage


def flipped(path: Path) -> None:
    """One bit of a tensor: torch itself reads such a file without a word."""
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 1
    path.write_bytes(bytes(text))


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


CHECKPOINTS: dict[str, tuple[Damage, str]] = {
    "whole": (lambda path: None, ""),
    "half": (lambda path: path.write_bytes(half(path.read_bytes())), "cannot be read"),
    "a byte short": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
    "one bit flipped": (flipped, "checksum"),
    "no zip": (lambda path: path.write_bytes(b"\x00\xff" * 500), "cannot be read"),
    "a pickle that runs code": (lambda path: path.write_bytes(pickle.dumps(Evil())), "cannot be read"),
    "such a pickle in a zip": (lambda path: torch.save(Evil(), path), "cannot be read"),
    "a list": (lambda path: torch.save([1, 2], path), "another version"),
    "another format": (state_with(format=0), "another version"),
    "an entry missing": (without("ledger_asked"), "another version"),
    "another torch": (state_with(torch="1.0"), "is of torch 1.0, and this is"),
    "other trials": (state_with(trials=["a", "b"]), "of other trials"),
    "another network": (state_with(tensors=[torch.ones(2, 3)]), "of another network"),
    "ahead of the curves": (lambda path: (path.parents[2] / "curves.csv").unlink(), "ahead of curves.csv"),
    "a folder": (made_a_folder, "cannot be read"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_damaged_checkpoint_costs_time_and_never_changes_a_row(
    case: str, stopped: Path, calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(stopped, tmp_path / "s")
    (path,) = (tmp_path / "s" / ".state" / "stacks").glob("*.pt")
    damage, part = CHECKPOINTS[case]
    damage(path)
    notes: list[str] = []
    work(job(tmp_path / "s"), lambda kind, content: notes.append(content) if kind == "note" else None)
    begun = [note for note in notes if note.endswith(BEGUN)]
    assert len(begun) == (case != "whole"), notes
    assert all(note.startswith(f"{path}: this checkpoint ") and part in note and "\n" not in note for note in begun)
    assert not (tmp_path / "ran").exists()
    for table in ("trials", "curves"):
        mine, wanted = (
            read(folder, table).drop(columns=list(TIMING), errors="ignore") for folder in (tmp_path / "s", calm)
        )
        pd.testing.assert_frame_equal(mine, wanted)


def end_after_a_checkpoint() -> None:
    """The process is gone with its first checkpoint written."""
    honest = Checkpoints.save

    def save(self: Checkpoints, state: dict[str, Any]) -> None:
        honest(self, state)
        os._exit(9)

    Checkpoints.save = save  # type: ignore[method-assign]


def test_a_command_says_that_a_checkpoint_is_damaged_and_goes_on(tmp_path: Path) -> None:
    assert command(tmp_path, *TWO, "checkpoint_every=0", before=end_after_a_checkpoint).code == 9
    (path,) = (tmp_path / "results" / "s" / ".state" / "stacks").glob("*.pt")
    flipped(path)
    said = command(tmp_path, *TWO)
    check_went_on(said, f"{path.relative_to(tmp_path)}: this checkpoint cannot be read (the checksum of", BEGUN)
    assert len(read(tmp_path / "results" / "s")) == 2
    assert not path.exists()
