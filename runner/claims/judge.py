"""Judges the paper's claims on a study: `judge(reported, ...)` is the call to know.

The claims are those of the list in results/README.md, by their numbers there. Those that are plain algebra (8, 17)
are unit tests, and 20 is a figure of the mechanism.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from runner.analysis.arms import Block
from runner.analysis.results import ArmResult
from runner.claims import best_cells, budgets, loss_and_restarts, map_shape, mechanism, norms_and_biases
from runner.claims.claim import Claim, decided
from runner.claims.scene import Arena, Scene


def judge(
    reported: Sequence[tuple[Block, Sequence[ArmResult]]],
    curve_rows: pd.DataFrame,
    cycle_rows: pd.DataFrame,
    dynamics: pd.DataFrame,
) -> list[Claim]:
    """Every claim that the study's arms can speak to, with its verdict, in the order of the list."""
    arenas = tuple(Arena(block, tuple(found)) for block, found in reported)
    scene = Scene(arenas, curve_rows, cycle_rows, dynamics)
    found = [
        claim
        for part in (best_cells, map_shape, budgets, loss_and_restarts, mechanism, norms_and_biases)
        for claim in part.claims(scene)
    ]
    return sorted(decided(found), key=lambda claim: int(re.match(r"\d+", claim.claim).group()))  # type: ignore[union-attr]
