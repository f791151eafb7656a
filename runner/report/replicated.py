"""Says what a study's replicates are and how they are judged: `replicated(results)`, and `on_edges(results)`."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from runner.analysis.blocks import replicates
from runner.analysis.measures import short
from runner.analysis.population import population
from runner.analysis.protocol import REPLICATES, Protocol
from runner.analysis.select import seeds_text
from runner.analysis.statistics import LEVEL
from runner.analysis.study_results import BlockResults
from runner.report.estimates import percent

_ADDED = "Replicates were added while others could be seen, so"


def replicated(results: BlockResults) -> list[str]:
    """A sentence on what the intervals are intervals of, and one on the test where it is not the t test."""
    count, protocol = len(results.parts), results.protocol
    if not count:
        return [
            "One replicate: one split of the data, and one search in it, of which other seeds might have chosen other "
            "cells. The intervals are over seeds of these cells, so they say nothing about optimizers "
            f"(replicates={2 * REPLICATES} repeats the whole study).",
            *_unknown(protocol),
            *_afterwards(protocol),
        ]
    lines = [
        f"{count} replicate{'' if count == 1 else 's'}, over {population(results.block)}: each has {_own(results)} one "
        "number for each arm. Intervals are over replicates."
    ]
    if waiting := sorted(replicates(results.block).keys() - results.parts.keys()):
        lines.append(f"Not finished, and left out until they have fresh seeds: replicates {seeds_text(waiting)}.")
    if protocol.looks:
        added = " and ".join(protocol.raised)
        what = f"More of this was asked for while results could be seen: {added}. So" if added else _ADDED
        if protocol.unknown:
            lines += _unknown(protocol)
            what = "Replicates may have been added while others could be seen, so"
        lines.append(
            f"{what} differences are judged by e-values (g = "
            f"{short(protocol.g)}), and their intervals are {percent(protocol.level)} confidence sequences: "
            "both hold however often one looks at further replicates."
        )
        if added:
            lines.append("For more than further replicates e-values are a caution, and no proof.")
    elif protocol.level != LEVEL:
        lines.append(f"Differences are judged by {percent(protocol.level)} intervals{_shares(protocol)}.")
    return [*lines, *_afterwards(protocol)]


def on_edges(results: BlockResults) -> list[str]:
    """A sentence on the arms of which the best cell of some replicates is on the edge of its grid there.

    It may be so where the cell that is best in the mean over all replicates is an inner one, which is what verdicts ask
    for.
    """
    parts = []
    for arm in results.arms if results.parts else ():  # the only replicate's edge is told of already
        if edges := results.edges(arm.arm):
            counts = ", ".join(f"{edge} {n}" for edge, n in Counter(chain(*edges.values())).most_common())
            parts.append(f"{arm.arm} in {len(edges)} of {arm.units} replicates ({counts})")
    said = "a replicate's best cell is on its grid's edge, and an extended grid might change it: "
    return [said + "; ".join(parts)] if parts else []


def _own(results: BlockResults) -> str:
    """What a replicate has of its own, and which of its runs give its number."""
    own = "a split and seeds of its own"
    if any(result.cells > 1 for result in results.arms):
        own += ", its own search and its own winners"
    fresh = any(result.phase == "final" for result in results.arms)
    return f"{own}, whose {'fresh seeds' if fresh else 'runs'} give"


def _unknown(protocol: Protocol) -> list[str]:
    """What is assumed where the plan is not known."""
    if not protocol.unknown:
        return []
    primary = f"primary = {protocol.primary}" if protocol.primary else "no primary claim"
    return [
        f"What was laid down beforehand is not known ({'; '.join(protocol.unknown)}). Assumed: alpha = "
        f"{short(protocol.alpha)}, prior_g = {short(protocol.g)}, equal_within = {short(protocol.equal_within)} and "
        f"{primary}."
    ]


def _afterwards(protocol: Protocol) -> list[str]:
    if not protocol.afterwards:
        return []
    return [
        f"Named afterwards, by a later command than the first, and without effect: {', '.join(protocol.afterwards)}."
    ]


def _shares(protocol: Protocol) -> str:
    """How the level comes from `alpha`, where several comparisons share it."""
    if protocol.comparisons == 1:
        return f" (alpha = {short(protocol.alpha)})"
    return f": {protocol.comparisons} primary comparisons, one for each setting, share alpha = {short(protocol.alpha)}"
