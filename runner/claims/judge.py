"""Judges the paper's claims on a study: `judge(study)` is the call to know.

The claims are those of the list in results/README.md, by their numbers there. Those that are plain algebra (8, 17)
are unit tests, and 20 is a figure of the mechanism.
"""

from __future__ import annotations

from runner.analysis.study_results import StudyResults
from runner.claims import best_cells, budgets, easier_to_tune, loss_and_restarts, map_shape, mechanism, norms_and_biases
from runner.claims.claim import Claim, decided


def judge(study: StudyResults) -> list[Claim]:
    """Every claim that the study's arms can speak to, with its verdict, in the order of the list."""
    parts = (best_cells, map_shape, budgets, loss_and_restarts, mechanism, norms_and_biases, easier_to_tune)
    claims = [claim for part in parts for claim in part.claims(study)]
    return sorted(decided(claims), key=lambda claim: claim.number)
