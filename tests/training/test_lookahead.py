"""Lookahead in a stack is its formula, for each trial with its own k and alpha, and survives a checkpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from runner.errors import UserError
from runner.settings import LookaheadSettings
from runner.training.lookahead import Lookahead
from runner.training.stack import Stack
from tests.helpers import images, trial
from tests.training.test_recipes import composed

SOME, CPU = images(), torch.device("cpu")


def test_slow_weights_follow_the_papers_formula_for_each_trial() -> None:
    random = torch.Generator().manual_seed(0)
    p = torch.randn(3, 4, dtype=torch.float64, generator=random)
    expected = [(p[i].clone(), p[i].clone()) for i in range(3)]  # fast, slow
    k, alpha = (2, 3, 0), (0.5, 0.8, 0.5)
    ahead = Lookahead([p], k, alpha)
    live = torch.tensor([True, True, True])
    for step in range(1, 13):
        update = torch.randn(3, 4, dtype=torch.float64, generator=random)
        p += update
        ahead(torch.tensor(step), live)
        for i in range(3):
            fast, slow = expected[i]
            fast = fast + update[i]
            if k[i] and step % k[i] == 0:
                slow = slow + alpha[i] * (fast - slow)
                fast = slow.clone()
            expected[i] = fast, slow
        torch.testing.assert_close(p, torch.stack([fast for fast, _ in expected]), rtol=1e-14, atol=1e-14)


def test_a_trial_that_is_not_live_keeps_its_bits() -> None:
    p = torch.ones(2, 3)
    ahead = Lookahead([p], (1, 1), (0.5, 0.5))
    p += torch.tensor([[1.0], [float("nan")]])
    before = p[1].clone()
    ahead(torch.tensor(1), torch.tensor([True, False]))
    assert p[0].tolist() == [1.5] * 3
    assert repr(p[1]) == repr(before)
    assert ahead.slow[0][1].tolist() == [1.0] * 3


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
