"""The parity table compares what it says: rounding apart, ours are torch's and optax's steps, in every convention."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.parity import table as parity
from scripts.parity.peers import PEERS

EXACT = {"torch.optim": 1e-14, "optax": 1e-13}


@pytest.mark.parametrize("case", parity.CASES, ids=lambda case: " ".join(map(str, case)))
def test_ours_equal_torchs_and_optaxs_in_float64_over_a_thousand_steps(case: tuple[str, str, float, str]) -> None:
    pytest.importorskip("optax")
    mine = parity.problem(*case, np.float64)
    ours = parity.trajectory(PEERS["ours"], mine)
    assert ours is not None
    compared = 0
    for name, tolerance in EXACT.items():
        theirs = parity.trajectory(PEERS[name], mine)
        if theirs is not None:
            assert max(parity.difference(ours[n], theirs[n]) for n in parity.MOMENTS) < tolerance, name
            compared += 1
    assert compared == (1 if case[0] == "sgdw" else 2)  # torch has no SGDW


def test_a_wrong_convention_would_be_seen() -> None:
    right = parity.problem("adamw", "torch", 0.1, "", np.float64)
    wrong = parity.problem("adamw", "torch", 0.11, "", np.float64)
    ours, theirs = (parity.trajectory(PEERS["torch.optim"], one) for one in (right, wrong))
    assert ours is not None
    assert theirs is not None
    assert parity.difference(ours[1000], theirs[1000]) > 1e-3


def test_saved_up_decay_lags_by_less_than_its_share() -> None:
    case = parity.problem("adamw", "torch", 0.1, "", np.float64)
    ours, released = (parity.trajectory(PEERS[name], case) for name in ("ours", "ours, release"))
    assert ours is not None
    assert released is not None
    assert parity.difference(ours[1000], released[1000]) < 2**-16
