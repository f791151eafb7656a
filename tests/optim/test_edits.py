"""Whatever is done to groups and state between steps, the weights go on as under torch.optim."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.optim.edits import EDITS, Side
from tests.optim.torch_sides import SIDES


def agree(mine: Side, theirs: Side) -> None:
    for a, b in zip(mine.pool, theirs.pool, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", SIDES)
def test_an_edit_is_followed_at_the_next_step(name: str, edit: str) -> None:
    for i, j in ((0, 0), (1, 1), (3, 2)):
        mine, theirs = (Side(make) for make in SIDES[name])
        for side in (mine, theirs):
            side.step()
            side.step(without=2)
            EDITS[edit](side, i, j)
        agree(mine, theirs)
        for without in (0, 0, 4, 0):
            mine.step(without)
            theirs.step(without)
            agree(mine, theirs)
        if "Lookahead" not in name:
            there = mine.optimizer.state_dict()["state"]
            assert len(there) == len([p for p in theirs.used() if theirs.optimizer.state.get(p)])


class Sequences(RuleBasedStateMachine):
    """Edits, steps, saves and loads in any order; compared after every step."""

    @initialize(name=st.sampled_from(sorted(SIDES)))
    def begin(self, name: str) -> None:
        self.mine, self.theirs = (Side(make) for make in SIDES[name])

    @rule(without=st.sampled_from([0, 0, 0, 1, 2, 4, 5, 255]))
    def step(self, without: int) -> None:
        self.mine.step(without)
        self.theirs.step(without)

    @rule(edit=st.sampled_from(sorted(EDITS)), i=st.integers(0, 7), j=st.integers(0, 7))
    def edit(self, edit: str, i: int, j: int) -> None:
        EDITS[edit](self.mine, i, j)
        EDITS[edit](self.theirs, i, j)

    @invariant()
    def equal(self) -> None:
        if hasattr(self, "mine"):
            agree(self.mine, self.theirs)


TestSequences = Sequences.TestCase
TestSequences.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
