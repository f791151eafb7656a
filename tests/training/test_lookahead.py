"""Lookahead as a setting: for each trial its own, and no neighbour notices (the formula: tests/optim/test_slow.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from runner.config.settings import LookaheadSettings
from runner.errors import UserError
from runner.training.stack import Stack
from tests.helpers import images, trial
from tests.training.test_recipes import composed

SOME, CPU = images(), torch.device("cpu")


def test_trials_with_and_without_it_share_a_stack_and_do_not_notice() -> None:
    plain = trial(SOME)
    ahead = replace(plain, lookahead=LookaheadSettings(2, 0.5))

    def trained(*some: object) -> list[torch.Tensor]:
        stack = Stack(list(some), SOME, CPU)  # type: ignore[arg-type]
        for epoch in range(2):
            stack.run_epoch(epoch)
        return [p.detach().clone() for p in stack.parameters]

    together, alone, other = trained(plain, ahead), trained(plain), trained(ahead)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(together, alone, strict=True))
    assert all(torch.equal(a[1], b[0]) for a, b in zip(together, other, strict=True))
    assert not all(torch.equal(a[0], a[1]) for a in together)


def test_it_is_part_of_the_id_only_where_it_does_something() -> None:
    plain = trial(SOME)
    assert replace(plain, lookahead=LookaheadSettings(5, 0.5)).id != plain.id
    assert (
        replace(plain, lookahead=LookaheadSettings(5, 0.5)).id != replace(plain, lookahead=LookaheadSettings(5, 0.6)).id
    )
    assert composed("lookahead.k=5").lookahead == LookaheadSettings(5, 0.5)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("lookahead.k=-1", "lookahead.k=-1: must be a whole number from 0"),
        ("lookahead.k=2.5", "lookahead.k=2.5: must be a whole number"),
        ("lookahead.alpha=0", "lookahead.alpha=0.0: must be above 0"),
        ("+lookahead.step=3", "unknown key 'lookahead.step'"),
        ("lookahead=5", "lookahead=5: has keys of its own: lookahead.k, lookahead.alpha"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(typed: str, says: str) -> None:
    with pytest.raises(UserError) as refused:
        composed(typed)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
