"""A study's results, and the comparison that each block is about: `results_of`, `primary`, `open_questions`.

Does AdamW generalize better than Adam? Where other arms were run the comparison is between those.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from runner.analysis.blocks import split
from runner.analysis.protocol import protocol_of
from runner.analysis.references import check
from runner.analysis.results import results
from runner.analysis.study_results import ArmResult, BlockResults
from runner.analysis.verdict import EDGE, decision

DECIDED = ("lower", "higher", "equal")


def results_of(folder: Path, trials: pd.DataFrame, reference: str = "") -> tuple[BlockResults, ...]:
    """The results of a study's blocks, judged by its own protocol; () where no row can be placed.

    Args:
        folder: of the study, whose study.yaml has the protocol.
        trials: its rows.
        reference: the arm that the others are compared with; '' for the usual one.

    Raises:
        UserError: where no block has such an arm.
    """
    blocks = split(trials)
    check(blocks, reference)
    # A block of one arm compares nothing, so it takes no part of alpha.
    there = max((1 + int(block.rows["replicate"].max()) for block in blocks), default=0)
    protocol = protocol_of(folder, sum(block.compares for block in blocks), there)
    return tuple(results(block, reference, protocol) for block in blocks)


def primary(arms: Sequence[ArmResult]) -> ArmResult | None:
    """The arm that the answer is about: AdamW if it is compared with another, else a decoupled one, else the first.

    Of several alike that with the smaller validation error.
    """
    compared = [result for result in arms if result.difference is not None]

    def rank(result: ArmResult) -> tuple[bool, bool, bool, bool, float]:
        value = result.values["val_error"].mean
        assert result.difference is not None
        return (
            result.optimizer != "adamw" or not result.wd_convention,
            result.wd_convention in ("", "l2"),
            result.phase != "final",  # one that was chosen and run again says more than one that was not
            result.difference.difference.n == 0,
            value if value == value else 0.0,
        )

    return min(compared, key=rank, default=None)


def open_questions(blocks: Sequence[BlockResults]) -> tuple[list[str], list[str]]:
    """The primary comparisons without a verdict, in words: those that further replicates may decide, and all others.

    A best cell on the edge of its grid stays there however many replicates there are, so where only that is in the way
    of a verdict more of them are of no use.
    """
    going, stuck = [], []
    for results_ in blocks:
        main = primary(results_.arms)
        if main is None or main.difference is None or main.verdict in DECIDED:
            continue
        where = f" ({results_.block.label})" if results_.block.label else ""
        text = f"{main.arm} against {main.reference}{where}: {main.verdict}"
        reference = next(arm for arm in results_.arms if arm.arm == main.reference)
        error = reference.values[results_.block.measure.report].mean
        decisive = decision(main.difference.difference, error, results_.protocol) in DECIDED
        if main.verdict.startswith("no verdict") or (main.verdict == EDGE and decisive):
            stuck.append(text)
        else:
            going.append(text)
    return going, stuck
