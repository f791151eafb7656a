"""Which replicates of a block are whole: `finished(block)`, and which searches lack runs: `lacking_search`."""

from __future__ import annotations

from collections.abc import Sequence

from runner.analysis.blocks import Block, replicates


def finished(block: Block) -> dict[int, Block]:
    """The replicates that are reported: where some have fresh seeds, one without any was interrupted and waits."""
    parts = replicates(block)
    ended = {number: part for number, part in parts.items() if (part.rows["phase"] == "final").any()}
    return ended or parts


def lacking_search(block: Block, parts: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """For each arm the replicates that have fewer search runs with numbers than another.

    Replicates that have no row of the arm did not ask for it. Replicate 0 may have more: a study may begin with it
    alone and a larger grid.
    """
    rows = block.rows[(block.rows["phase"] == "search") & (block.rows["status"] != "failed")]
    runs = rows.drop_duplicates(["arm", "replicate", "cell", "seed"]).groupby(["arm", "replicate"]).size()
    found = {}
    for arm, of_arm in block.rows.groupby("arm"):
        asked = [int(number) for number in of_arm["replicate"].unique() if number in parts]
        counts = {number: int(runs.get((arm, number), 0)) for number in asked}
        wanted = max((count for number, count in counts.items() if number), default=0) or counts.get(0, 0)
        found[str(arm)] = tuple(number for number, count in counts.items() if count < wanted)
    return found
