"""A saved state is of every trial of its stack: whatever a command does with some of them, the others go on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runner.execution import worker
from runner.records.read import read
from runner.records.schema import TIMING
from runner.system.signals import Interrupted
from runner.training.checkpoint import Checkpoints, held
from tests.damage import TWO, check_went_on, command
from tests.execution.test_again import stopped

THREE = ("seed=[0,1,2]", "epochs=3", "checkpoint_every=0", *TWO[2:])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three trials in one stack, interrupted when their first epoch is on record."""
    assert command(tmp_path, *THREE, before=stopped).code != 0
    assert states(tmp_path) == [3]
    return tmp_path


def states(folder: Path) -> list[int]:
    """How many trials each saved state is of."""
    return sorted(len(held(path)) for path in (folder / "results" / "s" / ".state" / "stacks").glob("*.pt"))


def check_rows(folder: Path, elsewhere: Path) -> None:
    """They are those of an undisturbed study, to the bit."""
    check_went_on(command(elsewhere, *THREE))
    one, other = (read(where / "results" / "s").sort_values("seed", ignore_index=True) for where in (folder, elsewhere))
    columns = [name for name in one if name not in TIMING]
    pd.testing.assert_frame_equal(one[columns], other[columns])


def none_from_nothing() -> None:
    """A stack that begins from nothing ends this command."""
    honest = worker.saved.to_go_on_from

    def look(*given: Any) -> Any:
        state = honest(*given)
        assert state is not None, "a stack begins from nothing"
        return state

    worker.saved.to_go_on_from = look


def one_is_stopped() -> None:
    """The command is interrupted when the first epoch of a stack of one is on record."""
    honest = Checkpoints.save

    def save(self: Checkpoints, state: dict[str, Any]) -> None:
        honest(self, state)
        if state["recorded"] and len(self.ids) == 1:
            raise Interrupted(15)

    Checkpoints.save = save  # type: ignore[method-assign]


def check_goes_on(folder: Path, *arguments: str) -> None:
    check_went_on(command(folder, *arguments, before=none_from_nothing))


def test_resume_false_for_one_trial_leaves_the_others_of_its_stack_their_saved_state(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_went_on(command(folder, "seed=0", *THREE[1:], "resume=false"))
    assert states(folder) == [2]
    check_goes_on(folder, *THREE)
    check_rows(folder, tmp_path_factory.mktemp("calm"))


def test_a_trial_that_is_begun_again_and_interrupted_and_its_neighbours_each_go_on_from_their_own_state(
    folder: Path,
) -> None:
    assert command(folder, "seed=0", *THREE[1:], "resume=false", before=one_is_stopped).code != 0
    assert states(folder) == [1, 2]
    check_goes_on(folder, *THREE)
    assert states(folder) == []


def test_a_command_that_names_some_trials_of_an_interrupted_stack_goes_on_from_its_state(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_goes_on(folder, "seed=1", *THREE[1:])
    assert states(folder) == [2]
    check_goes_on(folder, *THREE)
    assert states(folder) == []
    check_rows(folder, tmp_path_factory.mktemp("calm"))


def test_resume_false_for_a_whole_stack_leaves_no_state_of_it(folder: Path) -> None:
    check_went_on(command(folder, *THREE, "resume=false"))
    assert states(folder) == []
