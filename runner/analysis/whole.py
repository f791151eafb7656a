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

    Of replicate 0 it is no matter if it has more: a study may begin with one replicate and a larger grid.
    """
    rows = block.rows[(block.rows["phase"] == "search") & (block.rows["status"] != "failed")]
    runs = rows.drop_duplicates(["arm", "replicate", "cell", "seed"]).groupby(["arm", "replicate"]).size()
    counts = runs.unstack(fill_value=0).reindex(columns=list(parts), fill_value=0)
    found = {}
    for arm, of in counts.T.to_dict().items():
        wanted = max((count for number, count in of.items() if number), default=0) or max(of.values())
        found[str(arm)] = tuple(int(number) for number, count in of.items() if count < wanted)
    return found
