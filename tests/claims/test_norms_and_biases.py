"""Sparing norms and biases is judged between AdamW's two arms, each at its best."""

from __future__ import annotations

import pytest

from tests.claims.made_up import Row, judged, one_by_one, verdict
from tests.claims.test_best_cells import bowl, world

WORDS = "To spare norms and biases"


def rows(spared: float, spread: float = 0.02, x: float = 0.0) -> list[Row]:
    """AdamW with a best error of 5 where everything decays, and where weights alone do of `spared`, x octaves off."""
    both = one_by_one(lambda _, lr, wd: bowl(lr, wd, 5.0), ("adamw",), spread)
    weights = {"decay_params": "weights", "settings": {"optimizer.decay_params": "weights"}}
    return [*both, *one_by_one(lambda _, lr, wd: bowl(lr, wd, spared, x), ("adamw",), spread, **weights)]


@pytest.mark.parametrize(("spared", "expected"), [(4.0, "confirmed"), (6.0, "confirmed"), (5.0, "refuted")])
def test_a_difference_is_one_in_either_direction(spared: float, expected: str) -> None:
    # Its best rate is another, so that the noise of the two arms is not the same.
    claims = judged(rows(spared, x=1.0))
    assert verdict(claims, WORDS) == expected
    (claim,) = [claim for claim in claims if WORDS in claim.name]
    assert claim.name == "To spare norms and biases changes what AdamW reaches"
    assert claim.evidence is not None
    assert claim.evidence.value == pytest.approx(spared - 5.0, abs=0.2)
    assert "AdamW (weights) minus AdamW (all)" in claim.statistic


def test_noise_leaves_it_open() -> None:
    assert verdict(judged(rows(5.0, spread=0.3, x=1.0)), WORDS) == "undecided"


def test_adam_with_l2_is_judged_too() -> None:
    weights = {"decay_params": "weights", "settings": {"optimizer.decay_params": "weights"}}
    both = one_by_one(world(adam=5.0, plain=7.0), ("adam",), 0.02)
    found = judged([*both, *one_by_one(world(adam=4.0, plain=7.0), ("adam",), 0.02, **weights)])
    assert verdict(found, "To spare norms and biases changes what Adam + L2 reaches") == "confirmed"


def test_with_one_kind_there_is_nothing_to_judge() -> None:
    claims = judged(one_by_one(lambda _, lr, wd: bowl(lr, wd, 5.0), ("adam", "adamw")))
    assert not [claim for claim in claims if WORDS in claim.name]
