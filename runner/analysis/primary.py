"""A study's results, and the comparison that each block is about: `results_of`, `intended`, `open_questions`.

Does AdamW generalize better than Adam? Where other arms were run the comparison is between those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from runner.analysis.blocks import Block, split
from runner.analysis.lost_commands import lost_commands
from runner.analysis.protocol import REPLICATES, Protocol, protocol_of
from runner.analysis.references import check, laid_down
from runner.analysis.results import results
from runner.analysis.study_results import ArmResult, BlockResults
from runner.analysis.verdict import EDGE, decision
from runner.config.settings import RunSettings
from runner.records.commands import noted

DECIDED = ("lower", "higher", "equal")
ABOUT = {"best-cell": "adam", "best-cell-sgd": "sgd"}  # primary claims that are a comparison of arms: of which family


def results_of(
    folder: Path, trials: pd.DataFrame, reference: str = "", run: RunSettings | None = None, comparisons: int = 0
) -> tuple[BlockResults, ...]:
    """The results of a study's blocks, judged by its own protocol; () where no row can be placed.

    Args:
        folder: of the study, whose study.yaml has the protocol.
        trials: its rows.
        reference: the arm that the others are compared with; '' for the one that the study laid down, or the usual.
        run: the settings of a command that is yet to run, by whose protocol they are to be judged.
        comparisons: how many will be primary; by default those of the rows.

    Raises:
        UserError: where no block has such an arm.
    """
    blocks = split(trials)
    check(blocks, reference)
    # A block of one arm compares nothing, so it takes no part of alpha.
    there = max((1 + int(block.rows["replicate"].max()) for block in blocks), default=0)
    if run:  # its replicates will be there
        there = max(there, run.replicates)
    protocol = protocol_of(folder, comparisons or sum(block.compares for block in blocks), run, there)
    rows = pd.concat([block.rows.assign(block=block.id) for block in blocks]) if blocks else pd.DataFrame()
    if not protocol.unknown and (lost := lost_commands(rows, noted(folder).settings)):
        protocol = replace(protocol, unknown=(*protocol.unknown, lost), looks=True)
    return tuple(_judged(block, reference, protocol) for block in blocks)


def own_results(block: Block, protocol: Protocol) -> BlockResults:
    """A block's results beside the reference that the study's first command laid down, or the usual one."""
    return results(block, laid_down(block, protocol.reference), protocol)


def _judged(block: Block, reference: str, protocol: Protocol) -> BlockResults:
    """A block's results beside this reference; where it is not the study's own they say what the study asks."""
    own = own_results(block, protocol)
    if not reference:
        return own
    found = results(block, reference, protocol)
    shown, asked = intended(found), intended(own)
    if shown is None or asked is None or {shown.arm, shown.reference} == {asked.arm, asked.reference}:
        return found
    return replace(found, question=f"{asked.arm} against {asked.reference}")


def intended(results_: BlockResults) -> ArmResult | None:
    """The arm that the question is about, whether it has a result or not; None where one arm is all there is.

    The decoupled arm of the optimizer that the study's primary claim is about; else AdamW if it is to be compared with
    another, else a decoupled one, else the first. Of several alike it is the first by name among those that have a
    result: the smaller error would be a choice that may change from look to look.
    """
    compared = [result for result in results_.arms if result.arm != result.reference]
    family = ABOUT.get(results_.protocol.primary, "")

    def rank(result: ArmResult) -> tuple[bool, bool, bool, bool, bool, str]:
        return (
            result.family != family or result.wd_convention in ("", "l2"),
            result.optimizer != "adamw" or not result.wd_convention,
            result.wd_convention in ("", "l2"),
            result.difference is None or result.difference.difference.n == 0,
            result.phase != "final",  # one that was chosen and run again says more than one that was not
            result.arm,
        )

    return min(compared, key=rank, default=None)


def is_exploratory(result: ArmResult, results_: BlockResults) -> bool:
    """Whether a verdict was reached in a comparison that is not the block's question: alpha is not shared with it."""
    main = intended(results_)
    other = bool(results_.question) or (main is not None and result.arm != main.arm)
    return result.verdict in DECIDED and other


def primary(results_: BlockResults) -> ArmResult | None:
    """The arm that the answer is about: the intended one, where it and its reference have results.

    Where they have none no other comparison stands in for theirs: that would answer another question.
    """
    main = intended(results_)
    return None if main is None or main.difference is None else main


def lacking(results_: BlockResults) -> str:
    """Which arm of the comparison in question has no result, and why: 'AdamW has no result (all 9 trials failed)'.

    '' where both have one, or nothing is to be compared.
    """
    main = intended(results_)
    if main is None or main.difference is not None:
        return ""
    pair = [arm for arm in results_.arms if arm.arm in (main.arm, main.reference)]
    return "; ".join(f"{arm.arm} has no result ({arm.remark})" for arm in pair if arm.rows is None)


def open_questions(blocks: Sequence[BlockResults]) -> tuple[list[str], list[str]]:
    """The primary comparisons without a verdict, in words: those that further replicates may decide, and all others.

    They may where the interval is what leaves it open, or where there are too few replicates. A best cell on the edge
    of its grid stays there however many there are, a run without a number keeps its arm from having a mean, and what
    has learned nothing or does not vary does not change with more of the same.
    """
    going: list[str] = []
    stuck: list[str] = []
    for results_ in blocks:
        where = f" ({results_.block.label})" if results_.block.label else ""
        main = intended(results_)
        if main is not None and (why := lacking(results_)):
            stuck.append(f"{main.arm} against {main.reference}{where}: {why}")
        if main is None or main.difference is None or main.verdict in DECIDED:
            continue
        difference = main.difference.difference
        reference = next(arm for arm in results_.arms if arm.arm == main.reference)
        error = reference.values[results_.block.measure.report].mean
        wide = decision(difference, error, results_.protocol) not in DECIDED
        few = main.verdict.startswith("undecided") and difference.n < REPLICATES
        more = few or main.verdict == "undecided" or (main.verdict == EDGE and wide)
        (going if more else stuck).append(f"{main.arm} against {main.reference}{where}: {main.verdict}")
    return going, stuck
