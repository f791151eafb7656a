"""Conventions of weight decay convert into each other, and mean what the paper's tables say."""

from __future__ import annotations

import numpy as np
import pytest

from optim.conventions import DECOUPLED, L2, equivalents, from_paper, to_paper


@pytest.mark.parametrize(
    ("size", "epochs", "norm", "paper", "torch"),
    [
        (50_000, 25, 0.025, 2.53e-4, 0.253),
        (50_000, 100, 0.05, 2.53e-4, 0.253),
        (50_000, 1800, 0.025, 2.98e-5, 0.030),
        (1_281_167, 64, 0.05, 6.25e-5 * 2 * (16 / 64) ** 0.5, 0.0625),
    ],
)
def test_normalized_decay_is_the_papers_table(size: int, epochs: int, norm: float, paper: float, torch: float) -> None:
    found = equivalents("normalized", norm, 1e-3, size * epochs / 128)
    assert found["paper"] == pytest.approx(paper, rel=5e-3)
    assert found["torch"] == pytest.approx(torch, rel=2e-2)


@pytest.mark.parametrize("convention", DECOUPLED)
def test_the_decay_that_is_given_stays_exact(convention: str) -> None:
    """Also where a round trip would end in a neighbour of it, as for about one number in ten."""
    rng = np.random.default_rng(0)
    for wd, lr, updates in rng.uniform((1e-3, 1e-5, 1), (1, 1e-1, 1e5), (200, 3)).tolist():
        assert equivalents(convention, wd, lr, updates)[convention] == wd


@pytest.mark.parametrize("convention", DECOUPLED)
def test_every_convention_survives_the_round_trip(convention: str) -> None:
    paper = to_paper(convention, 0.3, 2e-3, 5000.0)
    assert from_paper(convention, paper, 2e-3, 5000.0) == pytest.approx(0.3, rel=1e-14)
    assert equivalents(convention, 0.3, 2e-3, 5000.0)[convention] == 0.3


def test_l2_has_no_decoupled_equivalent() -> None:
    with pytest.raises(ValueError, match="no decoupled convention"):
        to_paper(L2, 0.1, 1e-3, 1.0)
    with pytest.raises(ValueError, match="no decoupled convention"):
        from_paper(L2, 0.1, 1e-3, 1.0)
